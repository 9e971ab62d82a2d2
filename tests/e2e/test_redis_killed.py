"""Redis is away for a while under load: nothing is dropped, what could not be written is written later, and /metrics says
how far behind it is. Then the node dies, and sessions go on."""

import signal
import time

from harness.rounds import rounds
from harness.truth import check_report, check_ticks
from harness.waiting import wait_until

DEVICES = 12
FAST = {"time_scale": 0.2, "keepalive": 5}


def behind_ms(cyand):
    return cyand.metrics().sum("cyan_session_store_behind_ms")


def test_redis_is_away_under_load_and_then_the_node_dies(new_cyand, new_swarm, own_redis):
    cyand = new_cyand(node_lease_s=3, **own_redis.settings)
    swarm = new_swarm(cyand, devices=DEVICES, event_interval_ms=300, rebind_every=4, replay=20, **FAST).wait_connected(DEVICES)
    away_s = 30 if rounds(1) > 1 else 6
    own_redis.kill()
    acked = swarm.count_acked()
    time.sleep(away_s / 2)
    more = new_swarm(cyand, devices=3, event_interval_ms=300, **FAST).wait_connected(3)  # a handshake needs no Redis
    time.sleep(away_s / 2)
    assert swarm.count_acked() > acked + DEVICES, "events go on being acknowledged"
    assert cyand.metrics().sum("cyan_session_store_waiting") >= DEVICES
    assert behind_ms(cyand) > 1000 * (away_s / 2 - 2)
    own_redis.start()
    wait_until(lambda: behind_ms(cyand) < 2500, lambda: f"it has caught up: {behind_ms(cyand)} ms", 30)
    wait_until(lambda: len(own_redis.keys("s:*")) == DEVICES + 3, "all sessions are written", 20)
    port, http_port = cyand.coap_port, cyand.http_port
    cyand.stop(signal.SIGKILL)
    cyand.settings.update(coap_port=port, http_port=http_port)
    cyand.start()
    acked, more_acked = swarm.count_acked(), more.count_acked()
    wait_until(lambda: swarm.count_acked() > acked + 3 * DEVICES and more.count_acked() > more_acked + 9,
               "events are acknowledged again", 60)
    for one, count in ((swarm, DEVICES), (more, 3)):
        check_report(one.finish(), count)
    check_ticks(cyand, swarm, more)


def test_a_node_without_its_redis_starts_and_serves(new_cyand, new_swarm, own_redis):
    own_redis.stop()
    cyand = new_cyand(node_lease_s=3, **own_redis.settings)
    swarm = new_swarm(cyand, devices=3, event_interval_ms=300, **FAST).wait_connected(3)
    own_redis.start()
    wait_until(lambda: len(own_redis.keys("s:*")) == 3, "sessions are written once it is there", 20)
    check_report(swarm.finish(), 3)
