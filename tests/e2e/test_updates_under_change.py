"""Things change while devices are updated: people pause and abort, withdraw, delete, edit rules; nodes and networks come and go."""

import time

import pytest

from harness.balancer import Balancer
from harness.firmware import ARGON, module
from harness.fleets import Argons, ncp
from harness.keys import new_device_id
from harness.rollout import EASY, QUICK, Rollout
from harness.truth import applied_counts
from harness.waiting import hold_for, wait_until

BOOTLOADER = module(ARGON, "b", 0, 3100, size=40_000)
SLOW = {"chunk_ms": 60}  # 80 chunks of 512 bytes take 5 s


@pytest.fixture
def one(new_cyand, new_swarm):
    """An Argon with a campaign for it that has begun: make(**defects)."""

    def make(limits=None, **defects):
        argons = Argons(new_cyand(**QUICK), new_swarm, [defects])
        rollout = Rollout(argons.cyand)
        rollout.release("boot", [BOOTLOADER])
        argons.rollout, argons.device = rollout, argons.ids[0]
        argons.campaign = rollout.start("one", "boot", {"platform_id": ARGON}, limits=limits or {})
        return argons

    return make


def wait_step(argons, *states, deadline_s=60):
    def there():
        rows = argons.cyand.query("SELECT state FROM update_step ORDER BY id DESC LIMIT 1")
        return bool(rows) and rows[0][0] in states

    wait_until(there, lambda: f"a step is {states}: {argons.rollout.devices(argons.campaign)}", deadline_s, every_s=0.02)


def finish(argons):
    """The device has it, once, and everybody says so."""
    argons.rollout.wait(argons.campaign, "completed")
    assert argons.runs(argons.device, "b0") == 3100
    assert applied_counts(argons.swarm) == {(argons.device, "b0", 3100): 1}
    argons.rollout.check_books()


@pytest.mark.parametrize("state", ["transferring", "rebooting", "describing"])
def test_a_pause_in_each_state(one, state):
    argons = one(**SLOW)
    wait_step(argons, state)
    argons.rollout.act(argons.campaign, "pause", reason="test")
    if state == "transferring":  # stops at once, and keeps what it has
        wait_step(argons, "backoff")
        hold_for(2, lambda: not argons.swarm.truth("applied"))
    else:  # what was told to apply runs to its end
        wait_until(lambda: argons.server_says(argons.device, "b0") == 3100, "it is described")
    argons.rollout.act(argons.campaign, "resume")
    finish(argons)
    (started, *_) = argons.swarm.truth("update_started")
    assert started["start_bytes"] == 0


@pytest.mark.parametrize("state", ["transferring", "rebooting"])
def test_an_abort_in_each_state(one, state):
    argons = one(**SLOW)
    wait_step(argons, state)
    argons.rollout.act(argons.campaign, "abort", reason="test")
    argons.rollout.wait(argons.campaign, "aborted")
    row = argons.rollout.of(argons.campaign, argons.device)
    if state == "transferring":
        assert row["state"] == "cancelled" and argons.runs(argons.device, "b0") == 2700
        assert not argons.swarm.truth("applied")
    else:
        assert argons.runs(argons.device, "b0") == 3100
    argons.rollout.check_books()


def test_what_is_withdrawn_in_mid_transfer_is_not_applied(one):
    argons = one(**SLOW)
    wait_step(argons, "transferring")
    firmware = argons.cyand.query("SELECT id FROM module_binary")[0][0]
    argons.rollout.author.ok("POST", f"/v1/firmware/{firmware}/withdraw", {"reason": "it bricks"})
    paused = argons.rollout.wait(argons.campaign, "paused")
    assert paused["pause_reason"] == "safety" and "withdrawn" in paused["why"], paused
    wait_until(lambda: argons.cyand.query("SELECT state FROM update_step") == [["cancelled"]], "its step is cancelled")
    row = argons.rollout.of(argons.campaign, argons.device)
    assert (row["state"], row["reason"]) == ("blocked", "module_withdrawn") and "it bricks" in row["sentence"], row
    hold_for(2, lambda: not argons.swarm.truth("applied"))
    assert argons.runs(argons.device, "b0") == 2700
    argons.rollout.check_books()


def test_a_device_that_is_deleted_takes_its_update_with_it(one):
    argons = one(**SLOW)
    wait_step(argons, "transferring")
    argons.cyand.query(f"DELETE FROM device WHERE id = '\\x{argons.device}'")
    wait_until(lambda: argons.cyand.query("SELECT state FROM device_update") == [["cancelled"]], "it is cancelled")
    hold_for(2, lambda: not argons.swarm.truth("applied"))
    argons.rollout.check_books()


def test_a_rule_that_forbids_it_meanwhile_stops_the_next_step(new_cyand, new_swarm):
    """The stored plan counts for nothing: after each step it is planned anew."""
    argons = Argons(new_cyand(**QUICK), new_swarm, [{}], modules=ncp(4, boot=2700), system_version=4200)
    rollout = Rollout(argons.cyand)
    rollout.release("both", [BOOTLOADER, module(ARGON, "c", 0, 5, size=40_000, needs=[("b", 0, 3100)])])
    campaign = rollout.start("ruled", "both", {"platform_id": ARGON})
    wait_until(lambda: argons.swarm.truth("update_validated"), "the first step is taken")
    answer = rollout.author.post("/v1/rules", {
        "code": "no-ncp-5", "platform_id": ARGON, "kind": "unreachable",
        "body": {"all": [{"module": "c", "index": 0, "from": 5}]}, "explain": "NCP 5 was found to hang.", "evidence": "test"})
    assert answer.status in (200, 201), answer
    wait_until(lambda: rollout.states(campaign)["blocked"] == 1, lambda: rollout.devices(campaign))
    row = rollout.of(campaign, argons.ids[0])
    assert "NCP 5 was found to hang" in str(row), row
    assert (argons.runs(argons.ids[0], "b0"), argons.runs(argons.ids[0], "c0")) == (3100, 4)
    rollout.check_books()


def test_an_address_that_changes_in_mid_transfer(new_cyand, new_swarm):
    argons = Argons(new_cyand(**QUICK), new_swarm, [SLOW], rebind_every=3, keepalive=10, loss=5, dup=5, reorder=10)
    rollout = Rollout(argons.cyand)
    rollout.release("boot", [BOOTLOADER])
    argons.rollout, argons.device = rollout, argons.ids[0]
    argons.campaign = rollout.start("moving", "boot", {"platform_id": ARGON})
    finish(argons)


def test_two_nodes_and_a_device_that_flaps(new_cyand, new_swarm, redis):
    first = new_cyand(node_id=0, node_lease_s=3, **QUICK, **redis.settings)
    second = new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **QUICK, **redis.settings)
    balancer = Balancer([first, second])
    try:
        argons = Argons(first, new_swarm, [{"chunk_ms": 20}] * 4, address=balancer.address)
        rollout = Rollout(first)
        rollout.release("boot", [BOOTLOADER])
        campaign = rollout.start("flapping", "boot", {"platform_id": ARGON}, stages=[{"name": "all", "percent": 100, "gate": EASY}])
        until = time.monotonic() + 60  # on a busy machine nothing may get through between two moves
        while rollout.read(campaign)["state"] != "completed" and time.monotonic() < until:
            balancer.move_some()
            time.sleep(2)
        done = rollout.wait(campaign, "completed", deadline_s=120)
        assert done["verdict"]["ok"] == 4, done
        assert applied_counts(argons.swarm) == {(device, "b0", 3100): 1 for device in argons.ids}
        rollout.check_books()
    finally:
        balancer.close()


def test_healing_waits_for_the_campaign_that_holds_the_device(new_cyand, new_swarm):
    """An application that needs a newer system puts the device into safe mode; the release that is published heals it, once."""
    argons = Argons(new_cyand(**QUICK), new_swarm, [{}], modules=ncp(5, system=5501), system_version=5501)
    rollout, (device,) = Rollout(argons.cyand), argons.ids
    rollout.release("6.2.0", [module(ARGON, "s", 1, 6200, size=60_000), module(ARGON, "u", 1, 7, needs=[("s", 1, 6200)], size=20_000)])
    answer = rollout.author.upload(f"/v1/devices/{device}", module(ARGON, "u", 1, 7, needs=[("s", 1, 6200)], size=20_000), method="PUT")
    assert answer.status == 200, answer
    wait_until(lambda: argons.server_says(device, "s1") == 6200, lambda: argons.cyand.query("SELECT kind, state, reason FROM device_update"), 90)
    assert applied_counts(argons.swarm) == {(device, "u1", 7): 1, (device, "s1", 6200): 1}
    wait_until(lambda: argons.cyand.query("SELECT kind, state FROM device_update WHERE kind = 'heal'") == [["heal", "succeeded"]],
               lambda: argons.cyand.query("SELECT kind, state, reason FROM device_update"))
    assert argons.cyand.rest().device(device)["status"] == "normal"


@pytest.mark.long
def test_nothing_is_offered_in_the_first_minute(new_cyand, new_swarm):
    """After a start a herd comes back; it is let in before anybody is updated."""
    argons = Argons(new_cyand(**{**QUICK, "update_start_delay_s": 20}), new_swarm, [{}] * 5)
    rollout = Rollout(argons.cyand)
    rollout.release("boot", [BOOTLOADER])
    campaign = rollout.start("early", "boot", {"platform_id": ARGON})
    since = argons.cyand.query("SELECT extract(epoch FROM started_at) FROM campaign")[0][0]
    rollout.wait(campaign, "completed")
    ready = next(iter(argons.cyand.log_lines("ready coap="))).split()[0]
    first = argons.cyand.query(f"""SELECT min(at) >= timestamptz '{ready}' + interval '20 s' FROM update_event
                                   WHERE kind = 'step' AND to_state = 'starting'""")
    assert first == [["t"]], (since, ready)
    assert len(argons.swarm.truth("applied")) == 5


def test_an_unknown_device_is_blocked_in_words(new_cyand, new_swarm):
    """A device that never described itself is not sent anything."""
    argons = Argons(new_cyand(**QUICK), new_swarm, [{}])
    rollout, stranger = Rollout(argons.cyand), new_device_id()
    argons.cyand.query(f"INSERT INTO device (id, platform_id) VALUES ('\\x{stranger}', {ARGON})")
    rollout.release("boot", [BOOTLOADER])
    campaign = rollout.start("strange", "boot", {"platform_id": ARGON})
    wait_until(lambda: rollout.states(campaign)["succeeded"] == 1, lambda: rollout.devices(campaign))
    row = rollout.of(campaign, stranger)
    assert row["state"] in ("blocked", "waiting") and row["reason"] in ("unknown_inventory", "offline_never_seen"), row
    assert row["sentence"], row
