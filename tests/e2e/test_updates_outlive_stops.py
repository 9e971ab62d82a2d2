"""A server that is stopped, or dies, at whatever moment of describing, planning, sending and applying: it ends in order, the next
one goes on, and each device applied each binary once."""

import signal
import time

import pytest

from harness.firmware import ARGON, NCP_ESP32, module
from harness.fleets import Argons, ncp
from harness.rollout import QUICK, Rollout
from harness.truth import applied_counts

BOOTLOADER = module(ARGON, "b", 0, 3100, size=30_000)
NCP = module(ARGON, "c", 0, 5, size=30_000, mcu=NCP_ESP32, needs=[("b", 0, 3100)])


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_fleet_whose_server_stops_again_and_again(new_cyand, new_swarm, redis, number):
    cyand = new_cyand(**QUICK, **redis.settings)
    argons = Argons(cyand, new_swarm, [{"chunk_ms": 10}] * 12, modules=ncp(4, boot=2700))
    rollout = Rollout(cyand)
    rollout.release("both", [BOOTLOADER, NCP])
    campaign = rollout.start("stops", "both", {"platform_id": ARGON})
    for tenths in (3, 11, 17, 23, 31, 43):
        time.sleep(tenths / 10)
        cyand.settings["coap_port"] = cyand.coap_port
        code = cyand.stop(number)
        assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        cyand.start()
    done = Rollout(cyand).wait(campaign, "completed", deadline_s=240)
    assert done["verdict"]["ok"] == 12, done
    assert applied_counts(argons.swarm) == {(device, *what): 1 for device in argons.ids for what in (("b0", 3100), ("c0", 5))}
    Rollout(cyand).check_books()
