"""What simulated devices say of the updates they took is what they were sent, and what the server then lists."""

import pytest

from harness import firmware
from harness.keys import new_device_id
from harness.truth import check_updates
from harness.waiting import wait_until

QUICK = {"update_start_delay_s": 0, "update_describe_again_s": 1, "update_backoff_s": 1, "update_reboot_s": 6,
         "update_ncp_reboot_s": 30}
ARGON = [{"f": "b", "n": "0", "v": 1200}, {"f": "s", "n": "1", "v": 4200}, {"f": "u", "n": "1", "v": 6},
         {"f": "c", "n": "0", "v": 4}, {"f": "a", "n": "0", "v": 202}]
PHOTON = [{"f": "b", "n": "0", "v": 400}, {"f": "s", "n": "1", "v": 1406}, {"f": "s", "n": "2", "v": 1406},
          {"f": "u", "n": "1", "v": 5}]


@pytest.fixture
def cyand(new_cyand):
    return new_cyand(**QUICK)


def argon(**more):
    return {"id": new_device_id(), "platform": "argon", "system_version": 4200, "modules": ARGON, **more}


def connect(cyand, new_swarm, device, **options):
    swarm = new_swarm(cyand, file=[device], **{"time_scale": 0.1, **options})
    swarm.wait_connected(1)
    return swarm


def flash(cyand, device, data):
    wait_until(lambda: cyand.rest().device(device)["connected"], "it is connected for everybody")
    answer = cyand.rest().upload(f"/v1/devices/{device}", data, method="PUT", fields={"file_type": "binary"})
    assert answer.status == 200, answer


def listed(cyand, device):
    """What the server says that it runs."""
    modules = cyand.rest().ok("GET", f"/v1/devices/{device}/modules")["modules"]
    return {module["f"] + str(module["index"]): module["version"] for module in modules if module["store"] == "main"}


def last_update(cyand, device):
    return cyand.rest().ok("GET", f"/v1/devices/{device}/updates")["updates"][0]


def wait_ended(cyand, device, deadline_s=90):
    def ended():
        update = last_update(cyand, device)
        return update if update["ended_at"] else None

    return wait_until(ended, lambda: f"the update ends: {last_update(cyand, device)}", deadline_s)


@pytest.mark.parametrize("network", [{}, {"loss": 5, "dup": 5, "reorder": 5, "delay": 20}], ids=["good", "bad"])
def test_a_flash_is_run_once_and_listed(cyand, new_swarm, network):
    device = argon()
    swarm = connect(cyand, new_swarm, device, **network)
    data = firmware.module(firmware.ARGON, "u", 1, version=77, needs=[("s", 1, 4000)], size=60_000)
    flash(cyand, device["id"], data)
    assert wait_ended(cyand, device["id"])["state"] == "succeeded"
    assert listed(cyand, device["id"]) == swarm.runs(device["id"]) == {"b0": 1200, "s1": 4200, "u1": 77, "c0": 4, "a0": 202}
    report = swarm.finish()
    end = check_updates(swarm, {device["id"]: {"u1": 77}})[device["id"]]
    assert end["files"][0]["received_bytes"] - end["files"][0]["twice_bytes"] == len(data)
    assert network or end["files"][0]["twice_bytes"] == 0, end
    assert report["protocol_errors"] == {} and report["sessions_lost"] == 0, report


def test_an_old_protocol_says_what_it_missed(cyand, new_swarm):
    device = {"id": new_device_id(), "platform": "photon", "modules": PHOTON}
    swarm = connect(cyand, new_swarm, device, loss=3)
    data = firmware.module(firmware.PHOTON, "u", 1, version=77, size=60_000)
    flash(cyand, device["id"], data)
    assert wait_ended(cyand, device["id"])["state"] == "succeeded"
    report = swarm.finish()
    end = check_updates(swarm, {device["id"]: {"u1": 77}})[device["id"]]
    assert swarm.truth("update_started")[0]["protocol"] == 2
    assert end["files"][0]["received_bytes"] >= len(data)
    assert report["protocol_errors"] == {}, report


def co_processor(kind):
    if kind == "made":
        return firmware.module(firmware.ARGON, "c", version=5, size=80_000)
    folder = firmware.real_firmware()
    if folder is None:
        pytest.skip("no firmware of real devices here")
    return (folder / "argon-ncp-firmware-0.0.5-ota.bin").read_bytes()


@pytest.mark.parametrize("kind", ["made", "real"])
def test_a_co_processor_is_old_then_unknown_then_new(cyand, new_swarm, kind):
    device = argon()
    swarm = connect(cyand, new_swarm, device)
    flash(cyand, device["id"], co_processor(kind))
    assert wait_ended(cyand, device["id"])["state"] == "succeeded"
    assert listed(cyand, device["id"])["c0"] == 5
    report = swarm.finish()
    end = check_updates(swarm, {device["id"]: {"c0": 5}})[device["id"]]
    assert end["reboots"] == 3 and report["protocol_errors"] == {}, end


def test_a_liar_validates_and_runs_what_it_ran(cyand, new_swarm):
    device = argon(defects={"lie": True})
    swarm = connect(cyand, new_swarm, device)
    flash(cyand, device["id"], firmware.module(firmware.ARGON, "u", 1, version=77, size=20_000))
    update = wait_ended(cyand, device["id"])
    assert update["state"] == "failed" and update["reason"] == "no_effect", update
    assert listed(cyand, device["id"])["u1"] == swarm.runs(device["id"])["u1"] == 6
    report = swarm.finish()
    end = check_updates(swarm, {})[device["id"]]
    assert end["files"][0]["validated"] == len(swarm.truth("lied")) > 0 == end["files"][0]["applied"], end
    assert report["protocol_errors"] == {}, report


def test_an_application_ahead_of_its_system_is_safe(cyand, new_swarm):
    modules = [m if m["f"] != "u" else {**m, "depends": [{"f": "s", "n": "1", "v": 6000}]} for m in ARGON]
    device = argon(modules=modules)
    swarm = connect(cyand, new_swarm, device)
    assert "spark/device/safemode" in [line["name"] for line in swarm.ledger()]
    assert cyand.rest().device(device["id"])["functions"] == []
    swarm.command("module", device["id"], f="s", n="1", v=6200)
    first = len(swarm.notices)
    swarm.command("reboot", device["id"])
    swarm.wait_notice("online", device["id"], first=first)
    wait_until(lambda: "mix" in cyand.rest().device(device["id"])["functions"], "its application runs")
    assert [line["name"] for line in swarm.ledger()].count("spark/device/safemode") == 1


def test_a_transfer_goes_on_where_the_device_moved(cyand, new_swarm):
    device = argon(defects={"chunk_ms": 5})
    swarm = connect(cyand, new_swarm, device)
    data = firmware.module(firmware.ARGON, "u", 1, version=77, needs=[("s", 1, 4000)], size=200_000)
    flash(cyand, device["id"], data)
    swarm.wait_notice("update_progress", device["id"])
    swarm.command("resume", device["id"])
    assert wait_ended(cyand, device["id"])["state"] == "succeeded"
    report = swarm.finish()
    end = check_updates(swarm, {device["id"]: {"u1": 77}})[device["id"]]
    sent, = end["files"]
    assert sent["starts"] == 2 and sent["last_start_bytes"] >= 65_536, sent
    assert sent["twice_bytes"] <= 131_072, "more than a window"
    assert report["handshakes_ok"] == 1 and report["protocol_errors"] == {}, report


def test_a_core_takes_its_patch(cyand, new_swarm):
    device = {"id": new_device_id(), "platform": "core", "cc3000": "1.23", "modules": [{"f": "m", "n": "0", "v": 105}]}
    swarm = connect(cyand, new_swarm, device)
    flash(cyand, device["id"], firmware.module(firmware.CORE, "r", 0, version=128, size=8_000))
    wait_until(lambda: cyand.rest().device(device["id"]).get("cc3000_patch_version") == "1.28", "the patch is told")
    report = swarm.finish()
    end = check_updates(swarm, {device["id"]: {"r0": 128}})[device["id"]]
    assert end["cc3000"] == "1.28" and report["protocol_errors"] == {}, end
