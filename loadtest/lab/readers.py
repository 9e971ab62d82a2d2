"""cyan-readers: very many readers of one stream."""

import json
import os
import subprocess

from .processes import CLIENT_CORE, Refused


class Readers:
    """All streams are open when this is made."""

    def __init__(self, lab, server, token_file, count, stalled, seconds, path="/v1/devices/events"):
        self.started = lab.started
        command = [os.path.join(lab.build, "cyan-readers"), "--server", server, "--token-file", token_file, "--path", path,
                   "--readers", str(count), "--stalled", str(stalled), "--seconds", str(seconds)]
        self.process = lab.started.start(command, os.path.join(lab.folder, "readers.log"), CLIENT_CORE, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        self.open = self._said("open")["readers"]
        if self.open != count + stalled:
            raise Refused(f"{self.open} of {count + stalled} streams could be opened")

    def _said(self, event):
        line = self.process.stdout.readline()
        if not line or json.loads(line)["event"] != event:
            raise Refused(f"cyan-readers did not say {event}: {line!r}")
        return json.loads(line)

    def finish(self):
        """What they got."""
        self.process.stdin.write(b"end\n")
        self.process.stdin.flush()
        report = self._said("report")
        self.process.wait(30)
        return report
