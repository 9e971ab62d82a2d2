"""`openssl s_client -dtls1_2`, which we did not write: certificates on P-256, pinned or under an authority, and
pre-shared keys."""

import re
import socket
import subprocess
import time

import pytest

from harness import processes
from harness.keys import Key, new_device_id
from harness.waiting import wait_until

GET_TIME = bytes.fromhex("4101010655b174")  # CON GET /t, message id 0106, token 55
ANSWER_HEAD = bytes.fromhex("6145010655")  # ACK 2.05 of it


class Session:
    """One s_client, with its terminal as pipes: what is written goes out as one record."""

    def __init__(self, cyand, tmp_path, *options):
        self._out = tmp_path / f"s_client-{time.monotonic_ns()}.out"
        with open(self._out, "wb") as out:
            self._process = processes.start(
                ["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{cyand.coap_port}", "-timeout", *options],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)

    @property
    def output(self):
        return self._out.read_bytes()

    def ended(self):
        return self._process.poll() is not None

    def wait_handshake(self):
        wait_until(lambda: self.ended() or b"Verify return code" in self.output or b"PSK identity:" in self.output,
                   lambda: f"the handshake is over: {self.output!r}")
        return self

    def cipher(self):
        match = re.search(rb"Cipher is (\S+)", self.output)
        return match.group(1).decode() if match else None

    def ask_time(self):
        """The payload of the answer: four bytes after the options and ff."""
        self._process.stdin.write(GET_TIME)
        self._process.stdin.flush()
        wait_until(lambda: ANSWER_HEAD in self.output or self.ended(), lambda: f"an answer: {self.output!r}")
        assert ANSWER_HEAD in self.output, self.output
        answer = re.compile(re.escape(ANSWER_HEAD) + rb"[^\xff]*\xff(.{4})", re.DOTALL)
        return wait_until(lambda: answer.search(self.output), "the whole answer").group(1)

    def wait_refused(self):
        """The server ends it: s_client says why and goes."""
        wait_until(self.ended, lambda: f"the server ends the session: {self.output!r}")
        return self.output

    def close(self):
        processes.stop(self._process)
        self._process.stdin.close()


@pytest.fixture
def open_session(tmp_path):
    made = []

    def make(cyand, *options):
        session = Session(cyand, tmp_path, *map(str, options))
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


def assert_tells_the_time(session):
    told = int.from_bytes(session.ask_time(), "big")
    assert abs(told - time.time()) < 60


def outcome(cyand, name):
    return cyand.metrics().sum("cyan_handshakes_total", outcome=name)


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8",
                                   "ECDHE-ECDSA-AES128-CCM"])
def test_enrolled_certificate_completes(cyand, open_session, tmp_path, suite):
    key, device = Key(tmp_path, "device"), new_device_id()
    cyand.rest().ok("POST", f"/v1/provisioning/{device}",
                    {"deviceID": device, "publicKey": key.public_pem, "algorithm": "ecc", "filename": "test"})
    session = open_session(cyand, "-cert", key.self_signed(device), "-key", key.path, "-cipher", suite)
    session.wait_handshake()
    assert session.cipher() == suite, session.output
    assert_tells_the_time(session)
    assert outcome(cyand, "ok") == 1


def test_unknown_certificate_is_refused_and_counted(cyand, open_session, tmp_path):
    key = Key(tmp_path, "stranger")
    session = open_session(cyand, "-cert", key.self_signed("stranger"), "-key", key.path)
    assert b"alert" in session.wait_refused(), session.output
    wait_until(lambda: outcome(cyand, "unknown_key") == 1, "the refusal is counted")
    assert outcome(cyand, "ok") == 0
    wait_until(lambda: cyand.metrics().sum("cyan_sessions") == 0, "no session is left")


def test_no_certificate_is_refused(cyand, open_session):
    session = open_session(cyand)
    session.wait_refused()
    assert outcome(cyand, "ok") == 0
    assert cyand.metrics().sum("cyan_sessions") == 0


def test_certificate_on_another_curve_is_refused(cyand, open_session, tmp_path):
    key = Key(tmp_path, "other-curve", curve="P-384")
    session = open_session(cyand, "-cert", key.self_signed("other-curve"), "-key", key.path)
    session.wait_refused()
    assert outcome(cyand, "ok") == 0
    assert cyand.metrics().sum("cyan_sessions") == 0


@pytest.fixture
def authority(tmp_path):
    ca = Key(tmp_path, "authority")
    ca.self_signed("Test Authority", is_ca=True)
    return ca


def test_certificate_of_the_authority_completes_without_enrolling_its_key(new_cyand, open_session, tmp_path, authority):
    cyand = new_cyand(keys_ca_file=tmp_path / "authority.crt")
    device = new_device_id()
    cyand.command("device", "add", device, "--psk", "00112233445566778899aabbccddeeff")  # known, by another credential
    key = Key(tmp_path, "device")
    session = open_session(cyand, "-cert", key.signed_by(authority, device), "-key", key.path).wait_handshake()
    assert session.cipher(), session.output
    assert_tells_the_time(session)


def test_certificate_of_another_authority_is_refused(new_cyand, open_session, tmp_path, authority):
    cyand = new_cyand(keys_ca_file=tmp_path / "authority.crt")
    device = new_device_id()
    cyand.command("device", "add", device, "--psk", "00112233445566778899aabbccddeeff")
    rogue, key = Key(tmp_path, "rogue"), Key(tmp_path, "device")
    rogue.self_signed("Test Authority", is_ca=True)  # the same name, another key
    session = open_session(cyand, "-cert", key.signed_by(rogue, device), "-key", key.path)
    session.wait_refused()
    assert outcome(cyand, "ok") == 0
    assert cyand.metrics().sum("cyan_sessions") == 0


@pytest.mark.parametrize("suite", ["PSK-AES128-CCM8", "PSK-AES128-GCM-SHA256"])
def test_shared_key_completes(cyand, open_session, suite):
    device, secret = new_device_id(), "000102030405060708090a0b0c0d0e0f"
    cyand.rest().ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": secret})
    session = open_session(cyand, "-psk_identity", device, "-psk", secret, "-cipher", suite).wait_handshake()
    assert session.cipher() == suite, session.output
    assert_tells_the_time(session)


def test_wrong_shared_key_is_refused(cyand, open_session):
    device = new_device_id()
    cyand.rest().ok("POST", f"/v1/provisioning/{device}",
                    {"algorithm": "psk", "psk": "000102030405060708090a0b0c0d0e0f"})
    session = open_session(cyand, "-psk_identity", device, "-psk", "ff" * 16, "-cipher", "PSK-AES128-CCM8")
    wait_until(lambda: outcome(cyand, "bad_finished") >= 1, "the refusal is counted")
    assert outcome(cyand, "ok") == 0
    assert not re.search(rb"Master-Key: [0-9A-F]{32}.*\n.*closed", session.output)


def test_only_dtls_1_2_is_spoken(cyand):
    """A client that offers DTLS 1.0 only is told so and counted."""
    ran = subprocess.run(["openssl", "s_client", "-dtls1", "-connect", f"127.0.0.1:{cyand.coap_port}", "-timeout",
                          "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert b"Cipher is (NONE)" in ran.stdout, ran.stdout
    assert outcome(cyand, "unsupported_version") >= 1
    assert cyand.metrics().sum("cyan_handshakes_in_flight") == 0


def test_a_client_without_a_common_suite_is_told(cyand):
    ran = subprocess.run(["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{cyand.coap_port}", "-timeout",
                          "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=60)
    assert b"Cipher is (NONE)" in ran.stdout, ran.stdout
    assert outcome(cyand, "no_common_suite") >= 1


def test_ipv6_is_served_too(new_cyand, open_session, tmp_path):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
    cyand = new_cyand(coap_bind="127.0.0.1,::1")
    device, secret = new_device_id(), "000102030405060708090a0b0c0d0e0f"
    cyand.command("device", "add", device, "--psk", secret)
    session = open_session(cyand, "-connect", f"[::1]:{cyand.coap_port}", "-psk_identity", device, "-psk", secret,
                           "-cipher", "PSK-AES128-CCM8")
    session.wait_handshake()
    assert_tells_the_time(session)
