"""What a device's session outlives: a clean stop with and without Redis, and a crash with it. Nobody shakes hands again."""

import random
import signal
import time

import pytest

from harness.rounds import rounds
from harness.waiting import wait_until

DEVICES = 12
FAST = {"time_scale": 0.2, "keepalive": 5}  # keepalive 1 s, retransmission after 0.8 s


def restart(cyand, how):
    cyand.settings["coap_port"] = cyand.coap_port
    cyand.settings["http_port"] = cyand.http_port
    assert cyand.stop(how) in (0, -signal.SIGKILL)
    cyand.start()


def handshakes(swarm):
    return swarm.status()["stats"]["handshakes_ok"]


def pongs_grow(swarm, by):
    first = swarm.status()["stats"]["pongs"]
    wait_until(lambda: swarm.status()["stats"]["pongs"] >= first + by, "devices are answered", 40)


def acks_grow(swarm, by):
    first = swarm.count_acked()
    wait_until(lambda: swarm.count_acked() >= first + by, "events are acknowledged", 40)


def connected(cyand):
    return int(cyand.query("SELECT count(*) FROM device WHERE online")[0][0])


@pytest.mark.parametrize("durable", ["redis", "file"])
def test_a_clean_stop_ends_no_session(new_cyand, new_swarm, redis, durable):
    cyand = new_cyand(**(redis.settings if durable == "redis" else {}))
    swarm = new_swarm(cyand, devices=DEVICES, profile="mixed", **FAST).wait_connected(DEVICES)
    for _ in range(3):
        restart(cyand, signal.SIGTERM)
        pongs_grow(swarm, 2 * DEVICES)
    wait_until(lambda: connected(cyand) >= 1, "devices are online again", 20)
    report = swarm.finish()
    assert report["handshakes_ok"] == DEVICES, report
    assert not report["sessions_lost"] and not report["protocol_errors"], report


def test_a_crash_costs_one_more_round_trip(new_cyand, new_swarm, redis):
    cyand = new_cyand(**redis.settings)
    swarm = new_swarm(cyand, devices=DEVICES, event_interval_ms=300, **FAST).wait_connected(DEVICES)
    picked = random.Random(5)
    for _ in range(rounds(3)):
        acks_grow(swarm, DEVICES)
        time.sleep(picked.random())
        restart(cyand, signal.SIGKILL)
        acks_grow(swarm, DEVICES)
        assert handshakes(swarm) == DEVICES
    acks_grow(swarm, 3 * DEVICES)
    assert cyand.metrics().sum("cyan_session_store_taken_total", image="behind") > 0
    report = swarm.finish()
    assert report["handshakes_ok"] == DEVICES and not report["protocol_errors"], report
    stored = cyand.query("SELECT count(*), count(DISTINCT data) FROM event WHERE name = 'swarm/tick'")
    acked = {(line["device"], line["data"]) for line in swarm.ledger() if line["name"] == "swarm/tick"}
    kept = set(map(tuple, cyand.query("SELECT encode(device_id, 'hex'), convert_from(data, 'UTF8') FROM event"
                                      " WHERE name = 'swarm/tick'")))
    assert acked <= kept, f"{len(acked - kept)} acknowledged events are not stored"
    assert stored[0][0] == stored[0][1], "an event was stored twice"
