"""Vitals as clients read them: asked for, stored, told of in an event, as a tree, as a list and as a table."""

import csv
import io
import json

import pytest

from harness.keys import new_device_id
from harness.waiting import wait_until

BORON = 13


@pytest.fixture
def boron(cyand, new_swarm):
    device = {"id": new_device_id(), "platform": BORON, "system_version": 6200}
    swarm = new_swarm(cyand, file=[device]).wait_connected(1)
    joe = cyand.rest("owner", "joe")
    joe.ok("POST", "/v1/devices", {"id": device["id"]})
    return device["id"], swarm, joe


def stored(cyand):
    return int(cyand.query("SELECT count(*) FROM device_vitals")[0][0])


def ask(cyand, joe, device):
    before = stored(cyand)
    answer = joe.post(f"/v1/diagnostics/{device}/update")
    assert (answer.status, answer.json) == (202, {"ok": True})
    wait_until(lambda: stored(cyand) > before, "they are stored")


def events(cyand):
    return [json.loads(row[0]) for row in cyand.query(
        "SELECT convert_from(data, 'UTF8') FROM event WHERE name = 'spark/device/diagnostics/update' ORDER BY id")]


def test_asked_for_and_read(cyand, boron):
    device, swarm, joe = boron
    swarm.publish(device, "temperature", "21")
    ask(cyand, joe, device)
    newest = wait_until(lambda: joe.ok("GET", f"/v1/diagnostics/{device}/last")["diagnostics"], "there are some")
    assert newest in joe.ok("GET", f"/v1/diagnostics/{device}")["diagnostics"]

    def asked_for():  # a device may tell them unasked, too
        return [v for v in joe.ok("GET", f"/v1/diagnostics/{device}")["diagnostics"] if v["payload"]["service"]["coap"]]

    last = wait_until(asked_for, "what was asked for has come")[-1]
    assert last["deviceID"] == device and last["updated_at"].endswith("Z")
    said, service = last["payload"]["device"], last["payload"]["service"]
    identity = bytes.fromhex(device)  # what the simulated device makes its values of
    assert said["system"]["memory"]["free"] == 84000 + identity[11] and said["system"]["uptime"] >= 0
    assert said["network"]["signal"]["rssi"] == -40 - identity[10] % 50 and said["network"]["signal"]["rssi_units"] == "dBm"
    assert said["cloud"] == {"connection": {"status": "connected"}, "coap": {"retransmit": identity[9] % 5}}
    assert service["device"] == {"status": "ok"} and service["cloud"]["publish"] == {"sent": 1}
    assert service["cloud"]["uptime"] >= 0 and service["coap"]["round_trip"] >= 1
    wait_until(lambda: len(events(cyand)) == stored(cyand), "each is told of in an event")
    assert last["payload"] in events(cyand)
    assert cyand.query("SELECT bool_and(is_system) FROM event WHERE name LIKE 'spark/device/diag%'") == [["t"]]


def test_history_as_list_and_as_table(cyand, boron):
    device, _, joe = boron
    cyand.query("DELETE FROM device_vitals")
    cyand.query(f"""INSERT INTO device_vitals (device_id, at, vitals) VALUES
        ('\\x{device}', '2026-01-01T00:00:00Z', '{{"33": 16128, "37": -4587520, "36": 8, "41": -10, "15": 3232235777}}'),
        ('\\x{device}', '2026-01-02T00:00:00Z', '{{"6": {{"err": -210}}, "3": 21760, "7": 3, "33000": 7, "28": 99}}'),
        ('\\x{device}', '2026-01-03T00:00:00Z', '{{"6": -1}}')""")
    rows = joe.ok("GET", f"/v1/diagnostics/{device}")["diagnostics"]
    assert [row["updated_at"][:10] for row in rows] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    network = rows[0]["payload"]["device"]["network"]
    assert network["signal"] == {"at": "LTE-M", "strength": 63.0, "strength_units": "%", "strengthv": -70.0,
                                 "strengthv_units": "dBm"}
    assert network["cellular"] == {"cell_global_identity": {"mobile_network_code": "10"}}
    assert network["ip"] == {"address": "192.168.1.1"}
    second = rows[1]["payload"]["device"]
    assert second["system"]["uptime"] == {"err": -210} and second["other"] == {"33000": 7}
    assert second["power"] == {"battery": {"charge": 85.0, "state": "charged"}}
    assert second["network"]["connection"]["disconnect_reason"] == 99, "newer than our list"
    assert rows[2]["payload"]["device"]["system"]["uptime"] == 4294967295

    between = f"/v1/diagnostics/{device}?start_date=2026-01-01T12:00:00Z&end_date=2026-01-02"
    assert [row["updated_at"][:10] for row in joe.ok("GET", between)["diagnostics"]] == ["2026-01-02"]
    answer = joe.get(f"/v1/diagnostics/{device}", headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(table) == 3 and table[0]["updated_at"] == "2026-01-01T00:00:00.000Z"
    assert table[0]["device.network.signal.strengthv"] == "-70" and table[0]["device.network.signal.at"] == "LTE-M"
    assert table[1]["device.system.uptime"] == "err:-210" and table[1]["device.power.battery.charge"] == "85"
    assert table[0]["service.device.status"] == "ok" and table[2]["device.network.signal.at"] == ""

    summary = joe.ok("GET", f"/v1/diagnostics/{device}/summary")["diagnostics_summary"]
    assert summary == {"deviceID": device, "count": 3, "first_at": "2026-01-01T00:00:00.000Z",
                       "updated_at": "2026-01-03T00:00:00.000Z", "status": "ok"}
    fields = {f["path"]: f for f in joe.ok("GET", f"/v1/diagnostics/{device}/metadata")["diagnostics_metadata"]["fields"]}
    assert fields["device.system.uptime"] == {"path": "device.system.uptime", "id": 6, "units": "s", "told": True}
    assert fields["device.network.signal.at"]["told"] is False


def test_what_cannot_be_answered(cyand, boron):
    device, swarm, joe = boron
    cyand.query("DELETE FROM device_vitals")
    for path in ("/last", "/summary"):
        answer = joe.get(f"/v1/diagnostics/{device}{path}")
        assert answer.status == 404 and "error" in answer.json
    assert joe.ok("GET", f"/v1/diagnostics/{device}") == {"diagnostics": []}
    for query in ("start_date=yesterday", "end_date=13", "start_date=2026-02-01&end_date=2026-01-01"):
        answer = joe.get(f"/v1/diagnostics/{device}?{query}")
        assert answer.status == 400 and answer.json["error"] == "bad_request" and answer.json["description"], answer
    ann = cyand.rest("owner", "ann")
    for path in ("", "/last", "/metadata", "/summary"):
        assert ann.get(f"/v1/diagnostics/{device}{path}").status == 403
        assert ann.get(f"/v1/diagnostics/{new_device_id()}{path}").status == 404
    swarm.finish()
    cyand.query("UPDATE device SET online = false")
    assert joe.post(f"/v1/diagnostics/{device}/update").status == 408
