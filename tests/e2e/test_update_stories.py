"""Updates of several steps, and what happens to them on the way: modules that fall, nodes that stop, devices in safe mode."""

import signal

import pytest

from harness.balancer import Balancer
from harness.firmware import ARGON, NCP_ESP32, module
from harness.updates import QUICK, Bench
from harness.waiting import wait_until

BOOTLOADER = module(ARGON, "b", 0, 3000, size=30_000)
NCP = module(ARGON, "c", 0, 5, size=40_000, mcu=NCP_ESP32)
SYSTEM = module(ARGON, "s", 1, 6300, size=250_000)  # takes a while
OLD = [{"f": "b", "n": "0", "v": 1200}, {"f": "s", "n": "1", "v": 2302}, {"f": "u", "n": "1", "v": 6}, {"f": "a", "n": "0", "v": 202},
       {"f": "c", "n": "0", "v": 3}]


def test_a_bootloader_that_falls_while_the_ncp_is_written_is_planned_for_again(new_cyand, new_swarm, tmp_path):
    """Seen in the field: 3000 to 1200. The co-processor reboots five times and says 0 for a while."""
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, system_version=2302, modules=OLD,
                  defects={"ncp_reboots": 5, "ncp_unknown_s": 4, "collateral": {"f": "b", "n": "0", "v": 1200}})
    bench.campaign(bench.release(BOOTLOADER, NCP))
    update = bench.wait_state("succeeded", deadline_s=240)
    assert [(s["function"], s["version"], s["state"]) for s in update["steps"]] == [
        ("b", 3000, "verified"), ("c", 5, "verified"), ("b", 3000, "verified")]
    assert (bench.runs("b"), bench.runs("c")) == (3000, 5)
    assert bench.count("moved_in_passing") == 1 and bench.count("applied") == 3
    history = bench.rest.ok("GET", f"/v1/devices/{bench.id}/modules?history=1")["history"]
    falls = [h for h in history if h["f"] == "b" and h["new_version"] == 1200 and h["old_version"] == 3000]
    assert len(falls) == 1 and falls[0]["cause"] == "update"


def test_a_device_that_falls_back_is_no_success(new_cyand, new_swarm, tmp_path):
    bench = Bench(new_cyand(**QUICK), new_swarm, tmp_path, defects={"fall_back_s": 8})
    bench.campaign(bench.release(module(ARGON, "b", 0, 3100, size=30_000)), limits={"verify_s": 600})
    wait_until(lambda: bench.update()["state"] in ("verifying", "failed"), "it had the target")
    update = bench.wait_state("failed")
    assert update["reason"] == "regressed" and bench.count("fell_back") == 1
    assert bench.runs("b") == 2700


def test_a_stopped_node_keeps_what_the_device_has(new_cyand, new_swarm, tmp_path, redis):
    cyand = new_cyand(**QUICK, **redis.settings)
    bench = Bench(cyand, new_swarm, tmp_path, defects={"chunk_ms": 20})
    bench.begin(SYSTEM)
    bench.swarm.wait_notice("update_progress", bench.id)
    cyand.restart_on_same_ports()
    bench.wait_state("succeeded", deadline_s=240)
    began = bench.lines("update_started")
    assert began[-1]["start_bytes"] > 0, began
    assert bench.count("applied") == 1


@pytest.mark.long
def test_a_node_stops_while_a_device_is_to_say_whether_it_took_it(new_cyand, new_swarm, tmp_path, redis):
    """The device says nothing, and took nothing: it is looked at, and sent the file once more."""
    cyand = new_cyand(**QUICK, **redis.settings)
    bench = Bench(cyand, new_swarm, tmp_path, defects={"ignore_finish": 1})
    bench.begin(BOOTLOADER)
    bench.wait_step("finishing")
    assert cyand.restart_on_same_ports() == 0
    bench.wait_state("succeeded", deadline_s=240)
    assert bench.count("applied") == 1 and bench.count("update_started") == 2


def test_the_node_where_the_device_is_now_goes_on(new_cyand, new_swarm, tmp_path, redis):
    """The first node dies in the middle of the file; the device goes on with its session at the second."""
    first = new_cyand(node_id=0, node_lease_s=3, **QUICK, **redis.settings)
    second = new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **QUICK, **redis.settings)
    balancer = Balancer([first, second])
    try:
        bench = Bench(first, new_swarm, tmp_path, address=balancer.address, defects={"chunk_ms": 20})
        bench.begin(SYSTEM)
        bench.swarm.wait_notice("update_progress", bench.id)
        node = int(first.query("SELECT node_id FROM update_step")[0][0])
        dies, lives = (first, second) if node == 0 else (second, first)
        dies.stop(signal.SIGKILL)
        bench.cyand = lives
        balancer.move_all(lives)
        bench.wait_state("succeeded", deadline_s=240)
        assert lives.query("SELECT node_id FROM update_step") == [[str(1 - node)]]
        assert bench.count("applied") == 1 and bench.runs("s") == 6300
    finally:
        balancer.close()


def test_a_device_in_safe_mode_is_healed(new_cyand, new_swarm, tmp_path):
    """Its application needs a newer system than it has."""
    cyand = new_cyand(**QUICK)
    bench = Bench(cyand, new_swarm, tmp_path, system_version=6100, modules=[
        {"f": "b", "n": "0", "v": 3100}, {"f": "s", "n": "1", "v": 6100}, {"f": "u", "n": "1", "v": 6}, {"f": "a", "n": "0", "v": 202},
        {"f": "c", "n": "0", "v": 5}])
    bench.begin(module(ARGON, "u", 1, 6, needs=[("s", 1, 6200)], size=20_000))
    bench.wait_state("succeeded")
    wait_until(lambda: bench.rest.device(bench.id)["status"] == "safe_mode", "it is in safe mode")
    bench.release(module(ARGON, "s", 1, 6200, needs=[("b", 0, 3100)], size=60_000))
    wait_until(lambda: bench.update()["kind"] == "heal", "it is healed", 60)
    bench.wait_state("succeeded")
    assert bench.runs("s") == 6200
    wait_until(lambda: bench.rest.device(bench.id)["status"] == "normal", "it is well again")
