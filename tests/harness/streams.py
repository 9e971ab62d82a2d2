"""Readers of event streams, as plain as can be: what a client sees byte by byte."""

import json
import socket
import threading

from .waiting import wait_until


class Stream:
    """One reader; a thread of its own takes what comes until the server ends it, or close(). head: status line and headers."""

    def __init__(self, rest, path, version="1.1", receive_bytes=None, reading=True):
        self._socket = socket.socket()
        if receive_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(60)
        self._socket.connect((rest.host, rest.port))
        self._socket.sendall(f"GET {path} HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer {rest.token}\r\n\r\n".encode())
        self._in = self._socket.makefile("rb")
        self.head = self._read_head()
        self.status = int(self.head.split()[1])
        self.events, self.comments, self.empty_lines = [], [], 0
        self.error = None  # the JSON of a refusal
        self.ended, self.broken = False, False  # ended as it should; or in the middle
        if self.status != 200:
            self.error = json.loads(self._in.read(self._length()))
            self._socket.close()
            return
        self._name = self._data = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        if reading:
            self._thread.start()

    def _read_head(self):
        lines = []
        while True:
            line = self._in.readline().decode()
            assert line, f"no answer: {lines}"
            if line == "\r\n":
                return "".join(lines)
            lines.append(line)

    def _length(self):
        return next(int(line.split(":")[1]) for line in self.head.splitlines() if line.lower().startswith("content-length"))

    def _chunks(self):
        if "transfer-encoding: chunked" not in self.head.lower():
            while piece := self._in.read1(65536):
                yield piece
            self.ended = True
            return
        while True:
            size = self._in.readline()
            if not size:
                self.broken = True
                return
            size = int(size, 16)
            piece = self._in.read(size)
            self._in.readline()
            if size == 0:
                self.ended = True
                return
            yield piece

    def _take(self, line):
        if line.startswith(":"):
            self.comments.append(line[1:])
        elif line.startswith("event: "):
            assert self._name is None
            self._name = line[7:]
        elif line.startswith("data: "):
            assert self._data is None
            self._data = json.loads(line[6:])
        elif line == "":
            if self._name is None and self._data is None:
                self.empty_lines += 1
            else:
                self.events.append((self._name, self._data))
            self._name = self._data = None
        else:
            raise AssertionError(f"a line that is none of an event stream: {line!r}")

    def _run(self):
        rest = ""
        try:
            for piece in self._chunks():
                lines = (rest + piece.decode("utf-8")).split("\n")
                rest = lines.pop()
                for line in lines:
                    self._take(line)
        except (OSError, ValueError):
            self.broken = True

    def start_reading(self):
        self._thread.start()

    # --- what it has heard ---

    def heard(self):
        """(name, data) of each event so far."""
        return [(name, body["data"]) for name, body in list(self.events)]

    def wait_heard(self, expected, deadline_s=20):
        """Exactly these, in this order."""
        wait_until(lambda: self.heard() == expected or len(self.events) > len(expected),
                   lambda: f"the stream brings {expected}; it brought {self.heard()}", deadline_s)
        assert self.heard() == expected

    def wait_for(self, name, data, deadline_s=30):
        return wait_until(lambda: next((body for n, body in list(self.events) if n == name and body["data"] == data), None),
                          lambda: f"the stream brings {name} {data}; it brought {self.heard()[-20:]}", deadline_s)

    def wait_end(self, deadline_s=30):
        wait_until(lambda: self.ended or self.broken, "the stream ends", deadline_s)

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()
