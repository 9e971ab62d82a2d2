"""Two nodes behind one address: devices go from one to the other at any moment, and nodes die."""

import random
import time

import pytest

from harness.balancer import Balancer
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


def check_events(cyand, swarm):
    acked = {(line["device"], line["data"]) for line in swarm.ledger() if line["name"] == "swarm/tick"}
    rows = [tuple(row) for row in cyand.query("SELECT encode(device_id, 'hex'), convert_from(data, 'UTF8') FROM event"
                                              " WHERE name = 'swarm/tick'")]
    assert acked <= set(rows), f"{len(acked - set(rows))} acknowledged events are not stored"
    assert len(rows) == len(set(rows)), f"{len(rows) - len(set(rows))} events were stored twice"


def test_devices_go_from_node_to_node(nodes, balancer, new_swarm, redis):
    swarm = new_swarm(nodes[0], address=balancer.address, devices=DEVICES, event_interval_ms=200, **FAST)
    swarm.wait_connected(DEVICES)
    for _ in range(20):
        balancer.move_some()
        time.sleep(0.5)
    wait_until(lambda: len(swarm.online()) == DEVICES, "all are online", 30)
    taken = sum(node.metrics().sum("cyan_session_store_taken_total", image="exact") for node in nodes)
    behind = sum(node.metrics().sum("cyan_session_store_taken_total", image="behind") for node in nodes)
    report = swarm.finish()
    assert balancer.moves > 20 and taken > 20, (balancer.moves, taken, behind)
    assert report["handshakes_ok"] == DEVICES and not report["protocol_errors"], report
    assert behind == 0, "a living node lets go of what it is asked for"
    check_events(nodes[0], swarm)
