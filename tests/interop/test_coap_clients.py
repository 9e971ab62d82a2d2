"""libcoap's command-line clients on OpenSSL and GnuTLS, which we did not write, talk to Cyan with a pre-shared key."""

import re
import shutil
import subprocess
import time

import pytest

from harness.keys import new_device_id

SECRET = "a-shared-secret-of-24-by"  # libcoap takes the key as text
CLIENTS = ["coap-client-openssl", "coap-client-gnutls"]


@pytest.fixture(params=CLIENTS)
def client(request):
    assert shutil.which(request.param), f"{request.param} is missing: install Debian's libcoap3-bin"
    return request.param


@pytest.fixture
def identity(cyand):
    device = new_device_id()
    cyand.command("device", "add", device, "--psk", SECRET.encode().hex())
    return device


class Exchange:
    def __init__(self, client, cyand, path, identity, secret=SECRET, *options):
        argv = [client, "-v", "7", "-B", "15", "-u", identity, "-k", secret, *options,
                f"coaps://127.0.0.1:{cyand.coap_port}{path}"]
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        self.payload = ran.stdout
        self.log = (ran.stdout + ran.stderr).decode("utf-8", "replace")

    def code(self):
        """Of the response: `2.05`. libcoap logs the messages it sends and receives; requests have codes GET and so on."""
        codes = re.findall(r"\bc:(\d\.\d\d)\b", self.log)
        return next((code for code in codes if code != "0.00"), None)


def test_discovery_lists_what_there_is(cyand, client, identity):
    exchange = Exchange(client, cyand, "/.well-known/core", identity)
    assert exchange.code() == "2.05", exchange.log
    assert "</t>" in exchange.log


def test_time_is_the_time(cyand, client, identity, tmp_path):
    out = tmp_path / "time"
    before = int(time.time())
    exchange = Exchange(client, cyand, "/t", identity, SECRET, "-o", str(out))
    assert exchange.code() == "2.05", exchange.log
    told = out.read_bytes()
    assert len(told) == 4, told
    assert before <= int.from_bytes(told, "big") <= int(time.time())


def test_unknown_path_is_not_found(cyand, client, identity):
    assert Exchange(client, cyand, "/no/such/thing", identity).code() == "4.04"


def test_wrong_method_is_not_allowed(cyand, client, identity):
    assert Exchange(client, cyand, "/t", identity, SECRET, "-m", "delete").code() == "4.05"


def test_unknown_critical_option_is_a_bad_option(cyand, client, identity):
    exchange = Exchange(client, cyand, "/t", identity, SECRET, "-O", "9,x")  # 9 is critical and not assigned
    assert exchange.code() == "4.02", exchange.log


def test_wrong_secret_is_refused(cyand, client, identity):
    exchange = Exchange(client, cyand, "/t", identity, "not-the-secret-of-24-byt")
    assert exchange.code() is None, exchange.log
    assert cyand.metrics().sum("cyan_handshakes_total", outcome="bad_finished") >= 1
    assert cyand.metrics().sum("cyan_handshakes_total", outcome="ok") == 0


def test_unknown_identity_is_refused(cyand, client):
    exchange = Exchange(client, cyand, "/t", new_device_id())
    assert exchange.code() is None, exchange.log
    assert cyand.metrics().sum("cyan_handshakes_total", outcome="unknown_identity") >= 1
    assert cyand.metrics().sum("cyan_handshakes_total", outcome="ok") == 0
