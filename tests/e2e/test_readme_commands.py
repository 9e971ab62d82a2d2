"""What README.md tells people to type works."""

import json
import os
import re
import shlex
import subprocess

import pytest

from harness import paths
from harness.cyand import clean_environment
from harness.keys import Key

README = (paths.ROOT / "README.md").read_text()


def shell_lines():
    """The commands of all sh blocks, without their comments."""
    lines = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        lines += [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]
    return [line for line in lines if line]


def bash(script, folder, env=None, said=""):
    return subprocess.run(["bash", "-e", "-c", script], cwd=folder, env={**clean_environment(), **(env or {})},
                          input=said, capture_output=True, text=True, timeout=60)


def test_the_curl_lines_answer(cyand, new_swarm, tmp_path):
    new_swarm(cyand, devices=3, platforms="core,photon,argon").wait_connected(3)
    (tmp_path / ".cyan").mkdir()
    (tmp_path / ".cyan" / "env").write_text(f"CYAN_URL=http://127.0.0.1:{cyand.http_port}\n"
                                            f"CYAN_TOKEN={cyand.rest().token}\n")
    sourced = [line for line in shell_lines() if line == ". .cyan/env"]
    curls = [line for line in shell_lines() if line.startswith("curl ")]
    assert sourced and len(curls) >= 3
    for curl in curls:
        result = bash(f". .cyan/env\n{curl}", tmp_path)
        assert result.returncode == 0, result
        answer = json.loads(result.stdout)
        assert isinstance(answer, list) or answer["ok"] is True, f"{curl}: {answer}"
    listed = json.loads(bash(f". .cyan/env\n{curls[0]}", tmp_path).stdout)
    assert 0 < len(listed) <= 3


def test_the_cyand_lines_work(postgres, migrated, tmp_path):
    database = postgres.create_database(template=migrated)
    (tmp_path / "device.pub.pem").write_text(Key(tmp_path, "device").public_pem)
    env = {"CYAN_STORE_POSTGRES": postgres.conninfo(database), "CYAN_KEYS_DIR": str(tmp_path / "keys")}
    lines = [line for line in shell_lines() if line.startswith("build/dev/cyand ")]
    assert {shlex.split(line)[1] for line in lines} >= {"keygen", "device", "migrate", "token", "user"}
    for line in lines:
        result = bash(line.replace("build/dev/cyand", str(paths.CYAND)), tmp_path, env, said="correct horse\n")
        assert result.returncode == 0 and result.stdout and not result.stderr, result
        if " token create " in line:
            assert re.fullmatch(r"[0-9a-f]{40}\n", result.stdout)
    assert (tmp_path / "server.bin").stat().st_size == 320


def test_what_it_says_about_settings_is_so():
    shown = subprocess.run([paths.CYAND, "config"], check=True, capture_output=True, text=True,
                           env=clean_environment()).stdout
    for section, name in re.findall(r"`(\w+)\.(\w+)(?: = \w+)?`", README):
        if section in ("coap", "device", "devices", "events", "handshake", "http", "keys", "log", "session", "store"):
            assert re.search(rf"^\[{section}\]$.*?^#{name} = ", shown, re.MULTILINE | re.DOTALL), f"{section}.{name}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_what_it_links_to_exists(target):
    assert (paths.ROOT / target).exists()


@pytest.mark.parametrize("program", ["run", "check"])
def test_the_scripts_know_the_flags_it_names(program):
    script = paths.ROOT / program
    assert os.access(script, os.X_OK), f"./{program} cannot be run"
    result = bash(f"./{program} --help", paths.ROOT)
    assert result.returncode == 0, result
    named = set(re.findall(rf"`?\./{program} (--[\w-]+)", README))
    if program == "run":
        named |= {"--no-demo", "--release", "--api-port", "--coap-port"}
    for flag in named - {"--help"}:
        assert flag in result.stdout, f"./{program} --help does not tell {flag}"
