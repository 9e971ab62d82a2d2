"""A private Redis: its own folder, a unix socket in it, no network; it keeps its data there as ./run's does."""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from . import paths, processes
from .waiting import wait_until

PREFIX = "cyan:"  # the default of store.redis_prefix


class RedisError(Exception):
    """What Redis answered instead."""


class _Connection:
    """One connection that speaks the protocol of Redis: numbers as int, texts as bytes, no value as None."""

    def __init__(self, path, timeout_s=10.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
            self._file = self._socket.makefile("rb")
        except OSError:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):  # it wakes whoever reads
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()

    def send(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def receive(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode("utf-8", "replace"))
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self.receive() for _ in range(number)]
        data = self._file.read(number + 2)
        if len(data) != number + 2:
            raise ConnectionError("Redis closed the connection")
        return data[:-2]


class Monitor:
    """Every command that Redis gets while this is open, one line each, as MONITOR prints them."""

    def __init__(self, path):
        self.lines = []
        self._connection = _Connection(path, timeout_s=None)
        self._connection.send("MONITOR")
        assert self._connection.receive() == b"OK"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            while True:
                self.lines.append(self._connection.receive().decode("utf-8", "replace"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()
        self._reader.join(10)

    def count(self, text):
        return sum(text in line for line in list(self.lines))


class Space:
    """The keys of one prefix. Cyand(..., **space.settings) uses them."""

    def __init__(self, server, prefix):
        self.server, self.prefix = server, prefix

    @property
    def settings(self):
        return {"store_redis": self.server.socket, "store_redis_prefix": self.prefix}

    def key(self, name):
        return self.prefix + name

    def keys(self, pattern="*"):
        """Names without the prefix, sorted."""
        return sorted(name[len(self.prefix):] for name in self.server.scan(self.prefix + pattern))

    def command(self, *words):
        return self.server.command(*words)


class Redis(Space):
    """One server. Space is what it offers under the default prefix; space(prefix) is another."""

    def __init__(self):
        super().__init__(self, PREFIX)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cyan-redis-", dir="/tmp"))
        self.socket = self.folder / "socket"
        self._process = None
        self.start()

    def space(self, prefix):
        return Space(self, prefix)

    # --- life ---

    def start(self):
        assert self._process is None
        with open(self.folder / "log", "ab") as log:
            self._process = processes.start([paths.ROOT / "scripts" / "private-redis.sh", self.folder / "data",
                                             self.socket], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, lambda: "Redis answers; its log: " + self.log(), 60)
        return self

    def _answers(self):
        assert self._process.poll() is None, self.log()
        try:
            return self.command("PING") == b"PONG"
        except (OSError, RedisError):  # not there yet, or it still reads its files
            return False

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]

    def stop(self, how=signal.SIGTERM):
        process, self._process = self._process, None
        return processes.stop(process, how)

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self):
        """Stops it cleanly and starts it on the same socket with the same data."""
        self.stop()
        return self.start()

    @contextlib.contextmanager
    def frozen(self):
        """Its connections stay open, but nothing answers."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield self
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self):
        if self._process is not None:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what it holds ---

    def command(self, *words):
        """The answer: int, bytes, list or None; RedisError when Redis refuses."""
        with _Connection(self.socket) as connection:
            connection.send(*words)
            return connection.receive()

    def scan(self, pattern="*"):
        """Names of all keys that match, as text."""
        found, cursor = set(), b"0"
        with _Connection(self.socket) as connection:
            while True:
                connection.send("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                cursor, names = connection.receive()
                found.update(name.decode("utf-8", "replace") for name in names)
                if cursor == b"0":
                    return found

    def monitor(self):
        return Monitor(self.socket)
