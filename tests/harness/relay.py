"""A UDP relay between devices and the server that keeps every datagram, and can move a device to a new source port."""

import dataclasses
import selectors
import socket
import threading
import time


@dataclasses.dataclass
class Datagram:
    at: float
    to_server: bool
    device: tuple  # the device's address
    source_port: int  # of the relay, toward the server
    data: bytes


class Relay:
    def __init__(self, server):
        self._server = server
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._upstreams = {}  # device address -> socket toward the server
        self._log = []
        self._muted = False
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._front.setblocking(False)
        self._selector.register(self._front, selectors.EVENT_READ, None)
        self._wake, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ, "stop")
        self._woken = woken
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return self._front.getsockname()

    def log(self):
        with self._lock:
            return list(self._log)

    def devices(self):
        with self._lock:
            return list(self._upstreams)

    def to_server(self, device=None):
        return [d for d in self.log() if d.to_server and device in (None, d.device)]

    def to_device(self, device=None):
        return [d for d in self.log() if not d.to_server and device in (None, d.device)]

    def rebind(self, device):
        """From now on the server sees this device come from another port. Returns the new port."""
        with self._lock:
            old = self._upstreams[device]
            fresh = self._open(device)
            self._selector.unregister(old)
            old.close()
            return fresh.getsockname()[1]

    def mute(self, muted=True):
        """From now on nothing the server says reaches a device; what it says is kept in the log all the same."""
        with self._lock:
            self._muted = muted

    def forge(self, device, data):
        """Sends the server what the device never said, from its address."""
        with self._lock:
            self._upstreams[device].send(data)

    def _open(self, device):
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.connect(self._server)
        upstream.setblocking(False)
        self._upstreams[device] = upstream
        self._selector.register(upstream, selectors.EVENT_READ, device)
        return upstream

    def _keep(self, to_server, device, upstream, data):
        self._log.append(Datagram(time.monotonic(), to_server, device, upstream.getsockname()[1], data))

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                if key.data == "stop":
                    return
                with self._lock:
                    self._pass_on(key)

    def _pass_on(self, key):
        try:
            if key.data is None:
                data, device = self._front.recvfrom(65536)
                upstream = self._upstreams.get(device) or self._open(device)
                self._keep(True, device, upstream, data)
                upstream.send(data)
            else:
                data = key.fileobj.recv(65536)
                self._keep(False, key.data, key.fileobj, data)
                if not self._muted:
                    self._front.sendto(data, key.data)
        except OSError:  # the other side is away, or the socket was just replaced: lost, as on any network
            pass

    def close(self):
        self._wake.send(b"x")
        self._thread.join(10)
        self._selector.close()
        for one in [self._front, self._wake, self._woken, *self._upstreams.values()]:
            one.close()
