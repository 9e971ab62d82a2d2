"""cyanctl as a person has it: with a home of its own, so that nobody's login is read or written."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time

from . import paths
from .cyand import clean_environment


class Ctl:
    def __init__(self, home, url=None, token=None, **environment):
        home.mkdir(exist_ok=True)
        self.home = home
        self.env = {**clean_environment(), "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "LC_ALL": "C.UTF-8",
                    "TZ": "UTC", "TERM": "xterm", **environment}
        if url is not None:
            self.env["CYAN_URL"] = url
        if token is not None:
            self.env["CYAN_TOKEN"] = token

    @property
    def login_file(self):
        return self.home / "config" / "cyan" / "login.json"

    def __call__(self, *words, stdin=None, timeout_s=60):
        options = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([str(paths.CYANCTL), *map(str, words)], env=self.env, capture_output=True, text=True,
                              timeout=timeout_s, **options)

    def ok(self, *words, **options):
        """What it printed; it must have gone well, without a word on stderr."""
        result = self(*words, **options)
        assert result.returncode == 0 and result.stderr == "", result
        return result.stdout

    def json(self, *words, **options):
        return json.loads(self.ok(*words, "--json", **options))

    def refused(self, code, *words, says=(), **options):
        """One line on stderr, this exit code, and these words in the line."""
        result = self(*words, **options)
        lines = result.stderr.splitlines()
        assert result.returncode == code, result
        assert len(lines) == 1 and lines[0].startswith("cyanctl: "), result
        assert "curl" not in lines[0].lower() and "errno" not in lines[0].lower(), lines[0]
        for said in [says] if isinstance(says, str) else says:
            assert said in lines[0], lines[0]
        return lines[0]

    def start(self, *words, **options):
        return subprocess.Popen([str(paths.CYANCTL), *map(str, words)], env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def at_terminal(self, *words, columns=80, typed="", deadline_s=30):
        """(exit code, everything that appeared) on a terminal; typed is entered when it has asked."""
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            os.execve(paths.CYANCTL, [str(paths.CYANCTL), *map(str, words)], self.env)
        seen, until = b"", time.monotonic() + deadline_s
        while time.monotonic() < until:
            if not select.select([terminal], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            if not data:
                break
            seen += data
            if typed and seen.rstrip().endswith(b":"):
                os.write(terminal, typed.encode() + b"\n")
                typed = ""
        else:
            os.kill(pid, 9)
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode("utf-8", "replace")
