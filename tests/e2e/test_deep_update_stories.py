"""The two stories operators come for, end to end: an Argon from bootloader 1200, system 1512 and co-processor 3 to today; and a Core
whose Wi-Fi chip has patch 1.23."""

import json

from harness.ctl import Ctl
from harness.firmware import ARGON, CORE, module
from harness.keys import new_device_id
from harness.rollout import QUICK, Rollout
from harness.truth import applied_counts
from harness.waiting import wait_until

RELEASE = [module(ARGON, "a", 0, 202, size=50_000), module(ARGON, "b", 0, 3100, size=40_000),
           module(ARGON, "c", 0, 5, size=90_000),
           module(ARGON, "s", 1, 6200, needs=[("b", 0, 3100), ("a", 0, 202)], size=120_000)]


def argon(new_swarm, cyand, system, boot=1200, ncp=3):
    device = new_device_id()
    modules = [{"f": "b", "n": "0", "v": boot}, {"f": "s", "n": "1", "v": system}, {"f": "u", "n": "1", "v": 5},
               {"f": "a", "n": "0", "v": 182}, {"f": "c", "n": "0", "v": ncp}]
    swarm = new_swarm(cyand, file=[{"id": device, "platform": ARGON, "system_version": system, "modules": modules}], time_scale=0.1)
    swarm.wait_connected(1)
    wait_until(lambda: cyand.query("SELECT count(*) FROM device_module WHERE func = 7 AND version > 0") == [["1"]], "it is described")
    return swarm, device


def test_an_argon_on_a_path_that_can_still_connect(new_cyand, new_swarm, tmp_path):
    cyand = new_cyand(**QUICK)
    swarm, device = argon(new_swarm, cyand, system=1512)
    rollout = Rollout(cyand)
    rollout.release("6.2.0", RELEASE)
    assert cyand.rest().device(device)["requires_deep_update"] is True

    plan = rollout.author.ok("GET", f"/v1/devices/{device}/update_plan?release=6.2.0")["plan"]
    assert plan["outcome"] == "steps", plan
    order = [step["function"] for step in plan["steps"]]
    assert sorted(order) == ["a", "b", "c", "s"], plan
    assert order.index("c") < order.index("s"), "with system 6200 it could not connect before its co-processor is new"
    assert order.index("b") < order.index("c"), "bootloader first: a field report"
    assert order.index("b") < order.index("s") and order.index("a") < order.index("s"), "the header of the system asks for both"
    assert all(step["because"] for step in plan["steps"]), plan
    told = Ctl(tmp_path / "home", f"http://127.0.0.1:{cyand.http_port}", rollout.author.token).ok("device", "explain", device, "6.2.0")
    for step in plan["steps"]:
        assert " ".join(step["because"][0].split()[:2]) in told, told

    campaign = rollout.start("argon", "6.2.0", {"devices": [device]})
    done = rollout.wait(campaign, "completed", deadline_s=240)
    assert done["verdict"]["ok"] == 1, done
    assert applied_counts(swarm) == {(device, "a0", 202): 1, (device, "b0", 3100): 1, (device, "c0", 5): 1, (device, "s1", 6200): 1}
    runs = swarm.runs(device)
    assert (runs["a0"], runs["b0"], runs["c0"], runs["s1"]) == (202, 3100, 5, 6200)
    detail = cyand.rest().device(device)
    assert "requires_deep_update" not in detail
    rollout.check_books()


def test_an_argon_that_cannot_open_its_data_channel(new_cyand, new_swarm):
    cyand = new_cyand(**QUICK)
    swarm, device = argon(new_swarm, cyand, system=1512)
    rollout = Rollout(cyand)
    rollout.release("6.2.0", RELEASE)
    swarm.close()  # someone wrote system 3103 over USB: it never connects again, and never describes itself
    cyand.query(f"""SELECT store_modules('\\x{device}', (SELECT jsonb_agg(jsonb_build_object('store', store, 'func', func, 'idx', idx,
                    'version', CASE func WHEN 4 THEN 3103 ELSE version END, 'max_size', max_size_bytes, 'checked', checked_flags,
                    'passed', passed_flags, 'deps', dependencies)) FROM device_module WHERE device_id = '\\x{device}'), 'describe')""")
    plan = rollout.author.ok("GET", f"/v1/devices/{device}/update_plan?release=6.2.0")["plan"]
    assert (plan["outcome"], plan["reason"]) == ("blocked", "unreachable_version"), plan
    assert "data channel" in plan["sentence"] or "cannot connect" in plan["sentence"], plan
    recipe = " ".join(plan["local_recipe"])
    assert 0 <= recipe.index("bootloader") < recipe.index("system") < recipe.index("NCP"), plan["local_recipe"]
    campaign = rollout.create("dead", "6.2.0", {"devices": [device]})
    rollout.act(campaign, "plan")
    blocked = json.dumps(rollout.read(campaign)["plan"])
    assert "unreachable_version" in blocked, blocked


def test_a_core_gets_its_patch(new_cyand, new_swarm):
    cyand = new_cyand(**QUICK)
    core = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": core, "platform": CORE, "name": "joe_prod_core2", "cc3000": "1.23"}], time_scale=0.1)
    swarm.wait_connected(1)
    wait_until(lambda: cyand.rest().device(core).get("cc3000_patch_version") == "1.23", "it has said its patch")
    assert cyand.rest().device(core)["requires_deep_update"] is True
    rollout = Rollout(cyand)
    rollout.release("core 1.28", [module(CORE, "r", 0, 128, size=30_000)])
    campaign = rollout.start("core", "core 1.28", {"requires_deep_update": True})
    done = rollout.wait(campaign, "completed", deadline_s=180)
    assert done["verdict"]["ok"] == 1, done
    detail = cyand.rest().device(core)
    assert detail["cc3000_patch_version"] == "1.28" and "requires_deep_update" not in detail
    assert applied_counts(swarm) == {(core, "r0", 128): 1}
    rollout.check_books()
