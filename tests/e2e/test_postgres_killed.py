"""kill -9 of Postgres for 20 s under load: REST answers 503 in JSON, devices stay connected, nothing acknowledged is
lost, and all goes on by itself."""

import collections
import os
import time

import pytest

from conftest import migrated_database
from harness.waiting import hold_for, wait_until

SECONDS = float(os.environ.get("CYAN_OUTAGE_SECONDS", "20"))
DEVICES = 20


@pytest.mark.long
def test_postgres_killed(own_postgres, new_cyand, new_swarm):
    cyand = new_cyand(cluster=own_postgres, database=migrated_database(own_postgres))
    rest, pid = cyand.rest(), cyand.pid
    swarm = new_swarm(cyand, devices=DEVICES, profile="mixed", event_interval_ms=500, keepalive=5)
    swarm.wait_connected(DEVICES)
    wait_until(lambda: swarm.count_acked() > 5 * DEVICES, "the load runs")
    before = cyand.metrics()

    own_postgres.kill()
    killed_at = time.monotonic()

    answers = []

    def look():
        for method, path, body in [("GET", "/v1/devices", None), ("GET", f"/v1/devices/{swarm.online()[0]}", None),
                                   ("GET", "/health", None), ("PUT", f"/v1/devices/{swarm.online()[0]}", {"notes": "x"})]:
            answer = rest.request(method, path, json_body=body)
            assert answer.status == 503, f"{method} {path} without a database: {answer}"
            assert answer.headers["Content-Type"].startswith("application/json")
            assert answer.json["ok"] is False and answer.json["error"]
            answers.append(answer)
        metrics = cyand.metrics()
        assert metrics.sum("cyan_sessions") == DEVICES
        assert metrics.sum("cyan_postgres_up") == 0
        assert len(swarm.online()) == DEVICES

    hold_for(SECONDS, look, every_s=0.5)
    assert len(answers) >= 8

    own_postgres.start()
    outage_s = time.monotonic() - killed_at
    assert outage_s >= SECONDS
    wait_until(lambda: rest.get("/health").status == 200, "the server finds the database again")
    wait_until(lambda: rest.get("/v1/devices").status == 200, "REST answers")
    recovered = swarm.count_acked()
    wait_until(lambda: swarm.count_acked() > recovered + 5 * DEVICES, "events go on")

    # nobody was dropped, nobody started again
    after = cyand.metrics()
    assert cyand.pid == pid and cyand.process.poll() is None
    assert after.sum("cyan_sessions_ended_total") == before.sum("cyan_sessions_ended_total")
    assert after.sum("cyan_handshakes_total", outcome="ok") == before.sum("cyan_handshakes_total", outcome="ok") == DEVICES
    assert swarm.handshakes() == DEVICES
    wait_until(lambda: sum(row["connected"] for row in rest.devices()) == DEVICES, "everyone is listed as connected")

    # what was acknowledged is there, once
    report = swarm.finish()
    assert report["sessions_lost"] == 0, report["sessions_lost_by_reason"]
    rows = cyand.query("SELECT encode(device_id, 'hex'), name, convert_from(data, 'UTF8') FROM event "
                       "WHERE name = 'swarm/tick'")
    stored = collections.Counter(tuple(row) for row in rows)
    acked = [(line["device"], line["name"], line["data"]) for line in swarm.ledger() if line["name"] == "swarm/tick"]
    lost = [event for event in acked if stored[event] == 0]
    assert not lost, f"{len(lost)} of {len(acked)} acknowledged events are lost, like {lost[:3]}"
    assert max(stored.values()) == 1
