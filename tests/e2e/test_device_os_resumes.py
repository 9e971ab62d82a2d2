"""How Device OS goes on with a session it kept, whatever became of the server meanwhile (docs of the devices' protocol, 2.5
to 2.8 and 4.2): never a handshake that it did not need."""

import os
import signal

import pytest

from harness.truth import check_report
from harness.waiting import wait_until

FAST = {"time_scale": 0.2, "keepalive": 5}
ARGON, BORON, OLD = "e00fce681122334455667788", "e00fce681122334455667799", "e00fce6811223344556677aa"
DEVICES = [{"id": ARGON, "platform": "argon", "system_version": 5501}, {"id": BORON, "platform": "boron"},
           {"id": OLD, "platform": "argon", "system_version": 1512, "cid": False}]  # before 3.1: no connection ID


@pytest.fixture
def fleet(new_cyand, new_swarm, redis):
    cyand = new_cyand(**redis.settings)
    swarm = new_swarm(cyand, file=DEVICES, **FAST).wait_connected(len(DEVICES))
    wait_until(lambda: cyand.query("SELECT count(*) FROM device WHERE functions IS NOT NULL") == [[str(len(DEVICES))]],
               "all are described, the old one when asked", 20)
    return cyand, swarm


def restart(cyand, how):
    cyand.settings.update(coap_port=cyand.coap_port, http_port=cyand.http_port)
    cyand.stop(how)
    cyand.start()


def is_connected(cyand, device):
    return cyand.rest().get(f"/v1/devices/{device}").json["connected"]


def resume(swarm, device):
    first = len(swarm.notices)
    swarm.command("resume", device)
    swarm.wait_notice("online", device, first=first, deadline_s=30)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("device", [ARGON, OLD])
def test_it_moves_while_the_server_restarts(fleet, device, how):
    """Its first record comes from a new address: type 253, or 254 with its id, by which Redis finds it."""
    cyand, swarm = fleet
    restart(cyand, how)
    resume(swarm, device)
    wait_until(lambda: is_connected(cyand, device), "the registry knows", 5)
    answer = cyand.rest().request("POST", f"/v1/devices/{device}/analogread", form={"arg": "A3"})
    assert answer.status == 200, "its describe of before is known"
    assert cyand.metrics().sum("cyan_sessions_moved_total") + cyand.metrics().sum("cyan_session_store_taken_total") > 0
    check_report(swarm.finish(), len(DEVICES))


def test_one_without_connection_id_stays_where_it_is(fleet):
    """By its address alone."""
    cyand, swarm = fleet
    restart(cyand, signal.SIGKILL)
    first = len(swarm.notices)
    swarm.command("ping", OLD)
    wait_until(lambda: is_connected(cyand, OLD), lambda: f"it is found: {swarm.said()}", 30)
    assert not [n for n in swarm.notices[first:] if n["event"] == "offline" and n["device"] == OLD]
    check_report(swarm.finish(), len(DEVICES))


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGKILL])
def test_its_firmware_changed_meanwhile(fleet, how):
    """Hello and describe inside the old session; in a session that is challenged as well."""
    cyand, swarm = fleet
    if how:
        restart(cyand, how)
    swarm.command("module", ARGON, f="u", n="1", v=77)
    resume(swarm, ARGON)
    described = cyand.query(f"SELECT count(*) FROM device_module WHERE device_id = '\\x{ARGON}' AND version = 77")
    assert described == [["1"]], "what it says now is stored"
    check_report(swarm.finish(), len(DEVICES))


def test_three_cold_boots_without_an_answer_and_then_a_handshake(fleet, redis):
    """The server still holds the old session, and takes the new one in its place."""
    cyand, swarm = fleet
    os.kill(cyand.pid, signal.SIGSTOP)
    try:
        for _ in range(4):
            swarm.command("cold_boot", BORON)
    finally:
        os.kill(cyand.pid, signal.SIGCONT)
    first = len(swarm.notices)
    swarm.wait_notice("online", BORON, first=first, deadline_s=60)
    wait_until(lambda: is_connected(cyand, BORON), "the registry knows", 5)
    wait_until(lambda: cyand.metrics().sum("cyan_sessions") == len(redis.keys("s:*")) == len(DEVICES),
               "the old session is gone, here and in Redis", 10)
    check_report(swarm.finish(), len(DEVICES) + 1)


def test_what_was_revoked_while_nobody_looked_stays_out(fleet):
    """A session outlives the process, but not its key."""
    cyand, swarm = fleet
    cyand.settings.update(coap_port=cyand.coap_port, http_port=cyand.http_port)
    cyand.stop(signal.SIGKILL)
    cyand.query(f"UPDATE device_key SET state = 'retired', retired_at = now() WHERE device_id = '\\x{ARGON}'")
    cyand.start()
    swarm.command("ping", ARGON)
    wait_until(lambda: cyand.log_lines("its session outlived its key"), "it is refused", 20)
    assert not is_connected(cyand, ARGON)
