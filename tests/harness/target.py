"""A server that webhooks send to: real HTTP on a loopback port, which remembers what it was sent and answers as told."""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
import urllib.parse


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.path, _, query = path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    @property
    def text(self):
        return self.body.decode()

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.text, keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def delivery(self):
        return self.headers["X-Cyan-Delivery"]

    def is_signed_with(self, secret):
        parts = dict(part.split("=") for part in self.headers["X-Cyan-Signature"].split(","))
        expected = hmac.new(secret.encode(), f"{parts['t']}.".encode() + self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, parts["v1"])

    @property
    def basic(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if kind == "Basic" else None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, host):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.server.target
        request = Request(self.command, self.path, self.headers, body)
        with target.lock:
            target.requests.append(request)
            target.now += 1
            target.at_once = max(target.at_once, target.now)
        try:
            status, headers, answer = target.answer(request)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with target.lock:
                target.now -= 1

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, *args):
        pass


class Target:
    """answer(request) gives (status, headers, body); it may be set to another at any time. certificate: PEM files of a
    certificate and its key; then it speaks HTTPS."""

    def __init__(self, host="127.0.0.1", certificate=None):
        self.lock, self.requests, self.now, self.at_once = threading.Lock(), [], 0, 0
        self.answer = lambda request: (200, {}, b"")
        self._server = _Server(host)
        self._server.target = self
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    def url(self, path="/", host="127.0.0.1"):
        return f"{self._scheme}://{host}:{self.port}{path}"

    def all(self):
        with self.lock:
            return list(self.requests)

    def times_by(self, what):
        return collections.Counter(what(request) for request in self.all())

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
