"""A peer that has not proved its address costs no memory and never gets more than three times the bytes it sent."""

import os
import select
import socket

import pytest

from harness import dtls, paths
from harness.cyand import Cyand
from harness.waiting import wait_until

class Peer:
    """One UDP socket that counts bytes each way."""

    def __init__(self, cyand, source="127.0.0.1"):
        self._cyand = cyand
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(cyand.address)
        self.sent_bytes = 0

    def send(self, *datagrams):
        """Sends, and returns all the server sent back by the time it had handled them."""
        before = self._cyand.metrics().sum("cyan_udp_received_total")
        for datagram in datagrams:
            self.socket.send(datagram)
            self.sent_bytes += len(datagram)
        wait_until(lambda: self._cyand.metrics().sum("cyan_udp_received_total") >= before + len(datagrams),
                   "the server has read the datagrams")
        return self.drain()

    def drain(self):
        got = []
        while select.select([self.socket], [], [], 0)[0]:
            got.append(self.socket.recv(65536))
        return got

    def close(self):
        self.socket.close()


@pytest.fixture
def new_peer(cyand):
    made = []

    def make(**options):
        made.append(Peer(cyand, **options))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


def assert_nothing_spent(cyand):
    metrics = cyand.metrics()
    assert metrics.sum("cyan_handshakes_in_flight") == 0
    assert metrics.sum("cyan_sessions") == 0


def refused(cyand, reason):
    return cyand.metrics().sum("cyan_dtls_refused_total", reason=reason)


def test_a_hello_without_cookie_gets_a_cookie_and_takes_no_place(cyand, new_peer):
    peer, hello = new_peer(), dtls.client_hello()
    answers = peer.send(hello)
    assert len(answers) == 1
    assert len(dtls.cookie_of(answers[0])) <= 32  # devices were tried with up to 32
    assert len(answers[0]) <= len(hello)
    assert refused(cyand, "no_cookie") == 1
    assert_nothing_spent(cyand)


def test_a_cookie_that_returns_gets_the_server_hello(cyand, new_peer):
    peer, random = new_peer(), os.urandom(32)
    cookie = dtls.cookie_of(peer.send(dtls.client_hello(random))[0])
    answers = peer.send(dtls.client_hello(random, cookie, message_seq=1, record_seq=1))
    first = dtls.messages(dtls.records(answers[0])[0])[0]
    assert first.type == dtls.SERVER_HELLO
    assert cyand.metrics().sum("cyan_handshakes_in_flight") == 1


def test_a_cookie_is_good_for_its_address_port_and_random_only(cyand, new_peer):
    owner, random = new_peer(), os.urandom(32)
    cookie = dtls.cookie_of(owner.send(dtls.client_hello(random))[0])
    forged = bytearray(cookie)
    forged[7] ^= 1
    attempts = [
        (new_peer(), random, cookie),                     # another port
        (new_peer(source="127.9.8.7"), random, cookie),   # another address
        (owner, os.urandom(32), cookie),                  # another ClientHello
        (owner, random, bytes(forged)),                   # changed
        (owner, random, cookie[:31]),                     # cut
        (owner, random, os.urandom(255)),                 # made up, as long as can be
    ]
    for count, (peer, client_random, tried) in enumerate(attempts, 1):
        answers = peer.send(dtls.client_hello(client_random, tried, message_seq=1, record_seq=1))
        assert [dtls.messages(dtls.records(answer)[0])[0].type for answer in answers] == [dtls.HELLO_VERIFY]
        assert refused(cyand, "bad_cookie") == count
        assert_nothing_spent(cyand)
    answers = owner.send(dtls.client_hello(random, cookie, message_seq=1, record_seq=1))
    assert dtls.messages(dtls.records(answers[0])[0])[0].type == dtls.SERVER_HELLO


def unproved_datagrams():
    """What a peer may send before it has proved anything, small and odd."""
    body = dtls.client_hello_body()
    smallest = dtls.client_hello(suites=b"", extension_block=b"")
    whole = dtls.client_hello()
    yield "as devices send it", whole
    yield "as small as can be", smallest
    yield "one suite, no extensions", dtls.client_hello(suites=b"\xc0\xa8", extension_block=b"")
    yield "DTLS 1.0", dtls.client_hello(version=b"\xfe\xff")
    yield "record version 1.0", whole[:1] + b"\xfe\xff" + whole[3:]
    yield "made-up cookie", dtls.client_hello(cookie=os.urandom(32), message_seq=1)
    yield "empty message", dtls.handshake_record(dtls.CLIENT_HELLO, b"")
    yield "first byte only", dtls.handshake_record(dtls.CLIENT_HELLO, body, fragment=(0, 1))
    for at in range(0, len(body), 20):
        yield f"fragment at {at}", dtls.handshake_record(dtls.CLIENT_HELLO, body,
                                                         fragment=(at, min(20, len(body) - at)))
    for length in range(1, len(whole), 7):
        yield f"first {length} bytes", whole[:length]
    yield "no handshake message", dtls.record(dtls.HANDSHAKE, 0, 0, b"")
    yield "alert", dtls.record(dtls.ALERT, 0, 0, b"\x02\x28")
    yield "two in one datagram", smallest + smallest
    yield "one byte", b"\x00"


@pytest.mark.parametrize("datagram", [pytest.param(datagram, id=name) for name, datagram in unproved_datagrams()])
def test_never_more_than_three_times_the_bytes(shared_cyand, datagram):
    peer = Peer(shared_cyand)
    try:
        answered = sum(map(len, peer.send(datagram, datagram, datagram)))
        assert answered <= 3 * peer.sent_bytes
        assert_nothing_spent(shared_cyand)
    finally:
        peer.close()


@pytest.fixture(scope="module")
def shared_cyand(postgres, migrated):
    """One server for the many small datagrams; none of them may leave a trace in it."""
    server = Cyand(postgres, postgres.create_database(template=migrated)).start()
    try:
        yield server
    finally:
        server.close()


def test_a_flood_of_hellos_takes_no_memory(cyand, new_peer):
    """Each from its own random: what a spoofing flood looks like."""
    peers = [new_peer(source=f"127.0.{i}.1") for i in range(8)]
    for peer in peers:  # buffers and caches are warm before the measurement
        peer.send(*[dtls.client_hello() for _ in range(200)])
    before = cyand.resident_bytes()
    for _ in range(12):
        for peer in peers:
            peer.send(*[dtls.client_hello() for _ in range(200)])
    grown = cyand.resident_bytes() - before
    handled = refused(cyand, "no_cookie")
    assert handled == 13 * 8 * 200
    allowed = 256 * 1024 if paths.build_profile() in ("dev", "release") else 8 << 20  # sanitizers keep what is freed
    assert grown <= allowed, f"{grown} bytes for {12 * 8 * 200} hellos"
    assert_nothing_spent(cyand)
