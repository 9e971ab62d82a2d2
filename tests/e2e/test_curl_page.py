"""docs/curl.md: every line works as it stands there, and answers what is shown."""

import json
import os
import re
import subprocess

import pytest

from harness import paths
from harness.cyand import clean_environment
from harness.firmware import ARGON, module
from harness.keys import new_device_id
from harness.rollout import QUICK
from harness.waiting import wait_until

PAGE = (paths.ROOT / "docs" / "curl.md").read_text()


def commands(block):
    """The lines of a block, those with a backslash or an open quote at their end with what follows."""
    found, line = [], ""
    for part in block.splitlines():
        line += part + "\n"
        if part.endswith("\\") or line.count("'") % 2:
            continue
        found.append(line.strip())
        line = ""
    assert not line, line
    return found


def blocks():
    """[(commands, answers)] in the order of the page; an answer is for a command that begins with curl."""
    found = []
    for kind, text in re.findall(r"```(sh|json)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "sh":
            found.append((commands(text), []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


def agrees(shown, came, where):
    """Everything shown is there, of the same type; words and numbers may differ, but for flags and states."""
    if isinstance(shown, dict):
        assert isinstance(came, dict) and set(shown) <= set(came), f"{where}: shown {sorted(shown)}, came {came}"
        for key, value in shown.items():
            agrees(value, came[key], f"{where}.{key}")
    elif isinstance(shown, list):
        assert isinstance(came, list) and (not shown or came), f"{where}: came {came}"
        for one in came[:1] if shown else ():
            agrees(shown[0], one, where)
    elif isinstance(shown, bool) or shown is None or where.rpartition(".")[2] in ("state", "outcome", "kind", "cmd", "error"):
        assert came == shown, f"{where}: shown {shown}, came {came}"
    else:
        assert isinstance(came, (int, float)) if isinstance(shown, (int, float)) else isinstance(came, str), f"{where}: came {came}"


@pytest.fixture
def shell(new_cyand, new_swarm, tmp_path):
    """Runs commands one after the other in one bash, as somebody types them: its output of each."""
    cyand = new_cyand(**QUICK)
    modules = [{"f": "b", "n": "0", "v": 2700}, {"f": "s", "n": "1", "v": 6200}, {"f": "u", "n": "1", "v": 6},
               {"f": "a", "n": "0", "v": 202}, {"f": "c", "n": "0", "v": 5}]
    new_swarm(cyand, time_scale=0.1, file=[
        {"id": new_device_id(), "platform": ARGON, "name": "kitchen", "system_version": 6200, "modules": modules},
        {"id": new_device_id(), "platform": ARGON, "name": "porch", "system_version": 6200, "modules": modules},
        {"id": new_device_id(), "platform": "core", "name": "cellar", "cc3000": "1.23"}]).wait_connected(3)
    wait_until(lambda: len(cyand.rest().devices(requires_deep_update="true")) == 1 and
               all(cyand.rest().device(name)["functions"] for name in ("kitchen", "porch")), "all are described")
    (tmp_path / "boot.bin").write_bytes(module(ARGON, "b", 0, 3100, size=40_000))
    (tmp_path / "app.bin").write_bytes(module(ARGON, "u", 1, 6, size=20_000, product=(1000, 1)))  # the first product there is
    settings = ["--config", cyand.config, "--store-postgres", cyand.settings["store_postgres"]]
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "cyand"
    wrapper.write_text(f'#!/bin/sh\nexec {paths.CYAND} "$@" {" ".join(map(repr, map(str, settings)))}\n')
    wrapper.chmod(0o755)
    env = {**clean_environment(), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    bash = subprocess.Popen(["bash"], cwd=tmp_path, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)

    def run(command):
        command = command.replace("CYAN_URL=http://127.0.0.1:8080", f"CYAN_URL=http://127.0.0.1:{cyand.http_port}")
        bash.stdin.write(f"{command} </dev/null\nprintf '\\n%s done\\n' $?\n" if command.startswith("curl")
                         else f"{command}\nprintf '\\n%s done\\n' $?\n")
        bash.stdin.flush()
        lines = []
        for line in bash.stdout:
            if re.fullmatch(r"\d+ done\n", line):
                assert line == "0 done\n", f"{command}: {line} {lines}"
                return "".join(lines).strip()
            lines.append(line)
        raise AssertionError(f"bash ended at {command}: {lines}")

    yield run
    bash.stdin.close()
    bash.wait(20)


def test_every_line_works_and_answers_what_is_shown(shell):
    asked = 0
    for lines, answers in blocks():
        curls = [line for line in lines if line.startswith("curl ")]
        assert len(answers) == len(curls), f"as many answers as curl lines: {lines} {answers}"
        shown = iter(answers)
        for line in lines:
            came = shell(line)
            if not line.startswith("curl "):
                continue
            asked += 1
            expected = next(shown)
            try:
                value = json.loads(expected)
            except ValueError:
                assert came.startswith(expected), f"{line}: {came}"
                continue
            agrees(value, json.loads(came), line)
    assert asked >= 30


def test_the_everyday_things_are_on_it():
    for what in ("/v1/devices?", "page=", "Accept: text/csv", "args=", "/v1/provisioning/", "/v1/devices/events", "/v1/campaigns", "/oauth/token", "/v1/products", "/v1/integrations", "/firmware/release",
                 "-F file=@", "/v1/access_tokens"):
        assert what in PAGE, what
