"""With http.tls_cert and http.tls_key the REST interface speaks TLS, and only TLS."""

import json
import subprocess

import pytest

from harness import processes
from harness.firmware import BORON, module
from harness.waiting import wait_until


@pytest.fixture
def tls_cyand(new_cyand, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = new_cyand(http_tls_cert=certificate, http_tls_key=key)
    return server, certificate


def curl(*words):
    return subprocess.run(["curl", "-sS", "--max-time", "20", *map(str, words)], capture_output=True, text=True)


def test_a_client_that_trusts_the_certificate_is_served(tls_cyand):
    server, certificate = tls_cyand
    url = f"https://127.0.0.1:{server.http_port}"
    health = curl("--cacert", certificate, f"{url}/health")
    assert health.returncode == 0, health.stderr
    assert json.loads(health.stdout)["ok"] is True
    token = server.create_token("admin")
    devices = curl("--cacert", certificate, "-H", f"Authorization: Bearer {token}", f"{url}/v1/devices")
    assert json.loads(devices.stdout) == []


def test_a_file_is_taken_and_given_back(tls_cyand, tmp_path):
    server, certificate = tls_cyand
    firmware = tmp_path / "part.bin"
    firmware.write_bytes(module(BORON, "s", 1, 6200, size=1_400_000))  # large enough for curl to ask before it sends
    who = ["--cacert", certificate, "-H", f"Authorization: Bearer {server.create_token('admin')}"]
    url = f"https://127.0.0.1:{server.http_port}/v1/firmware"
    stored = curl(*who, "-F", f"file=@{firmware}", url)
    assert stored.returncode == 0, stored.stderr
    copy = tmp_path / "copy.bin"
    fetched = curl(*who, "-o", copy, f"{url}/{json.loads(stored.stdout)['firmware']['id']}/binary")
    assert fetched.returncode == 0 and copy.read_bytes() == firmware.read_bytes(), fetched.stderr
    refused = curl("--cacert", certificate, "-F", f"file=@{firmware}", url)
    assert json.loads(refused.stdout)["error"] == "invalid_request"


def test_an_event_stream(tls_cyand, tmp_path):
    server, certificate = tls_cyand
    who = ["--cacert", certificate, "-H", f"Authorization: Bearer {server.create_token('owner', 'joe')}"]
    url = f"https://127.0.0.1:{server.http_port}/v1/devices/events"
    heard = tmp_path / "heard"
    stream = processes.start(["curl", "-sSN", "--max-time", "120", "-o", heard, *who, f"{url}/demo"], stdin=subprocess.DEVNULL)
    wait_until(lambda: heard.exists() and heard.read_text().startswith(":ok\n\n"), "the first words")
    for n in range(50):
        published = curl(*who, "-d", f"name=demo/{n}", "-d", "data=" + "x" * 1000, url)
        assert json.loads(published.stdout) == {"ok": True}
    wait_until(lambda: heard.read_text().count('"data":"xxx') == 50, lambda: f"all of them: {heard.read_text()[-300:]}")
    processes.stop(stream)


def test_plain_http_gets_nothing(tls_cyand):
    server, _ = tls_cyand
    answer = curl(f"http://127.0.0.1:{server.http_port}/health")
    assert answer.returncode != 0
    assert "ok" not in answer.stdout
