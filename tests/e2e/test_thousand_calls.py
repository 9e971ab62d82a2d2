"""A thousand people call a hundred devices at the same moment, while devices drop out and return: nobody gets another's
answer, nothing runs twice, and everybody gets a word within bounds."""

import asyncio
import concurrent.futures
import random

import pytest

from harness.balancer import Balancer
from harness.calls import ask_at_once, check_answers, mixed_calls
from harness.swarm import mixed_value
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


def test_one_device_runs_one_at_a_time_in_the_order_they_came(cyand, new_swarm):
    swarm = new_swarm(cyand, file=[{"id": "e00fce681122334455667788", "platform": "boron", "system_version": 6200}])
    swarm.wait_connected(1)
    device, = swarm.online()
    rest = cyand.rest()
    wait_until(lambda: "slow" in rest.device(device)["functions"], "it is described")
    names = ["slow", "mix", "anInt", "mixTwo", "slow", "aString", "mix", "aBool", "mixTwo"]
    for turn in range(2):
        first = len(swarm.notices)
        with concurrent.futures.ThreadPoolExecutor(len(names)) as people:
            asked = []
            for name in names:
                before = cyand.metrics().sum("cyan_questions_total")
                if name.startswith("a"):
                    asked.append(people.submit(rest.get, f"/v1/devices/{device}/{name}"))
                else:
                    asked.append(people.submit(rest.post, f"/v1/devices/{device}/{name}", {"arg": str(500 + turn)}))
                # the next one comes when this one has come
                wait_until(lambda: cyand.metrics().sum("cyan_questions_total") > before, "it waits for the device", every_s=0.005)
            assert [one.result().status for one in asked] == [200] * len(names), [one.result() for one in asked]
        ran = [notice["name"] for notice in swarm.notices[first:] if notice["event"] in ("function", "variable")]
        assert ran == names
        results = [one.result().json.get("return_value") for one in asked]
        assert results[0] == results[4] == 500 + turn and results[1] == mixed_value(device, "mix", str(500 + turn))
    assert swarm.finish()["protocol_errors"] == {}, "none came while another ran"


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
        wait_until(lambda: all(device["state"] == "online" for device in swarm.status()["devices"]),
                   lambda: f"all are back: {swarm.said()}", 60, every_s=0.5)

        def everybody_answers():
            # a device whose datagrams go to another node is found there once it has said something
            calm = mixed_calls(swarm.online(), 5 * DEVICES)
            statuses = ask_at_once(calm, [server.http_port for server in servers], servers[0].rest().token)
            assert set(statuses) <= {200, 408}, statuses
            check_answers(calm, swarm)
            return set(statuses) == {200}

        wait_until(everybody_answers, "everybody answers again", 120)
        assert swarm.finish()["protocol_errors"] == {}
    finally:
        balancer.close()
