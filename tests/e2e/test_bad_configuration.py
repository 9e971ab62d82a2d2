"""cyand runs as configured or refuses with one line that says why; it reloads on SIGHUP and drains on SIGTERM."""

import configparser
import re
import signal
import socket

import pytest

from harness.cyand import clean_environment, run_cyand
from harness.waiting import wait_until


def refused(result, code, *words):
    """It ended with this code and one line of words, and said nothing on standard output."""
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.returncode == code, result
    assert len(lines) == 1, result.stderr
    assert result.stdout == "", result.stdout
    for word in words:
        assert word in lines[0], lines[0]


def write_config(tmp_path, text):
    path = tmp_path / "cyand.conf"
    path.write_text(text)
    return path


# --- refusals ---

@pytest.mark.parametrize("text, words", [
    ("[coap]\nprot = 5683\n", ["cyand.conf:2", "coap.prot"]),
    ("[http]\nport = 8080\n\n[devcies]\nunknown = refuse\n", ["cyand.conf:5", "devcies.unknown"]),
    ("port = 1\n", ["cyand.conf:1"]),
    ("[coap]\nport = 65536\n", ["cyand.conf:2", "coap.port", "65536"]),
    ("[coap]\nport = -1\n", ["cyand.conf:2", "coap.port"]),
    ("[coap]\nport = 56x\n", ["cyand.conf:2", "coap.port"]),
    ("[coap]\nport = 1\nport = 2\n", ["cyand.conf:3", "coap.port", "twice"]),
    ("[devices]\nunknown = perhaps\n", ["cyand.conf:2", "devices.unknown", "quarantine"]),
    ("[log]\nlevel = loud\n", ["cyand.conf:2", "log.level"]),
    ("[coap]\nthis is no setting\n", ["cyand.conf:2"]),
    ("[coap]\nport = 5000\nport_alt = 5000\n", ["coap.port", "coap.port_alt"]),
    ("[http]\ntls_cert = /some/file.pem\n", ["http.tls_cert", "http.tls_key"]),
])
def test_a_bad_file_is_refused(tmp_path, text, words):
    refused(run_cyand("run", "--config", write_config(tmp_path, text)), 2, *words)


def test_a_missing_file_is_refused(tmp_path):
    refused(run_cyand("run", "--config", tmp_path / "none.conf"), 2, "none.conf", "No such file")


def test_a_folder_as_file_is_refused(tmp_path):
    refused(run_cyand("run", "--config", tmp_path), 2, str(tmp_path))


@pytest.mark.parametrize("flags, word", [
    (["--coap-prot", "1"], "--coap-prot"),
    (["--coap-port"], "needs a value"),
    (["--coap-port", "x"], "coap.port"),
    (["--role", "admin"], "--role"),
    (["serve"], "serve"),
    (["--devices-unknown", "all"], "devices.unknown"),
])
def test_a_bad_command_line_is_refused(flags, word):
    refused(run_cyand(*flags), 2, word)


@pytest.mark.parametrize("name, value", [("CYAN_COAP_PROT", "1"), ("CYAN_COAP_PORT", "many")])
def test_a_bad_environment_is_refused(name, value):
    refused(run_cyand("run", env={**clean_environment(), name: value}), 2, name)


def flags_for(postgres, database, tmp_path):
    return ["run", "--store-postgres", postgres.conninfo(database), "--keys-dir", tmp_path / "keys", "--coap-port", 0,
            "--coap-port-alt", 0, "--http-port", 0, "--coap-bind", "127.0.0.1"]


def test_a_missing_schema_is_refused(postgres, tmp_path):
    empty = postgres.create_database()
    refused(run_cyand(*flags_for(postgres, empty, tmp_path)), 1, "cyand migrate")


def test_a_newer_schema_is_refused(postgres, database, tmp_path):
    postgres.query("INSERT INTO schema_migration (name, sha256) VALUES ('9999_from_the_future', '00')", database)
    refused(run_cyand(*flags_for(postgres, database, tmp_path)), 1, "newer")
    refused(run_cyand("migrate", "--store-postgres", postgres.conninfo(database)), 1, "newer")


def test_migrating_twice_is_migrating_once(postgres, database):
    again = run_cyand("migrate", "--store-postgres", postgres.conninfo(database))
    assert again.returncode == 0 and "0 migrations applied" in again.stdout, again


def test_no_database_is_refused(tmp_path):
    result = run_cyand("run", "--store-postgres", f"host={tmp_path} dbname=nothing", "--keys-dir", tmp_path / "keys")
    refused(result, 1, "start.refused")


def test_a_taken_http_port_is_refused(postgres, database, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_cyand(*flags_for(postgres, database, tmp_path), "--http-port", port)
    refused_at_start(result, str(port))


def test_a_taken_coap_port_is_refused(postgres, database, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = run_cyand(*flags_for(postgres, database, tmp_path), "--coap-port", port)
    refused_at_start(result, str(port))


def test_an_unreadable_certificate_is_refused(postgres, database, tmp_path):
    (tmp_path / "cert.pem").write_text("not a certificate\n")
    result = run_cyand(*flags_for(postgres, database, tmp_path), "--http-tls-cert", tmp_path / "cert.pem",
                       "--http-tls-key", tmp_path / "cert.pem")
    refused_at_start(result, "cert.pem")


def test_an_authority_file_that_holds_none_is_refused(postgres, database, tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate\n")
    result = run_cyand(*flags_for(postgres, database, tmp_path), "--keys-ca-file", tmp_path / "ca.pem")
    refused_at_start(result, "ca.pem")


def refused_at_start(result, *words):
    """Some info lines may come first; the last line is the one refusal."""
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.returncode == 1, result
    assert [line for line in lines if " error " in line] == lines[-1:], result.stderr
    for word in ("start.refused", *words):
        assert word in lines[-1], lines[-1]


# --- where settings come from ---

def test_flags_win_over_environment_over_file(tmp_path):
    config = write_config(tmp_path, f"[keys]\ndir = {tmp_path}/file\n")
    environment = {**clean_environment(), "CYAN_KEYS_DIR": f"{tmp_path}/environment"}
    assert f"{tmp_path}/file/" in run_cyand("keygen", "--config", config).stdout
    assert f"{tmp_path}/environment/" in run_cyand("keygen", "--config", config, env=environment).stdout
    flagged = run_cyand("keygen", "--config", config, "--keys-dir", tmp_path / "flag", env=environment)
    assert f"{tmp_path}/flag/" in flagged.stdout
    assert (tmp_path / "flag" / "server_key.der").exists()


def test_the_private_key_is_the_owners_alone(tmp_path):
    assert run_cyand("keygen", "--keys-dir", tmp_path / "keys").returncode == 0
    files = list((tmp_path / "keys").iterdir())
    secret = [file for file in files if file.name != "server_key.der"]
    assert secret and all(file.stat().st_mode & 0o777 == 0o600 for file in secret), files


def test_the_key_is_exported_as_devices_are_flashed_with_it(tmp_path):
    out = tmp_path / "server.bin"
    result = run_cyand("keygen", "--keys-dir", tmp_path / "keys", "--export", out, "--address", "192.0.2.7:5683")
    assert result.returncode == 0, result
    blob, der = out.read_bytes(), (tmp_path / "keys" / "server_key.der").read_bytes()
    assert len(blob) == 320 and len(der) == 91
    assert blob[:91] == der and set(blob[91:192]) <= {0xff}
    assert blob[192:198] == bytes([0, 4, 192, 0, 2, 7])
    assert int.from_bytes(blob[258:260], "big") == 5683


def settings_of(text):
    """{(section, name): default} of the commented default configuration."""
    found, section = {}, None
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match.group(1)
        elif match := re.fullmatch(r"#(\w+) = (.*)", line):
            found[section, match.group(1)] = match.group(2)
    return found


def test_the_default_configuration_is_complete_and_comments_only(tmp_path):
    printed = run_cyand("config")
    assert printed.returncode == 0
    settings = settings_of(printed.stdout)
    assert settings["coap", "port"] == "5683" and settings["devices", "unknown"] == "refuse"
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(printed.stdout)
    assert not any(parsed[section] for section in parsed.sections()), "a line is not commented out"
    # with the # off it is a file that cyand takes, and that says what the defaults say
    text = "".join(f"[{section}]\n{name} = {value}\n" for (section, name), value in settings.items())
    again = run_cyand("config", "--config", write_config(tmp_path, text))
    assert again.returncode == 0 and again.stdout == printed.stdout, again


def test_help_names_every_setting():
    shown = run_cyand("--help")
    assert shown.returncode == 0
    for section, name in settings_of(run_cyand("config").stdout):
        assert f"--{section}-{name.replace('_', '-')}" in shown.stdout
    for command in ("migrate", "keygen", "device add", "token create", "config"):
        assert f"cyand {command}" in shown.stdout


def test_the_version_is_told():
    shown = run_cyand("--version")
    assert shown.returncode == 0 and re.fullmatch(r"cyand \d+\.\d+\.\d+\n", shown.stdout), shown


# --- commands ---

@pytest.mark.parametrize("words", [
    ["token", "create"], ["token", "create", "--role", "king"], ["device", "add"], ["device", "remove", "00"],
    ["device", "add", "0" * 24], ["device", "add", "0" * 24, "--psk", "00" * 16, "--key", "k.pem"], ["migrate", "now"],
    ["keygen", "--export", "x"],
])
def test_bad_usage_is_told_in_one_line(words):
    refused(run_cyand(*words), 2, "usage: cyand")


@pytest.mark.parametrize("device, psk", [("xyz", "00" * 16), ("0" * 23, "00" * 16), ("0" * 24, "00"), ("0" * 24, "0x12")])
def test_a_bad_device_is_refused(postgres, database, device, psk):
    refused(run_cyand("device", "add", device, "--psk", psk, "--store-postgres", postgres.conninfo(database)), 1)


def test_a_bad_key_file_is_refused(postgres, database, tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    for path in (bad, tmp_path / "none.pem"):
        refused(run_cyand("device", "add", "0" * 24, "--key", path, "--store-postgres", postgres.conninfo(database)), 1,
                path.name)


# --- reload and stop ---

def test_sighup_reloads_what_may_change_and_says_what_may_not(new_cyand):
    cyand = new_cyand()
    cyand.config.write_text("[log]\nlevel = debug\n[session]\nmax = 17\n")
    cyand.reload()
    wait_until(lambda: cyand.log_lines(r"config\.reloaded"), "the reload is told")
    assert cyand.log_lines(r"config\.changed key=log\.level")
    assert cyand.log_lines(r"warn config\.needs_restart key=session\.max")

    cyand.config.write_text("[log]\nlevel = shout\n")
    cyand.reload()
    wait_until(lambda: cyand.log_lines(r"error config\.refused .*log\.level"), "the bad file is refused")
    assert cyand.anonymous().get("/health").status == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(new_cyand, how):
    cyand = new_cyand()
    assert cyand.stop(how) == 0
    assert cyand.log_lines(r"\bstopping signal=") and cyand.log_lines(r"\bstopped$")
