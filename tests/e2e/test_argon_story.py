"""The deep update of an Argon: network co-processor firmware 3 needs one, 5 does not."""

from harness.keys import new_device_id
from harness.waiting import wait_until

MODULES = [{"f": "b", "n": "0", "v": 1005}, {"f": "s", "n": "1", "v": 2302}, {"f": "u", "n": "1", "v": 6},
           {"f": "a", "n": "0", "v": 202}]


def ncp(version):
    return {"f": "c", "n": "0", "v": version}


def module(rest, device, letter):
    modules = rest.ok("GET", f"/v1/devices/{device}/modules")["modules"]
    (found,) = [m for m in modules if m["f"] == letter and m["store"] == "main"]
    return found


def test_argon_story(cyand, new_swarm):
    argon = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": argon, "platform": 12, "system_version": 2302, "modules": MODULES + [ncp(3)]}])
    swarm.wait_connected(1)
    rest = cyand.rest()

    detail = rest.device(argon)
    assert detail["requires_deep_update"] is True
    assert "co-processor" in detail["deep_update_reason"]
    assert "cc3000_patch_version" not in detail, "an Argon has none"
    assert [row["id"] for row in rest.devices(requires_deep_update="true")] == [argon]
    assert module(rest, argon, "c")["version"] == 3

    # the update done, the device starts again and describes what it now runs
    swarm.command("module", argon, f="c", n="0", v=5)
    first = len(swarm.notices)
    swarm.command("reboot", argon)
    swarm.wait_notice("online", argon, first=first)

    wait_until(lambda: "requires_deep_update" not in rest.device(argon), "the new describe takes the flag away")
    assert rest.devices(requires_deep_update="true") == []
    assert module(rest, argon, "c")["version"] == 5
    history = rest.ok("GET", f"/v1/devices/{argon}/modules?history=1")["history"]
    change = next(h for h in history if h["f"] == "c")
    assert (change["old_version"], change["new_version"], change["cause"]) == (3, 5, "describe")


def test_an_unknown_ncp_version_asks_for_nothing(cyand, new_swarm):
    argon = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": argon, "platform": 12, "system_version": 2302, "modules": MODULES + [ncp(0)]}])
    swarm.wait_connected(1)
    rest = cyand.rest()
    assert "requires_deep_update" not in rest.device(argon)

    # 3 is a fact; a later 0 is "I could not ask it", and takes nothing back
    swarm.command("module", argon, f="c", n="0", v=3)
    swarm.command("describe", argon, flags=1)
    wait_until(lambda: rest.device(argon).get("requires_deep_update") is True, "3 needs a deep update")
    swarm.command("module", argon, f="c", n="0", v=0)
    swarm.command("describe", argon, flags=1)
    wait_until(lambda: module(rest, argon, "c")["version"] == 0, "the describe with 0 is stored")
    assert rest.device(argon)["requires_deep_update"] is True
