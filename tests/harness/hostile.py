"""Datagrams that no server should take, made from a recording of good ones."""

import random
import socket

from . import dtls


def random_bytes(rng):
    """Noise of any length; now and then with the beginning of a DTLS record."""
    noise = rng.randbytes(rng.choice((0, 1, 5, 12, 13, 14, 30, 60, 200, 600, 1400)))
    if rng.random() < 0.3 and len(noise) > 3:
        noise = bytes([rng.choice((20, 21, 22, 23, 24, 25, 253, 254))]) + b"\xfe\xfd" + noise[3:]
    return noise


def truncated(rng, recording):
    datagram = rng.choice(recording)
    return datagram[:rng.randrange(len(datagram))]


def mutated(rng, recording):
    """Some bytes of a datagram of a handshake changed, or none: then it is a replay from a foreign address."""
    datagram = bytearray(rng.choice(recording))
    for _ in range(rng.randrange(4)):
        datagram[rng.randrange(len(datagram))] ^= rng.randrange(1, 256)
    return bytes(datagram)


def forged_cid(rng, live_cids):
    """A well-formed protected record for somebody's connection ID, or for nobody's, with a body nobody sealed."""
    cid = rng.choice(live_cids) if live_cids and rng.random() < 0.5 else rng.randbytes(dtls.CID_BYTES)
    epoch = rng.choice((1, 1, 1, 2))
    body = rng.randbytes(8 + rng.choice((16, 32, 48, 80)) + 8)
    return dtls.record(rng.choice((dtls.CID, dtls.RESUMED_CID)), epoch, rng.randrange(1 << 20, 1 << 30), body, cid)


def replayed(rng, records):
    """A protected record that a good device sent before, as it was, or with one byte changed (not its length: one
    datagram stays one record)."""
    record = bytearray(rng.choice(records))
    if rng.random() < 0.5:
        at = rng.choice([i for i in range(len(record)) if i not in (19, 20)])
        record[at] ^= rng.randrange(1, 256)
    return bytes(record)


def moved_session(rng):
    """What devices before 3.1 send after a move, of a device nobody knows."""
    return dtls.record(dtls.MOVED, 1, rng.randrange(1 << 16), rng.randbytes(32)) + rng.randbytes(12) + b"\x0c"


def hello_flood(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return dtls.client_hello(rng.randbytes(32))
    if kind == 1:
        return dtls.client_hello(rng.randbytes(32), rng.randbytes(32), message_seq=1, record_seq=1)
    if kind == 2:
        return dtls.client_hello(rng.randbytes(32), suites=rng.randbytes(2 * rng.randrange(40)))
    body = dtls.client_hello_body(rng.randbytes(32))
    at = rng.randrange(len(body))
    return dtls.handshake_record(dtls.CLIENT_HELLO, body, fragment=(at, rng.randrange(1, len(body) - at + 1)))


class Attacker:
    """Sockets on several addresses of the loopback network that send and never listen."""

    def __init__(self, target, sources, seed):
        self.rng = random.Random(seed)
        self.sent = 0
        self._target = target
        self._sockets = []
        for source in sources:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind((source, 0))
            self._sockets.append(one)

    def send(self, datagram):
        self.rng.choice(self._sockets).sendto(datagram, self._target)
        self.sent += 1

    def close(self):
        for one in self._sockets:
            one.close()


def kernel_drops(port):
    """Datagrams that the kernel threw away because the receiver of this port was behind."""
    drops = 0
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            with open(table, encoding="ascii") as file:
                next(file)
                for line in file:
                    fields = line.split()
                    if int(fields[1].rpartition(":")[2], 16) == port:
                        drops += int(fields[-1])
        except FileNotFoundError:
            continue
    return drops
