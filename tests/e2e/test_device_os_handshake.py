"""The handshake of a Device OS peer as it is on the wire, read by a relay that has no keys: what such a device insists
on, byte by byte (docs of the devices' protocol, section 2)."""

import pytest

from harness import dtls
from harness.keys import new_device_id
from harness.waiting import wait_until

DEVICE_OS_SUITE = bytes.fromhex("c0ae")
CLIENT_CERTIFICATE_TYPE, SERVER_CERTIFICATE_TYPE, DRAFT_CID, RFC_CID = 19, 20, 254, 54
RAW_PUBLIC_KEY = b"\x02"
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200" "04")


class Trace:
    """One device's datagrams, both ways, taken apart."""

    def __init__(self, relay):
        (self.device,) = relay.devices()
        self.relay = relay

    def records(self, to_server):
        datagrams = self.relay.to_server() if to_server else self.relay.to_device()
        return [record for d in datagrams for record in dtls.records(d.data)]

    def plain_messages(self, to_server):
        return [m for r in self.records(to_server) if r.type == dtls.HANDSHAKE and r.epoch == 0 for m in dtls.messages(r)]

    def message(self, kind, to_server):
        return next(m for m in self.plain_messages(to_server) if m.type == kind)


@pytest.fixture
def connected(cyand, new_relay, new_swarm):
    relay, device = new_relay(cyand), new_device_id()
    swarm = new_swarm(cyand, address=relay.address, file=[{"id": device, "platform": "argon"}])
    swarm.wait_connected(1)
    return Trace(relay), swarm, device


def first_flight_of(server_messages):
    """From the first ServerHello to the ServerHelloDone."""
    start = next(i for i, m in enumerate(server_messages) if m.type == dtls.SERVER_HELLO)
    end = next(i for i, m in enumerate(server_messages) if m.type == dtls.SERVER_HELLO_DONE)
    return server_messages[start:end + 1]


def test_the_server_flight_has_no_certificate(connected):
    trace, _, _ = connected
    messages = trace.plain_messages(to_server=False)
    assert dtls.CERTIFICATE not in [m.type for m in messages]
    flight = first_flight_of(messages)
    assert [m.type for m in flight] == [dtls.SERVER_HELLO, dtls.SERVER_KEY_EXCHANGE, dtls.CERTIFICATE_REQUEST,
                                        dtls.SERVER_HELLO_DONE]
    verify = trace.message(dtls.HELLO_VERIFY, to_server=False)
    assert [m.seq for m in [verify] + flight] == [0, 1, 2, 3, 4], "no gap where the Certificate is not"


def test_the_server_hello_is_what_devices_insist_on(connected):
    trace, _, _ = connected
    version, _, _, suite, compression, extensions = dtls.server_hello(
        trace.message(dtls.SERVER_HELLO, to_server=False).body)
    assert (version, suite, compression) == (b"\xfe\xfd", DEVICE_OS_SUITE, 0)
    assert extensions[CLIENT_CERTIFICATE_TYPE] == RAW_PUBLIC_KEY
    assert extensions[SERVER_CERTIFICATE_TYPE] == RAW_PUBLIC_KEY
    assert extensions[DRAFT_CID][0] == dtls.CID_BYTES and len(extensions[DRAFT_CID]) == 1 + dtls.CID_BYTES
    assert RFC_CID not in extensions
    offered = {13, 10, 11, 19, 20, 254, 0xff01}  # never one the device did not offer; ff01 answers its SCSV
    assert set(extensions) <= offered, extensions


def test_the_key_exchange_is_signed_on_p256(connected):
    trace, _, _ = connected
    body = trace.message(dtls.SERVER_KEY_EXCHANGE, to_server=False).body
    assert body[:5] == b"\x03\x00\x17\x41\x04", "named curve, secp256r1, an uncompressed point"
    assert body[4 + 65:4 + 67] == b"\x04\x03", "ecdsa with SHA-256"


def test_a_certificate_is_asked_for_and_a_raw_key_shown(connected):
    trace, _, _ = connected
    request = trace.message(dtls.CERTIFICATE_REQUEST, to_server=False).body
    assert 0x40 in request[1:1 + request[0]], "ecdsa_sign"
    algorithms = request[1 + request[0] + 2:-2]
    assert b"\x04\x03" in [algorithms[i:i + 2] for i in range(0, len(algorithms), 2)]
    assert request[-2:] == b"\x00\x00", "no authority is named"
    certificate = trace.message(dtls.CERTIFICATE, to_server=True).body
    assert certificate[:3] == (91).to_bytes(3, "big") and certificate[3:3 + len(SPKI_HEAD)] == SPKI_HEAD
    assert trace.message(dtls.CERTIFICATE_VERIFY, to_server=True)


def test_records_carry_the_connection_id_one_way(connected):
    trace, swarm, device = connected
    swarm.publish(device, "first", "1")
    *_, extensions = dtls.server_hello(trace.message(dtls.SERVER_HELLO, to_server=False).body)
    cid = extensions[DRAFT_CID][1:]
    protected = [r for r in trace.records(to_server=True) if r.epoch == 1]
    assert protected and all(r.type == dtls.CID and r.cid == cid for r in protected), "device to server: all of them"
    assert protected[0].seq == 0, "its Finished too"
    server = [r for r in trace.records(to_server=False) if r.epoch == 1]
    assert {r.type for r in server} == {dtls.HANDSHAKE, dtls.APPLICATION}, "server to device: plain types"
    sequences = [r.seq for r in server]
    assert len(set(sequences)) == len(sequences), "no nonce twice"
    assert all(r.body[:8] == r.epoch.to_bytes(2, "big") + r.seq.to_bytes(6, "big") for r in server + protected)
    # draft-05: content, its type, padding to 16, then nonce 8 and tag 8
    assert all((len(r.body) - 16) % 16 == 0 for r in protected)


def test_the_server_hello_fits_a_small_path(connected):
    trace, _, _ = connected
    assert max(len(d.data) for d in trace.relay.to_device()) <= 1200


def test_a_session_goes_on_from_a_new_port_behind_the_devices_back(cyand, connected):
    trace, swarm, device = connected
    port = trace.relay.rebind(trace.device)
    swarm.publish(device, "moved", "1")
    assert any(d.source_port == port for d in trace.relay.to_device()), "the answer comes to the new port"
    assert cyand.metrics().sum("cyan_sessions_moved_total") == 1
    assert swarm.handshakes() == 1


def test_a_resumed_session_is_found_by_records_of_type_253(cyand, connected):
    trace, swarm, device = connected
    first, seen = len(swarm.notices), len(trace.relay.to_server())
    swarm.command("resume", device)
    swarm.wait_notice("online", device, first=first)
    after = [dtls.records(d.data)[0] for d in trace.relay.to_server()[seen:]]
    assert after[0].type == dtls.RESUMED_CID, "the device marks that it moved"
    assert dtls.CID in [r.type for r in after], "and stops marking once it heard the server"
    assert not any(r.epoch == 0 for r in after), "no handshake"
    assert swarm.handshakes() == 1 and cyand.metrics().sum("cyan_handshakes_total", outcome="ok") == 1
    swarm.publish(device, "resumed", "1")
    wait_until(lambda: cyand.rest().device(device)["connected"] is True, "it is listed as connected")
    assert "digitalread" in cyand.rest().device(device)["functions"], "what it said once is still known"


def test_the_server_stops_without_a_word(cyand, connected):
    """close_notify would make the device throw its session away."""
    trace, _, _ = connected
    seen = len(trace.relay.to_device())
    assert cyand.stop() == 0
    wait_until(lambda: cyand.process is None, "stopped")
    alerts = [r for d in trace.relay.to_device()[seen:] for r in dtls.records(d.data) if r.type == dtls.ALERT]
    assert alerts == []


def test_a_forged_hello_from_the_devices_address_harms_nothing(cyand, connected):
    """Anybody can write the device's address on a ClientHello."""
    trace, swarm, device = connected
    for _ in range(5):
        for forged in (dtls.client_hello(), dtls.record(dtls.ALERT, 0, 9, b"\x02\x28"),
                       dtls.record(dtls.ALERT, 0, 10, b"\x01\x00")):
            trace.relay.forge(trace.device, forged)
    wait_until(lambda: cyand.metrics().sum("cyan_dtls_refused_total", reason="no_cookie") >= 6, "they were read")
    swarm.publish(device, "unharmed", "1")
    assert swarm.handshakes() == 1 and cyand.metrics().sum("cyan_sessions") == 1


def test_an_old_device_without_connection_id_is_served(cyand, new_relay, new_swarm):
    relay, device = new_relay(cyand), new_device_id()
    swarm = new_swarm(cyand, address=relay.address, no_cid=True,
                      file=[{"id": device, "platform": "electron", "system_version": 2302}])
    swarm.wait_connected(1)
    trace = Trace(relay)
    *_, extensions = dtls.server_hello(trace.message(dtls.SERVER_HELLO, to_server=False).body)
    assert DRAFT_CID not in extensions and RFC_CID not in extensions, "unasked extensions end its handshake"
    assert extensions[CLIENT_CERTIFICATE_TYPE] == RAW_PUBLIC_KEY
    swarm.publish(device, "old", "1")
    assert {r.type for r in trace.records(to_server=True) if r.epoch == 1} == {dtls.HANDSHAKE, dtls.APPLICATION}
    wait_until(lambda: cyand.rest().device(device)["connected"] is True, "it is listed as connected")


def test_a_standard_psk_client_gets_the_standard_connection_id(cyand, new_relay, new_swarm):
    relay, device = new_relay(cyand), new_device_id()
    swarm = new_swarm(cyand, address=relay.address, file=[{"id": device, "platform": "boron", "profile": "psk"}])
    swarm.wait_connected(1)
    trace = Trace(relay)
    *_, suite, _, extensions = dtls.server_hello(trace.message(dtls.SERVER_HELLO, to_server=False).body)
    assert suite in (b"\xc0\xa8", b"\x00\xa8")
    assert len(extensions[RFC_CID]) == 1 + extensions[RFC_CID][0] and DRAFT_CID not in extensions
    assert dtls.CERTIFICATE not in [m.type for m in trace.plain_messages(to_server=False)]
    relay.rebind(trace.device)
    swarm.publish(device, "moved", "1")
    assert swarm.handshakes() == 1
