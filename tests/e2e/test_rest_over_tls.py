"""With http.tls_cert and http.tls_key the REST interface speaks TLS, and only TLS."""

import json
import subprocess

import pytest


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


def test_plain_http_gets_nothing(tls_cyand):
    server, _ = tls_cyand
    answer = curl(f"http://127.0.0.1:{server.http_port}/health")
    assert answer.returncode != 0
    assert "ok" not in answer.stdout
