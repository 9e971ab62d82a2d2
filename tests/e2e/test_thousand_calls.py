"""A thousand people call a hundred devices at the same moment, while devices drop out and return: nobody gets another's
answer, nothing runs twice, and everybody gets a word within bounds."""

import asyncio
import random

import pytest

from harness.balancer import Balancer
from harness.calls import ask_at_once, check_answers, mixed_calls
from harness.waiting import wait_until

DEVICES, CALLS = 100, 1000
FAST = {"time_scale": 0.2, "keepalive": 5, "platforms": "photon,argon,boron,tracker,p2", "ramp": 50}


def wait_described(cyand, swarm):
    swarm.wait_connected(DEVICES)
    wait_until(lambda: cyand.query("SELECT count(*) FROM device WHERE functions ? 'mix'") == [[str(DEVICES)]],
               "all are described")


def disturbance(swarm, seed):
    """Devices boot, move, sleep and are cut off, one every few milliseconds."""
    picked, devices = random.Random(seed), swarm.online()

    async def go_on():
        while True:
            await asyncio.sleep(0.02)
            what = picked.choice(("reboot", "resume", "rebind", "goodbye"))
            fields = {"sleep_s": 1} if what == "goodbye" else {}
            swarm.send(what, picked.choice(devices), **fields)

    return go_on


def test_all_at_once(cyand, new_swarm):
    swarm = new_swarm(cyand, devices=DEVICES, **FAST)
    wait_described(cyand, swarm)
    calls = mixed_calls(swarm.online(), CALLS)
    statuses = ask_at_once(calls, [cyand.http_port], cyand.rest().token)
    # one at a time per device, and up to eight wait: who comes tenth is told to come again
    assert set(statuses) <= {200, 429} and statuses[200] >= 9 * DEVICES, statuses
    check_answers(calls, swarm)
    while again := [call for call in calls if call.status == 429]:
        ask_at_once(again, [cyand.http_port], cyand.rest().token)
    assert {call.status for call in calls} == {200}
    check_answers(calls, swarm)
    assert swarm.finish()["protocol_errors"] == {}


@pytest.mark.parametrize("nodes", [1, 2])
def test_devices_drop_out_and_return_meanwhile(new_cyand, new_swarm, redis, nodes):
    servers = [new_cyand(node_lease_s=3, **redis.settings)]
    if nodes == 2:
        servers.append(new_cyand(node_id=1, node_lease_s=3, keys_dir=servers[0].settings["keys_dir"], **redis.settings))
    balancer = Balancer(servers)
    try:
        swarm = new_swarm(servers[0], address=balancer.address, devices=DEVICES, **FAST)
        wait_described(servers[0], swarm)
        calls = mixed_calls(swarm.online(), CALLS, seed=nodes)
        disturb = disturbance(swarm, nodes)

        async def meanwhile():
            moving = asyncio.ensure_future(disturb())
            try:
                while nodes == 2:
                    await asyncio.sleep(0.5)
                    balancer.move_some(0.1)
                await asyncio.Event().wait()
            finally:
                moving.cancel()

        statuses = ask_at_once(calls, [server.http_port for server in servers], servers[0].rest().token, meanwhile)
        assert set(statuses) <= {200, 408, 429}, statuses
        assert statuses[200] > CALLS / 2, statuses
        check_answers(calls, swarm)
        wait_until(lambda: len(swarm.online()) == DEVICES, lambda: f"all are back: {swarm.said()}", 60)
        calm = mixed_calls(swarm.online(), 5 * DEVICES)
        assert set(ask_at_once(calm, [server.http_port for server in servers], servers[0].rest().token)) == {200}, calm
        check_answers(calm, swarm)
        assert swarm.finish()["protocol_errors"] == {}
    finally:
        balancer.close()
