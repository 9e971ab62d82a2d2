"""What devices say of an update is a claim. Each test here has a way in which a device is not what it said, and asserts the
device's own truth, the books of the campaign, and the operator's sentence."""

import pytest

from harness.firmware import ARGON, module
from harness.fleets import Argons, ncp
from harness.rollout import EASY, QUICK, Rollout
from harness.truth import applied_counts
from harness.waiting import wait_until

BOOTLOADER = module(ARGON, "b", 0, 3100, size=20_000)


@pytest.fixture
def fleet(new_cyand, new_swarm):
    """Call it with what is wrong with each device."""

    def make(*defects, settings=None, **options):
        return Argons(new_cyand(**{**QUICK, **(settings or {})}), new_swarm, defects, **options)

    return make


@pytest.mark.long
def test_a_device_that_says_yes_and_comes_back_old_is_no_success(fleet):
    argons = fleet({"lie": True})
    rollout = Rollout(argons.cyand)
    rollout.release("boot", [BOOTLOADER])
    campaign = rollout.start("liar", "boot", {"platform_id": ARGON})
    wait_until(lambda: rollout.states(campaign)["failed"] == 1, lambda: rollout.devices(campaign))
    row = rollout.of(campaign, argons.ids[0])
    assert row["reason"] == "no_effect" and row["sentence"], row
    assert argons.runs(argons.ids[0], "b0") == 2700
    assert applied_counts(argons.swarm) == {}
    rollout.check_books()


def test_a_device_that_falls_back_in_the_soak_has_regressed(fleet):
    argons = fleet({})
    rollout = Rollout(argons.cyand)
    rollout.release("boot", [BOOTLOADER])
    campaign = rollout.start("fallback", "boot", {"platform_id": ARGON},
                             stages=[{"name": "all", "percent": 100, "gate": {**EASY, "soak_s": 600}}])
    (device,) = argons.ids
    wait_until(lambda: rollout.states(campaign)["succeeded"] == 1, lambda: rollout.devices(campaign))
    argons.swarm.command("module", device, f="b", n="0", v=2700)
    argons.swarm.command("reboot", device)
    wait_until(lambda: rollout.states(campaign)["failed"] == 1, lambda: rollout.devices(campaign))
    row = rollout.of(campaign, device)
    assert row["reason"] == "regressed" and "fell back" in row["sentence"], row
    assert argons.server_says(device, "b0") == 2700
    rollout.check_books()


@pytest.mark.parametrize("reboots", [2, 3, 5])
def test_a_co_processor_may_reboot_many_times(fleet, reboots):
    """It describes its old version, then 0, then the new one: only that counts."""
    argons = fleet({"ncp_reboots": reboots, "ncp_unknown_s": 3}, modules=ncp(4), system_version=4200)
    rollout = Rollout(argons.cyand)
    rollout.release("ncp", [module(ARGON, "c", 0, 5, size=60_000)])
    campaign = rollout.start("ncp", "ncp", {"platform_id": ARGON})
    done = rollout.wait(campaign, "completed")
    assert done["verdict"]["ok"] == 1, done
    assert argons.runs(argons.ids[0], "c0") == 5
    assert applied_counts(argons.swarm) == {(argons.ids[0], "c0", 5): 1}
    rollout.check_books()


def test_another_module_that_falls_meanwhile_is_planned_again(fleet):
    """Seen in the field: the bootloader fell from 3000 to 1200 while the co-processor was written."""
    argons = fleet({"collateral": {"f": "b", "n": "0", "v": 1200}}, modules=ncp(4, boot=3000), system_version=4200)
    rollout = Rollout(argons.cyand)
    rollout.release("ncp and boot", [module(ARGON, "c", 0, 5, size=60_000), module(ARGON, "b", 0, 3000, size=20_000)])
    campaign = rollout.start("collateral", "ncp and boot", {"platform_id": ARGON})
    done = rollout.wait(campaign, "completed", deadline_s=180)
    assert done["verdict"]["ok"] == 1, done
    device = argons.ids[0]
    assert (argons.runs(device, "c0"), argons.runs(device, "b0")) == (5, 3000)
    assert applied_counts(argons.swarm) == {(device, "c0", 5): 1, (device, "b0", 3000): 1}
    steps = argons.cyand.query("SELECT m.func FROM update_step s JOIN module_binary m ON m.id = s.module_id ORDER BY s.id")
    assert steps == [["7"], ["2"]]
    rollout.check_books()
