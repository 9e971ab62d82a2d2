"""Two nodes behind one address: devices go from one to the other at any moment, and nodes die."""

import concurrent.futures
import random
import signal
import time

import pytest

from harness.balancer import Balancer
from harness.rounds import rounds
from harness.truth import check_report, check_ticks
from harness.waiting import wait_until

DEVICES = 12
FAST = {"time_scale": 0.2, "keepalive": 5}


@pytest.fixture
def nodes(new_cyand, redis):
    """Of one key, as nodes behind one address must be."""
    first = new_cyand(node_id=0, node_lease_s=3, **redis.settings)
    return [first, new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **redis.settings)]


@pytest.fixture
def balancer(nodes):
    one = Balancer(nodes)
    yield one
    one.close()


def test_devices_go_from_node_to_node(nodes, balancer, new_swarm, redis):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, event_interval_ms=200, replay=20, **FAST)
    swarm.wait_connected(DEVICES)
    for _ in range(20):
        balancer.move_some()
        time.sleep(0.5)
    wait_until(lambda: len(swarm.online()) == DEVICES, "all are online", 30)
    taken = sum(node.metrics().sum("cyan_session_store_taken_total", image="exact") for node in nodes)
    behind = sum(node.metrics().sum("cyan_session_store_taken_total", image="behind") for node in nodes)
    assert balancer.moves > 20 and taken > 20, (balancer.moves, taken, behind)
    assert behind == 0, "a living node lets go of what it is asked for"
    check_report(swarm.finish(), DEVICES)
    check_ticks(nodes[0], swarm)


def sessions_held(nodes):
    return sum(node.metrics().sum("cyan_sessions") for node in nodes)


def check_owners(nodes, redis):
    """Each session is held once. A node that lost one drops it when it next writes, a second later."""
    wait_until(lambda: sessions_held(nodes) == len(redis.keys("s:*")) == DEVICES,
               lambda: f"{sessions_held(nodes)} sessions are held, Redis has {len(redis.keys('s:*'))}", 20)


def ask(rest, device, what):
    """One REST call to one device; what is wrong with its answer, or None."""
    started = time.monotonic()
    if what == "ping":
        answer = rest.request("PUT", f"/v1/devices/{device}/ping")
        good = answer.status == 200 and answer.json["online"] is True
    elif what == "call":
        answer = rest.request("POST", f"/v1/devices/{device}/analogread", form={"arg": "A3"})
        good = answer.status == 200 and answer.json["return_value"] == (int(device[-2:], 16) * 16 + 13) % 4096
    else:
        answer = rest.request("GET", f"/v1/devices/{device}/temperature")
        good = answer.status == 200 and answer.json["result"] == 20.0 + int(device[-2:], 16) / 16
    return None if good else f"{what} {device} after {time.monotonic() - started:.1f} s: {answer}"


def test_either_node_reaches_every_device(nodes, balancer, new_swarm, redis):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, platforms="argon,boron,p2", **FAST)
    swarm.wait_connected(DEVICES)
    wait_until(lambda: nodes[0].query("SELECT count(*) FROM device WHERE functions IS NOT NULL")[0][0] == str(DEVICES),
               "all are described", 30)
    rests, picked = [node.rest() for node in nodes], random.Random(7)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(rounds(4)):
            asked = [pool.submit(ask, picked.choice(rests), picked.choice(swarm.online()), what)
                     for what in ("ping", "call", "read") * 8]
            time.sleep(picked.random() / 2)
            balancer.move_some()
            wrong = [one.result() for one in asked if one.result()]
            # a device that moves just when it got a call may have run it: then it is not called again, and nobody knows
            unknown = [one for one in wrong if one.startswith("call") and " 408 " in one]
            assert len(wrong) == len(unknown), wrong
    assert {node["id"] for node in nodes[0].rest().get("/v1/nodes").json["nodes"]} == {0, 1}
    check_owners(nodes, redis)
    check_report(swarm.finish(), DEVICES)


def test_a_node_dies_and_its_devices_go_on_at_the_other(nodes, balancer, new_swarm, redis):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, event_interval_ms=200, replay=20, **FAST)
    swarm.wait_connected(DEVICES)
    picked = random.Random(11)
    for node in nodes:
        node.settings["coap_port"] = node.coap_port
    for turn in range(rounds(3)):
        dead, alive = picked.sample(nodes, 2)
        time.sleep(picked.random() * 2)
        balancer.move_some()
        time.sleep(picked.random() / 5)
        dead.stop(signal.SIGKILL)
        balancer.move_all(alive)
        wait_until(lambda: alive.metrics().sum("cyan_devices_online") == DEVICES,
                   lambda: f"round {turn}: all devices are at the node that lives: {swarm.said()}", 40)
        assert alive.rest().request("PUT", f"/v1/devices/{swarm.online()[0]}/ping").json["online"] is True
        dead.start()
        balancer.move_some()
        # a message that four transmissions in a row did not get through for ends a session, here as anywhere
        acked = swarm.count_acked()
        wait_until(lambda: swarm.count_acked() > acked + 15 * DEVICES, "events are acknowledged", 40)
    check_owners(nodes, redis)
    check_report(swarm.finish(), DEVICES)
    check_ticks(nodes[0], swarm)


def test_a_node_that_is_gone_is_noticed(nodes, balancer, new_swarm):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, **FAST).wait_connected(DEVICES)
    balancer.move_all(nodes[1])
    wait_until(lambda: nodes[1].metrics().sum("cyan_devices_online") == DEVICES, "all are at one node", 30)
    wait_until(lambda: nodes[0].query("SELECT count(*) FROM device WHERE online AND node_id = 1")[0][0] == str(DEVICES),
               "the registry knows", 10)
    nodes[1].stop(signal.SIGKILL)
    wait_until(lambda: nodes[0].query("SELECT count(*) FROM device WHERE online")[0][0] == "0",
               "its devices are offline", 15)
    assert [node["id"] for node in nodes[0].rest().get("/v1/nodes").json["nodes"]] == [0]
    reasons = nodes[0].query("SELECT DISTINCT reason FROM device_connection WHERE node_id = 1 AND ended_at IS NOT NULL")
    assert ["node_lost"] in reasons, reasons
    balancer.move_all(nodes[0])
    wait_until(lambda: nodes[0].metrics().sum("cyan_devices_online") == DEVICES, "they go on at the other", 40)
    check_report(swarm.finish(), DEVICES)


def count_online(node):
    return int(node.query("SELECT count(*) FROM device WHERE online")[0][0])


def test_a_node_that_stood_still_says_again_who_is_online(nodes, balancer, new_swarm):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, **FAST).wait_connected(DEVICES)
    balancer.move_all(nodes[1])
    wait_until(lambda: nodes[1].metrics().sum("cyan_devices_online") == DEVICES, "all are at one node", 30)
    wait_until(lambda: count_online(nodes[0]) == DEVICES, "the registry knows", 10)
    handshakes = swarm.status()["stats"]["handshakes_ok"]
    nodes[1].process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: count_online(nodes[0]) == 0, "the other node has marked them offline", 15)
    finally:
        nodes[1].process.send_signal(signal.SIGCONT)
    wait_until(lambda: count_online(nodes[0]) == DEVICES, "they are online again", 20)
    assert swarm.status()["stats"]["handshakes_ok"] == handshakes
    check_report(swarm.finish(), DEVICES)


def test_processes_of_one_host_share_a_port(new_cyand, new_swarm, redis):
    """No balancer: the kernel spreads the devices, and finds them another process when one dies."""
    first = new_cyand(node_id=0, node_lease_s=3, coap_share_port="yes", **redis.settings)
    second = new_cyand(node_id=1, node_lease_s=3, coap_share_port="yes", keys_dir=first.settings["keys_dir"],
                       coap_port=first.coap_port, **redis.settings)
    swarm = new_swarm(first, devices=DEVICES, event_interval_ms=300, rebind_every=3, **FAST).wait_connected(DEVICES)
    wait_until(lambda: first.metrics().sum("cyan_sessions") and second.metrics().sum("cyan_sessions"),
               "both have devices", 20)
    wait_until(lambda: len(redis.keys("s:*")) == DEVICES, "all sessions are written", 10)
    first.stop(signal.SIGKILL)
    wait_until(lambda: second.metrics().sum("cyan_devices_online") == DEVICES, "all go on at the one that lives", 40)
    check_report(swarm.finish(), DEVICES)
    check_ticks(second, swarm)
