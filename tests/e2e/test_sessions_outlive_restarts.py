"""What a device's session outlives: a clean stop with and without Redis, and a crash with it. Nobody shakes hands again."""

import collections
import random
import signal
import socket
import time

import pytest

from harness.cyand import run_cyand
from harness.rounds import rounds
from harness.truth import check_report, check_ticks
from harness.waiting import wait_until

DEVICES = 12
FAST = {"time_scale": 0.2, "keepalive": 5}  # keepalive 1 s, retransmission after 0.8 s
FASTER = {"time_scale": 0.05, "keepalive": 20}


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


def each_is_acknowledged(swarm, times):
    """Every device has had so many of its events acknowledged from now on: it is past what went before. (A message that
    four transmissions in a row do not get through for ends a session, here as anywhere.)"""
    first = len(swarm.notices)

    def heard():
        counts = collections.Counter(n["device"] for n in swarm.notices[first:] if n["event"] == "acked")
        return len(counts) == DEVICES and min(counts.values()) >= times

    wait_until(heard, lambda: f"events of every device are acknowledged: {swarm.said()}", 40)


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
    check_report(swarm.finish(), DEVICES)


def test_a_start_that_is_refused_keeps_the_session_file(new_cyand, new_swarm):
    cyand = new_cyand()
    swarm = new_swarm(cyand, devices=3, **FAST).wait_connected(3)
    cyand.settings.update(coap_port=cyand.coap_port, http_port=cyand.http_port)
    assert cyand.stop() == 0
    with socket.create_server(("127.0.0.1", cyand.settings["http_port"])):
        refused = run_cyand("run", *cyand.flags())
    assert refused.returncode == 1 and "start.refused" in refused.stderr, refused.stderr
    cyand.start()
    pongs_grow(swarm, 6)
    assert handshakes(swarm) == 3
    check_report(swarm.finish(), 3)


def test_a_crash_costs_one_more_round_trip(new_cyand, new_swarm, redis):
    cyand = new_cyand(**redis.settings)
    swarm = new_swarm(cyand, devices=DEVICES, event_interval_ms=150, replay=20, **FASTER).wait_connected(DEVICES)
    picked = random.Random(5)
    for _ in range(rounds(5)):
        time.sleep(picked.random() / 2)
        restart(cyand, signal.SIGKILL)
        each_is_acknowledged(swarm, 3)
        assert handshakes(swarm) == DEVICES
    assert cyand.metrics().sum("cyan_session_store_taken_total", image="behind") > 0
    report = swarm.finish()
    check_report(report, DEVICES)
    assert report["replays_sent"] > 0
    check_ticks(cyand, swarm)
