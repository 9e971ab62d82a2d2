"""HTTP as bytes, for requests that no client library would send."""

import json
import socket
import time


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Wire:
    """One TCP connection. source: an address of the loopback network to come from."""

    def __init__(self, port, source=None, timeout_s=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s, (source, 0) if source else None)
        self._timeout_s = timeout_s
        self._text = b""

    def send(self, data):
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def rest(self, duration_s):
        """Sends nothing for a while; takes what comes."""
        self.socket.settimeout(duration_s)
        try:
            while self._more():
                pass
        except TimeoutError:
            pass
        self.socket.settimeout(self._timeout_s)

    def end(self):
        """Nothing more will be sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _more(self):
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._text += piece
        return bool(piece)

    def reply(self, has_body=True):
        """The next answer; None when the connection ended before one was whole."""
        while b"\r\n\r\n" not in self._text:
            if not self._more():
                assert not self._text, f"an answer was cut: {self._text[:200]!r}"
                return None
        head, _, rest = self._text.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1."), lines[0]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0)) if has_body else 0
        while len(rest) < length:
            self._text = rest
            if not self._more():
                raise AssertionError(f"the body of an answer was cut: {head!r}")
            rest = self._text
        self._text = rest[length:]
        return Reply(int(lines[0].split()[1]), headers, rest[:length])

    def is_closed(self, deadline_s=10):
        """The server ends the connection, and says nothing more."""
        self.socket.settimeout(deadline_s)
        try:
            while self._more():
                pass
        except TimeoutError:
            return False
        return not self._text

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(method="GET", path="/v1/devices", token=None, headers=(), body=b"", length=True):
    """The bytes of a request in good order, but for what the caller makes of it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += list(headers)
    lines += [f"Content-Length: {len(body)}"] if length and (body or method in ("POST", "PUT")) else []
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def exchange(port, data, deadline_s=60):
    """Sends bytes, says that nothing follows, and returns all answers until the server closes. An end that arrives together with
    what goes before is noticed only when the connection has been idle for 30 s (libmicrohttpd), so it comes a little later."""
    with Wire(port, timeout_s=deadline_s) as wire:
        wire.send(data)
        wire.rest(0.02)
        wire.end()
        replies = []
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            reply = wire.reply()
            if reply is None:
                return replies
            replies.append(reply)
        raise AssertionError(f"no end after {len(replies)} answers")


def check_error(reply, *statuses):
    """An error as every client reads it."""
    assert reply.headers["content-type"] == "application/json; charset=utf-8", reply
    body = reply.json
    assert body["ok"] is False and isinstance(body["error"], str) and body["error"], reply
    assert not statuses or reply.status in statuses, reply
    assert reply.status >= 400 and reply.status not in (500, 502, 503), reply
    return body
