"""cyan-swarm as the client of a measurement: `bench`, and `hold` driven over its --control lines."""

import json
import os
import selectors
import subprocess
import time

from .processes import CLIENT_CORE, Refused


class Swarm:
    """One cyan-swarm that talks JSON lines; ends with its stdin."""

    def __init__(self, build, started, log, words, yields=False):
        """yields: leaves its core to others that want it, where its own speed is not what is looked at."""
        command = [os.path.join(build, "cyan-swarm")] + [str(word) for word in words]
        command = ["nice", "-n", "15"] + command if yields else command
        self.started, self.log = started, log
        self.process = started.start(command, log, CLIENT_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.buffer = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def line(self, seconds):
        """The next line it says, as an object; None when it has ended or the time is over."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                return None
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def wait(self, event, seconds):
        """The next line of this kind."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.line(max(0, deadline - time.monotonic()))
            if line is None:
                raise Refused(f"cyan-swarm did not say {event} within {seconds} s: {self.said()}")
            if line.get("event") == "error":
                raise Refused(f"cyan-swarm refused: {line}")
            if line.get("event") == event:
                return line

    def command(self, cmd, **fields):
        self.process.stdin.write((json.dumps({"cmd": cmd, **fields}) + "\n").encode())
        self.process.stdin.flush()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-300:].strip()

    def close(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        self.started.stop(self.process)
        self.selector.close()
        self.process.stdout.close()


def bench(build, started, log, words, seconds):
    """The line of `cyan-swarm bench`, or None when it said none in time."""
    swarm = Swarm(build, started, log, ["bench"] + words)
    try:
        return swarm.line(seconds)
    finally:
        swarm.close()
