"""cyanctl against a real server: what it shows, what it keeps, and the one line and exit code of everything that goes wrong."""

import csv
import http.server
import json
import os
import re
import socket
import stat
import subprocess
import threading
import unicodedata

import pytest

from harness import paths
from harness.ctl import Ctl
from harness.cyand import Cyand
from harness.keys import new_device_id
from harness.swarm import Swarm
from harness.waiting import wait_until

OK, REFUSED, USAGE, AWAY, NOT_LOGGED_IN, NOT_FOUND, CONFLICT = range(7)
PHOTON, ARGON = 6, 12


def url_of(cyand):
    return f"http://127.0.0.1:{cyand.http_port}"


@pytest.fixture(scope="module")
def server(postgres, migrated, tmp_path_factory):
    """A server with two devices, for the tests that only look."""
    cyand = Cyand(postgres, postgres.create_database(template=migrated))
    try:
        cyand.start()
        cyand.argon, cyand.photon = new_device_id(), new_device_id()
        swarm = Swarm(cyand, tmp_path_factory.mktemp("cyanctl") / "two", file=[
            {"id": cyand.argon, "platform": ARGON, "name": "garage"},
            {"id": cyand.photon, "platform": PHOTON, "name": "kitchen"}])
        try:
            swarm.wait_connected(2)
            rest = cyand.rest()
            wait_until(lambda: all(rest.ok("GET", f"/v1/devices/{name}/modules")["modules"] for name in ("garage", "kitchen")),
                       "both have told what they run")
            yield cyand
        finally:
            swarm.close()
    finally:
        cyand.close()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def ctl(server, home):
    return Ctl(home, url_of(server), server.rest().token)


def unused_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# --- logging in ---

def test_a_login_is_verified_and_kept(server, home, tmp_path):
    ctl = Ctl(home)
    ctl.refused(NOT_LOGGED_IN, "device", "list", says="cyanctl login")
    assert ctl.ok("login", url_of(server), stdin=server.create_token("operator", "ana")).startswith(
        f"Logged in to {url_of(server)} as ana (operator)")
    assert stat.S_IMODE(ctl.login_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(ctl.login_file.parent.stat().st_mode) == 0o700
    assert [file.name for file in ctl.login_file.parent.iterdir()] == ["login.json"], "nothing half written stays"
    shown = ctl.ok("whoami")
    assert re.search(r"^user +ana$", shown, re.M) and re.search(r"^role +operator$", shown, re.M)
    assert ctl.json("whoami")["username"] == "ana"
    assert len(ctl.json("device", "list")) == 2
    other = tmp_path / "token"
    other.write_text(server.create_token("owner", "ben") + "\n")
    assert "ben (owner)" in ctl.ok("login", url_of(server) + "/", "--token-file", other)
    assert ctl.json("device", "list") == [], "the new login took the place of the old one"
    assert ctl.ok("logout") == "Logged out.\n"
    assert not ctl.login_file.exists()
    assert ctl.ok("logout") == "Nobody was logged in.\n"


def test_a_refused_login_leaves_the_old_one(server, home):
    ctl = Ctl(home)
    ctl.ok("login", url_of(server), stdin=server.rest().token)
    before = ctl.login_file.read_text()
    ctl.refused(NOT_LOGGED_IN, "login", url_of(server), stdin="0" * 40, says="expired, revoked")
    ctl.refused(USAGE, "login", url_of(server), stdin="", says="no token")
    ctl.refused(USAGE, "login", url_of(server), stdin="two words\n", says="no token")
    ctl.refused(AWAY, "login", f"http://127.0.0.1:{unused_port()}", stdin="0" * 40, says="nothing answers at")
    ctl.refused(USAGE, "login", "127.0.0.1:8080", stdin="0" * 40, says="http://")
    ctl.refused(USAGE, "login", url_of(server), "--token-file", "/nonexistent/token", says="/nonexistent/token")
    assert ctl.login_file.read_text() == before


def test_a_token_typed_at_a_terminal_is_not_shown(server, home):
    ctl, token = Ctl(home), server.rest().token
    code, seen = ctl.at_terminal("login", url_of(server), typed=token)
    assert code == OK and "Logged in" in seen, seen
    assert token not in seen
    assert json.loads(ctl.login_file.read_text())["token"] == token
    ctl.ok("logout")
    code, seen = ctl.at_terminal("login", url_of(server), typed="\x03")
    assert code == 130 and not ctl.login_file.exists(), "Ctrl-C gives up"


def test_the_login_goes_to_its_own_server_alone(server, home):
    """A stored token is no answer to another server's question."""
    asked = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_):
            pass

    ctl = Ctl(home)
    ctl.ok("login", url_of(server), stdin=server.rest().token)
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        ctl.refused(NOT_LOGGED_IN, "whoami", "--url", f"http://127.0.0.1:{other.server_port}", says="not logged in to")
        assert asked == []
        other.shutdown()


def test_a_login_that_others_may_read_is_refused(server, home):
    ctl = Ctl(home)
    ctl.ok("login", url_of(server), stdin=server.rest().token)
    ctl.login_file.chmod(0o644)
    ctl.refused(NOT_LOGGED_IN, "whoami", says="chmod 600")
    ctl.login_file.chmod(0o600)
    ctl.login_file.write_text("{")
    ctl.refused(NOT_LOGGED_IN, "whoami", says="cyanctl login")
    ctl.ok("logout")


def test_logout_can_end_the_token_everywhere(server, home, tmp_path):
    token = server.create_token("owner", "cleo")
    here, there = Ctl(home), Ctl(tmp_path / "there", url_of(server), token)
    here.ok("login", url_of(server), stdin=token)
    here.ok("logout")
    assert there.json("whoami")["username"] == "cleo", "others go on using it"
    here.ok("login", url_of(server), stdin=token)
    here.ok("logout", "--revoke")
    there.refused(NOT_LOGGED_IN, "whoami", says=["CYAN_TOKEN", "cyanctl login"])


# --- devices ---

def test_devices_are_listed_for_people_and_for_scripts(server, ctl):
    lines = ctl.ok("device", "list").splitlines()
    assert lines[0].split() == ["NAME", "ID", "PLATFORM", "STATE", "HEARD", "SYSTEM", "REMARK"]
    rows = {line.split()[0]: line for line in lines[1:]}
    assert set(rows) == {"garage", "kitchen"}
    assert server.argon in rows["garage"] and " Argon " in rows["garage"] and " online " in rows["garage"]
    column = lines[0].index("PLATFORM")
    assert rows["garage"][column:].startswith("Argon") and rows["kitchen"][column:].startswith("Photon")
    assert ctl.json("device", "list") == sorted(server.rest().devices(), key=lambda d: d["last_handshake_at"], reverse=True)
    assert [d["name"] for d in ctl.json("device", "list", "--platform", "argon")] == ["garage"]
    assert [d["name"] for d in ctl.json("device", "list", "--platform", ARGON, "--online")] == ["garage"]
    assert [d["name"] for d in ctl.json("device", "list", "--name", "kit*")] == ["kitchen"]
    assert ctl.json("device", "list", "--offline") == []
    assert "No device" in ctl.ok("device", "list", "--offline")
    assert ctl.ok("device", "list", "--offline", "--quiet") == ""
    table = list(csv.DictReader(ctl.ok("device", "list", "--csv", "--platform", "argon").splitlines()))
    assert [(row["id"], row["name"], row["connected"]) for row in table] == [(server.argon, "garage", "true")]
    ctl.refused(USAGE, "device", "list", "--csv", "--json")
    ctl.refused(USAGE, "device", "list", "--platform", "toaster", says="toaster")
    ctl.refused(USAGE, "device", "list", "--online", "--offline")


def test_a_device_is_shown_by_name_and_by_id(server, ctl):
    by_name, by_id = ctl.ok("device", "show", "garage"), ctl.ok("device", "show", server.argon.upper())
    for shown in (by_name, by_id):
        assert re.search(rf"^id +{server.argon}$", shown, re.M)
        assert re.search(r"^platform +Argon$", shown, re.M)
        assert re.search(r"^state +online$", shown, re.M)
        assert "network co-processor" in shown and "bootloader" in shown
    both = ctl.json("device", "show", "garage")
    modules = server.rest().ok("GET", "/v1/devices/garage/modules")["modules"]
    assert both["id"] == server.argon and both["modules"] == modules
    ctl.refused(NOT_FOUND, "device", "show", "attic", says="Device not found")
    ctl.refused(NOT_FOUND, "device", "show", "f" * 24, says="Device not found")
    ctl.refused(NOT_FOUND, "device", "show", "a/../garage", says="Device not found")


def test_history_is_what_the_server_has(server, ctl):
    history = server.rest().ok("GET", "/v1/devices/garage/modules?history=1")["history"]
    assert ctl.json("device", "history", "garage") == history
    shown = ctl.ok("device", "history", "garage")
    assert len(shown.splitlines()) == (len(history) + 1 if history else 1)
    ctl.refused(NOT_FOUND, "device", "history", "attic", says="Device not found")


def columns_of(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def test_a_table_fits_its_terminal(ctl):
    for columns in (80, 100, 120):
        code, seen = ctl.at_terminal("device", "list", "--no-color", columns=columns)
        lines = seen.replace("\r", "").splitlines()
        assert code == OK and len(lines) == 3, seen
        assert all(columns_of(line.rstrip()) <= columns for line in lines), seen
    code, colored = ctl.at_terminal("device", "list")
    assert "\x1b[32monline\x1b[0m" in colored


def test_lists_are_followed_page_after_page(new_cyand, home):
    cyand = new_cyand()
    rest = cyand.rest()
    cyand.query("INSERT INTO device (id, name) SELECT decode(lpad(to_hex(n), 24, '0'), 'hex'), 'd' || n "
                "FROM generate_series(1, 1234) n")
    ctl = Ctl(home, url_of(cyand), rest.token)
    assert len({d["id"] for d in ctl.json("device", "list", "--limit", 0)}) == 1234
    result = ctl("device", "list")
    assert len(result.stdout.splitlines()) == 1001 and "--limit 0" in result.stderr
    assert len(ctl.json("device", "list", "--limit", 7)) == 7
    assert len(ctl.json("device", "list", "--limit", 501)) == 501


def test_what_a_device_calls_itself_cannot_move_the_cursor(new_cyand, home):
    cyand = new_cyand()
    rest = cyand.rest()
    rest.ok("POST", f"/v1/provisioning/{'ab' * 12}", {"algorithm": "psk", "psk": "00" * 16})
    cyand.query(f"UPDATE device SET notes = E'\\x1b[2Jgone\\x07' WHERE id = '\\x{'ab' * 12}'")
    shown = Ctl(home, url_of(cyand), rest.token).ok("device", "show", "ab" * 12)
    assert "?[2Jgone?" in shown and "\x1b" not in shown


# --- what goes wrong ---

def test_wrong_addresses_are_said(ctl, server):
    for url, code, says in ((f"http://127.0.0.1:{unused_port()}", AWAY, "nothing answers at"),
                            ("http://host.invalid", AWAY, "host.invalid"),
                            ("ftp://127.0.0.1", USAGE, "ftp://127.0.0.1"),
                            ("http://", USAGE, "http://"),
                            ("http://user:word@127.0.0.1", USAGE, "no address"),
                            (f"https://127.0.0.1:{server.http_port}", AWAY, "TLS"),
                            (f"http://127.0.0.1:{server.http_port}/elsewhere", NOT_FOUND, "wrong path")):
        ctl.refused(code, "whoami", "--url", url, says=says)


@pytest.mark.parametrize("answer, says", [
    (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>hello</html>", "no Cyan server"),
    (b"HTTP/1.0 404 Not Found\r\n\r\n<html>not here</html>", "no Cyan server"),
    (b"HTTP/1.0 302 Found\r\nLocation: http://elsewhere.invalid/v1/\r\n\r\n", "elsewhere.invalid"),
    (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>nginx</html>", "proxy"),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n", "HTTP"),
    (b"", "broke"),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke"),
])
def test_what_is_no_server_of_ours_is_told(ctl, answer, says):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ctl.refused(AWAY, "whoami", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}", says=says)
    thread.join(10)
    listener.close()


def test_silence_ends_at_the_timeout(ctl):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ctl.refused(AWAY, "whoami", "--timeout", 1, "--url", f"http://127.0.0.1:{listener.getsockname()[1]}",
                    says=["1 s", "--timeout"])


def test_tls_trouble_is_told(new_cyand, home, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    cyand = new_cyand(http_tls_cert=certificate, http_tls_key=key)
    token = cyand.create_token("admin")
    ctl, url = Ctl(home), f"https://127.0.0.1:{cyand.http_port}"
    ctl.refused(AWAY, "login", url, stdin=token, says=["not trusted", "--ca-file"])
    ctl.refused(AWAY, "login", f"http://127.0.0.1:{cyand.http_port}", stdin=token, says="https://")
    ctl.refused(USAGE, "login", url, "--ca-file", tmp_path / "none.pem", stdin=token, says="none.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    ctl.refused(USAGE, "login", url, "--ca-file", tmp_path / "bad.pem", stdin=token, says="bad.pem")
    ctl.ok("login", url, "--ca-file", certificate, stdin=token)
    assert ctl.json("device", "list") == [], "the authority is kept with the login"


def test_tokens_that_ended_are_told(new_cyand, home):
    cyand = new_cyand()
    short, revoked = cyand.create_token("owner", "ann", expires_in_s=2), cyand.create_token("owner", "ann")
    ctl = Ctl(home, url_of(cyand), short)
    assert re.search(r"^token ends +\d{4}-", ctl.ok("whoami"), re.M)
    wait_until(lambda: ctl("whoami").returncode != OK, "the token expires")
    ctl.refused(NOT_LOGGED_IN, "device", "list", says=["CYAN_TOKEN", "expired", f"cyanctl login {url_of(cyand)}"])
    cyand.anonymous().ok("DELETE", f"/v1/access_tokens/{revoked}")
    Ctl(home, url_of(cyand), revoked).refused(NOT_LOGGED_IN, "whoami", says="revoked")
    Ctl(home, url_of(cyand), "not a token").refused(NOT_LOGGED_IN, "whoami", says="not logged in")


def test_a_server_without_its_database_is_away(new_cyand, own_postgres, home):
    database = own_postgres.create_database()
    assert subprocess.run([paths.CYAND, "migrate", "--store-postgres", own_postgres.conninfo(database)],
                          capture_output=True).returncode == 0
    cyand = new_cyand(cluster=own_postgres, database=database)
    ctl = Ctl(home, url_of(cyand), cyand.rest().token)
    ctl.ok("device", "list")
    own_postgres.kill()
    wait_until(lambda: ctl("device", "list").returncode == AWAY, "its tokens cannot be looked up any more")
    ctl.refused(AWAY, "device", "list", says="database")
    cyand.stop()
    ctl.refused(AWAY, "device", "list", says="nothing answers at")
    own_postgres.start()


def test_a_reader_that_has_seen_enough_is_no_crash(ctl):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([paths.CYANCTL, "--help"], env=ctl.env, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert result.returncode >= 0 and b"Sanitizer" not in result.stderr


# --- files, without a server ---

def test_inspect_needs_no_server(home, tmp_path):
    ctl = Ctl(home)
    (tmp_path / "text.bin").write_text("this is no module at all, however long it goes on" * 40)
    (tmp_path / "empty.bin").write_text("")
    ctl.refused(REFUSED, "firmware", "inspect", tmp_path / "text.bin", says="text.bin")
    ctl.refused(REFUSED, "firmware", "inspect", tmp_path / "empty.bin", says="empty.bin")
    ctl.refused(USAGE, "firmware", "inspect", tmp_path / "none.bin", says=["none.bin", "No such file"])
    ctl.refused(USAGE, "firmware", "inspect", tmp_path, says="not a file")


# --- the shells ---

def test_bash_completes_what_the_table_has(home):
    ctl = Ctl(home)
    script = ctl.ok("completion", "bash")

    def complete(*words):
        line = f"{script}\nCOMP_WORDS=(cyanctl {' '.join(repr(w) for w in words)}); COMP_CWORD={len(words)}\n" \
               "_cyanctl; printf '%s\\n' \"${COMPREPLY[@]}\""
        result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert result.stderr == "", result.stderr
        return set(result.stdout.split())

    assert complete("cam") == {"campaign"}
    assert complete("campaign", "stage", "") == {"resume", "skip", "widen", "--help"}
    assert {"list", "show", "flash"} <= complete("device", "")
    assert complete("device", "list", "--requ") == {"--requires-deep-update"}
    assert complete("campaign", "list", "--state", "ab") == {"aborting", "aborted"}
    assert complete("device", "show", "kitchen", "--js") == {"--json"}
    ctl.refused(USAGE, "completion", "tcsh", says="bash, zsh and fish")


def test_help_and_version_are_for_everybody(home):
    ctl = Ctl(home)
    assert re.fullmatch(r"cyanctl \d+\.\d+\.\d+\n", ctl.ok("version"))
    table = ctl.ok("--help").split("commands:\n")[1].split("\n\n")[0]
    listed = [re.split(r" [A-Z\[]|  ", line.strip())[0] for line in table.splitlines()]
    assert {"login", "device list", "campaign stage widen"} <= set(listed)
    for words in listed:
        assert "example:" in ctl.ok(*words.split(), "--help"), words
    ctl.refused(USAGE, says="--help")
    ctl.refused(USAGE, "device", "lst", says="cyanctl device --help")
