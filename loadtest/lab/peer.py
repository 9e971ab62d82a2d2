"""A coap-server of libcoap, which plain PSK clients can be measured against."""

import os
import socket

from . import processes
from .processes import SERVER_CORE, Refused, wait_for

SECRET = "bench-secret"
PROGRAMS = {"openssl": "coap-server-openssl", "gnutls": "coap-server-gnutls"}


def free_udp_port_pair():
    """A port whose successor is free too: coap-server speaks DTLS on the second."""
    for port in range(21000, 30000, 2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
            try:
                a.bind(("127.0.0.1", port))
                b.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise Refused("no free UDP ports")


class Peer:
    """Started anew for each measurement: it slows down with what it remembers."""

    def __init__(self, name, folder, started):
        self.name, self.program, self.folder, self.started = name, PROGRAMS[name], folder, started

    def start(self):
        port = free_udp_port_pair()
        self.process = self.started.start([self.program, "-A", "127.0.0.1", "-p", str(port), "-k", SECRET, "-v", "0"],
                                          os.path.join(self.folder, "peer.log"), SERVER_CORE)
        self.address = f"127.0.0.1:{port + 1}"

        def listening():
            if self.process.poll() is not None:
                raise Refused(f"{self.program} did not start")
            return any(f":{port + 1:04X} " in line for line in open("/proc/net/udp", encoding="ascii"))

        wait_for(listening, self.program)

    def stop(self):
        self.started.stop(self.process)

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        return processes.resident_bytes(self.pid)

    def client(self):
        return ["--server", self.address, "--server-pid", str(self.pid), "--profile", "psk", "--identity", "bench", "--psk",
                SECRET.encode().hex(), "--no-cid", "--path", "/time"]
