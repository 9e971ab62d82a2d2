"""A private folder, a cyand in it, and an end in which everything started is stopped."""

import json
import os
import shutil
import signal
import sys
import tempfile

from . import processes
from .cyan import Cyan
from .processes import Refused


class Room:
    """What figures and scenarios share: where things are and how to say what happens."""

    def __init__(self, build, folder, started):
        self.build, self.folder, self.started = build, folder, started
        self.cyan = Cyan(build, folder, started)
        self.swarm_log = os.path.join(folder, "swarm.log")

    @staticmethod
    def say(text):
        print("  " + text, file=sys.stderr, flush=True)


def work_in_room(name, programs, work, json_file=None):
    """work(room) returns what goes to --json. The exit status."""
    started = processes.Processes()
    folder = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        build = processes.check_machine(programs)
        folder = tempfile.mkdtemp(prefix="cyan-lab.")
        os.chmod(folder, 0o755)  # Postgres runs as another user when this is root
        result = work(Room(build, folder, started))
        if json_file:
            with open(json_file, "w", encoding="utf-8") as out:
                json.dump(result, out, indent=1)
    except Refused as why:
        print(f"{name}: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    finally:
        started.stop_all()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0
