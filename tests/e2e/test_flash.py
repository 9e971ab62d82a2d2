"""A person flashes one device. What counts is what the device runs, and what it says of itself when it is back."""

import pytest

from harness.firmware import ARGON, BORON, module, real_firmware
from harness.updates import QUICK, Bench
from harness.waiting import wait_until


@pytest.fixture
def bench(new_cyand, new_swarm, tmp_path):
    return Bench(new_cyand(**QUICK), new_swarm, tmp_path)


BOOTLOADER = module(ARGON, "b", 0, 3100, size=40_000)


def test_a_flash_succeeds_when_the_device_describes_it(bench):
    bench.begin(BOOTLOADER)
    update = bench.wait_state("succeeded")
    assert bench.runs("b") == 3100
    assert bench.count("applied") == 1
    assert bench.told() == ["started ", "success "]
    step, = update["steps"]
    assert (step["state"], step["function"], step["version"], step["size_bytes"]) == ("verified", "b", 3100, 40_000)
    assert step["acked_bytes"] == 40_000 and step["reboots"] >= 1
    moves = [tuple(row) for row in bench.cyand.query(
        "SELECT from_state, to_state FROM update_event WHERE kind = 'step' ORDER BY id")]
    assert moves == [("ready", "claimed"), ("claimed", "starting"), ("starting", "transferring"), ("transferring", "finishing"),
                     ("finishing", "rebooting"), ("rebooting", "describing"), ("describing", "verified")]
    # once more: nothing is sent
    bench.begin(BOOTLOADER)
    again = bench.wait_state("succeeded")
    assert again["id"] != update["id"] and again["steps"][0]["sent_bytes"] == 0
    assert bench.count("applied") == 1


def test_a_real_co_processor_binary_is_written(new_cyand, new_swarm, tmp_path):
    """829 KB over several reboots, before which the device is what it was."""
    folder = real_firmware()
    binary = folder / "argon-ncp-firmware-0.0.5-ota.bin" if folder else None
    if binary is None or not binary.exists():
        pytest.skip("no real firmware on this machine")
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, modules=[
        {"f": "b", "n": "0", "v": 2700}, {"f": "s", "n": "1", "v": 2302}, {"f": "u", "n": "1", "v": 6}, {"f": "a", "n": "0", "v": 202},
        {"f": "c", "n": "0", "v": 3}], system_version=2302)
    bench.begin(binary.read_bytes())
    update = bench.wait_state("succeeded", deadline_s=240)
    assert bench.runs("c") == 5 and bench.count("applied") == 1
    assert update["steps"][0]["reboots"] >= 1 and update["steps"][0]["size_bytes"] == binary.stat().st_size


def test_a_user_application_is_told_by_its_hash(bench):
    bench.begin(module(ARGON, "u", 1, 6, needs=[("s", 1, 6200)], size=20_000, seed=1))
    bench.wait_state("succeeded")
    bench.begin(module(ARGON, "u", 1, 6, needs=[("s", 1, 6200)], size=20_000, seed=2))
    bench.wait_state("succeeded")
    assert bench.count("applied") == 2


@pytest.mark.long
def test_a_device_that_lies_is_never_a_success(new_cyand, new_swarm, tmp_path):
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, defects={"lie": True})
    bench.begin(BOOTLOADER)
    update = bench.wait_state("failed", deadline_s=180)
    assert update["reason"] == "no_effect"
    assert "came back without it" in update["sentence"]
    assert bench.told() == ["started ", "failed "]
    assert bench.count("lied") == 2 and bench.runs("b") == 2700


def test_a_device_that_describes_from_memory_is_asked(new_cyand, new_swarm, tmp_path):
    bench = Bench(new_cyand(**{**QUICK, "update_reboot_s": 15}), new_swarm, tmp_path, defects={"cached_describe": True})
    bench.begin(BOOTLOADER)
    bench.wait_state("succeeded")
    assert bench.count("applied") == 1 and bench.runs("b") == 3100


def test_what_cannot_be_flashed_is_refused(bench, new_swarm, tmp_path):
    wrong = bench.flash(module(BORON, "b", 0, 3100, size=40_000))
    assert wrong.status == 400 and "platform" in wrong.json["error"]
    assert bench.flash(b"no module at all").status == 400
    assert bench.flash(b"void setup() {}", file_name="blink.ino").status == 501
    assert bench.rest.upload("/v1/devices/nobody", BOOTLOADER, method="PUT").status == 404
    assert bench.cyand.rest("owner", "stranger").upload(f"/v1/devices/{bench.id}", BOOTLOADER, method="PUT").status == 403
    bench.swarm.command("goodbye", bench.id)
    wait_until(lambda: not bench.rest.device(bench.id)["connected"], "it is offline")
    assert bench.flash(BOOTLOADER).status == 408
    assert bench.rest.ok("GET", f"/v1/devices/{bench.id}/updates")["updates"] == []


def test_one_update_at_a_time_and_its_end(new_cyand, new_swarm, tmp_path):
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, defects={"chunk_ms": 300})
    bench.begin(BOOTLOADER)
    held = bench.flash(module(ARGON, "b", 0, 3200, size=40_000))
    assert held.status == 409
    assert held.json["held_by"]["kind"] == "flash" and held.json["held_by"]["since"].endswith("Z")
    bench.wait_step("transferring")
    update = bench.update()
    bench.rest.ok("DELETE", f"/v1/devices/{bench.id}/updates/{update['id']}")
    bench.wait_step("cancelled")
    assert bench.update()["state"] == "cancelled"
    assert bench.rest.delete(f"/v1/devices/{bench.id}/updates/{update['id']}").status == 409
    assert bench.count("applied") == 0 and bench.told() == ["started ", "failed "]


def test_an_application_that_wants_no_updates_is_waited_for(new_cyand, new_swarm, tmp_path):
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, defects={"updates_disabled": 1})
    wait_until(lambda: bench.cyand.query("SELECT 1 FROM device WHERE updates_enabled = false"), "it has said so")
    bench.begin(BOOTLOADER)
    update = bench.wait_state("waiting")
    assert (update["reason"], update["steps"][0]["attempts"]) == ("updates_disabled", 0)
    bench.swarm.command("updates", bench.id, enabled=True)
    bench.wait_state("succeeded")
    assert bench.count("applied") == 1


@pytest.mark.parametrize("state", ["claimed", "starting", "transferring", "finishing", "rebooting", "describing"])
def test_a_killed_server_goes_on(new_cyand, new_swarm, tmp_path, redis, state):
    """kill -9 once the step has been in this state: nothing is applied twice, nothing is believed."""
    cyand = new_cyand(**QUICK, **redis.settings)
    bench = Bench(cyand, new_swarm, tmp_path, defects={"chunk_ms": 20})
    bench.begin(module(ARGON, "b", 0, 3100, size=47_000))
    wait_until(lambda: cyand.query("SELECT 1 FROM update_event WHERE kind = 'step' AND to_state = '%s'" % state),
               lambda: f"the step has been {state}: {bench.update()}", every_s=0.005)
    cyand.settings["coap_port"] = cyand.coap_port
    cyand.kill()
    cyand.start()
    bench.wait_state("succeeded", deadline_s=240)
    assert bench.count("applied") == 1 and bench.runs("b") == 3100
    assert bench.told()[-1] == "success " and bench.told().count("success ") == 1
    live = cyand.query("SELECT count(*) FROM device_update WHERE state IN ('active', 'verifying', 'waiting', 'pending')")
    assert int(live[0][0]) == 0


def test_postgres_away_while_a_device_takes_a_file(new_cyand, new_swarm, tmp_path, own_postgres):
    """The transfer goes on; the device is told to apply only when that is written."""
    from conftest import migrated_database
    cyand = new_cyand(cluster=own_postgres, database=migrated_database(own_postgres), **QUICK)
    bench = Bench(cyand, new_swarm, tmp_path, defects={"chunk_ms": 40})
    bench.begin(module(ARGON, "b", 0, 3100, size=47_000))
    bench.wait_step("transferring")
    own_postgres.kill()
    own_postgres.start()
    wait_until(lambda: bench.rest.get(f"/v1/devices/{bench.id}/updates").status == 200, "the server has it again")
    bench.wait_state("succeeded", deadline_s=240)
    assert bench.count("applied") == 1 and bench.runs("b") == 3100
