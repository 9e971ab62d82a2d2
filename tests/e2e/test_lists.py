"""Lists of devices at scale: pages while devices come and go, the whole list as JSON and CSV, and actions on a filter."""

import csv
import io
import json
import socket
import threading
import time

import pytest

from harness.waiting import wait_until

PRODUCT = 2000
PRODUCT_ROW = f"INSERT INTO product (id, slug, name, platform_id, owner_id) VALUES ({PRODUCT}, 'p', 'p', 13, {{owner}});"
DEVICES = f"""
INSERT INTO device (id, name, platform_id, product_id, product_version, in_product, online, node_id, last_handshake, last_heard,
                    serial_number, requires_deep_update, deep_update_rule, owner_id)
SELECT decode(lpad(to_hex(i), 24, '0'), 'hex'), CASE WHEN i % 10 > 0 THEN 'd' || i END, 13,
       CASE WHEN i % 2 = 0 THEN {PRODUCT} ELSE 13 END, i % 7, CASE WHEN i % 2 = 0 THEN {PRODUCT} END, i % 3 = 0, 77,
       CASE WHEN i % 11 > 0 THEN '2026-01-01T00:00:00Z'::timestamptz - i / 3 * interval '1 min' END,
       CASE WHEN i % 11 > 0 THEN '2026-01-02T00:00:00Z'::timestamptz - i * interval '1 s' END, 'SN-' || i, i % 50 = 7,
       CASE WHEN i % 50 = 7 THEN 'argon-ncp-5' END, {{owner}}
  FROM generate_series({{first}}, {{last}}) i;
"""


def device_id(i):
    return f"{i:024x}"


class Fleet:
    """Rows of a node that does not exist: devices 1 to count, the even ones in a product."""

    def __init__(self, cyand, count, owner="NULL"):
        self.cyand, self.query, self.count, self.owner = cyand, cyand.query, count, owner
        self.query(PRODUCT_ROW.format(owner=owner))
        self.add(1, count)
        self.query("ANALYZE device")
        self.operator = cyand.rest("operator", "opal")

    def add(self, first, last):
        self.query(DEVICES.format(first=first, last=last, owner=self.owner))

    def dry(self, path, **wish):
        return self.operator.ok("POST", path, {"dry_run": True, **wish})["devices"]

    def order(self, path, **wish):
        answer = self.operator.post(path, wish)
        assert answer.status == 202, answer
        return answer.json["action"]

    def wait_over(self, action, path="/v1/device_actions", rest=None):
        return wait_until(lambda: (lambda a: a if a["state"] != "running" else None)(
            (rest or self.operator).ok("GET", f"{path}/{action['id']}")["action"]), f"action {action['id']} is over")


def walk(rest, path, per_page, between=lambda: None):
    """All rows, page after page until one is empty."""
    rows = []
    for page in range(1, 1000):
        answer = rest.get(f"{path}{'&' if '?' in path else '?'}page={page}&per_page={per_page}")
        assert answer.status == 200, answer
        found = answer.json["devices"] if "devices" in answer.json else answer.json
        rows += found
        if not found:
            return rows
        between()
    raise AssertionError("the list has no end")


# --- pages ---


@pytest.mark.parametrize("attribute", ["lastConnection", "deviceId", "deviceName", "firmwareVersion", "lastHeard"])
def test_pages_of_a_product_in_every_order(cyand, attribute):
    fleet = Fleet(cyand, 300)
    path = f"/v1/products/{PRODUCT}/devices?sortAttr={attribute}"
    down = walk(fleet.operator, path, 7)
    up = walk(fleet.operator, path + "&sortDir=asc", 23)
    assert len(down) == 150 and {d["id"] for d in down} == {device_id(i) for i in range(2, 301, 2)}
    assert [d["id"] for d in down] == [d["id"] for d in reversed(up)]
    keys = {"lastConnection": lambda d: d["last_handshake_at"] or "", "deviceId": lambda d: d["id"],
            "deviceName": lambda d: d["name"] or "", "firmwareVersion": lambda d: d["firmware_version"],
            "lastHeard": lambda d: "9" if d["online"] else d["last_heard"] or ""}
    assert [keys[attribute](d) for d in up] == sorted(keys[attribute](d) for d in up)


def test_filters_of_a_product(cyand):
    fleet = Fleet(cyand, 300)
    of_product = [i for i in range(1, 301) if i % 2 == 0]

    def total(**query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        found = fleet.operator.ok("GET", f"/v1/products/{PRODUCT}/devices?per_page=1000&{text}")
        assert found["customers"] == [] and len(found["devices"]) == found["meta"]["total_records"]
        assert found["meta"]["total_pages"] == (1 if found["devices"] else 0)
        return found["meta"]["total_records"]

    assert total() == 150
    assert total(deviceName="D1") == sum(1 for i in of_product if i % 10 and "1" == f"{i}"[0])
    assert total(serialNumber="sn-1") == sum(1 for i in of_product if f"{i}"[0] == "1")
    assert total(deviceId=device_id(6)) == 1 and total(deviceId=device_id(6)[-2:]) >= 1
    assert total(online="true") == sum(1 for i in of_product if i % 3 == 0)
    assert total(firmwareVersion=3) == sum(1 for i in of_product if i % 7 == 3)
    assert total(platformId=12) == 0
    assert total(lastHeardAfter="2026-01-01T23:59:00Z") == sum(1 for i in of_product if i % 11 and i < 60)
    assert total(groups="a,b") == 0
    fleet.query(f"INSERT INTO product_group (product_id, name) VALUES ({PRODUCT}, 'a'), ({PRODUCT}, 'b');"
                f"INSERT INTO device_group SELECT id, {PRODUCT}, 'a' FROM device WHERE in_product IS NOT NULL LIMIT 3;"
                f"INSERT INTO device_group SELECT id, {PRODUCT}, 'b' FROM device WHERE in_product IS NOT NULL LIMIT 5")
    assert total(groups="a,b") == 5 and total(groups="a") == 3
    for bad in ("page=0", "per_page=1001", "perPage=x", "sortAttr=color", "sortDir=sideways", "online=perhaps",
                "lastHeardBefore=soon", "firmwareVersion=-1"):
        assert fleet.operator.get(f"/v1/products/{PRODUCT}/devices?{bad}").status == 400, bad


def test_nothing_is_repeated_or_dropped_while_devices_come_and_go(cyand):
    """With a writer that never rests: devices are made, removed and shake hands, at every page of the walk."""
    fleet = Fleet(cyand, 2000)
    over, failures = threading.Event(), []

    def churn():
        i = 3000
        try:
            while not over.is_set():
                i += 1
                fleet.add(i, i)
                fleet.query(f"DELETE FROM device WHERE id = decode(lpad(to_hex({i - 2990} * 4), 24, '0'), 'hex')")
                fleet.query(f"UPDATE device SET last_handshake = now(), last_heard = now() WHERE id = decode(lpad(to_hex({i - 2990} * 4 + 2), 24, '0'), 'hex')")
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for path in ("/v1/devices", f"/v1/products/{PRODUCT}/devices?sortAttr=deviceName", "/v1/devices?name=d1*"):
            seen = [row["id"] for row in walk(fleet.operator, path, 40)]
            still = {device_id(i) for i in range(1, 2001, 2)}  # the odd ones are left alone
            expected = [d for d in seen if d in still]
            assert len(expected) == len(set(expected))
            if path == "/v1/devices":
                assert set(expected) == still
    finally:
        over.set()
        thread.join()
    assert failures == []


def test_a_cursor_goes_on_where_a_page_ended_on_any_node(new_cyand, redis):
    first = new_cyand(node_id=1, **redis.settings)
    second = new_cyand(node_id=2, **redis.settings)
    fleet = Fleet(first, 100)
    rest = [fleet.operator, second.rest("operator", "opal")]
    seen, cursor, turn = [], "", 0
    while True:
        answer = rest[turn % 2].get("/v1/devices?per_page=9" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer
        seen += [row["id"] for row in answer.json]
        cursor, turn = answer.headers["X-Next-Cursor"], turn + 1
        if not cursor:
            break
        fleet.add(1000 + turn, 1000 + turn)
        fleet.query(f"UPDATE device SET last_handshake = now() WHERE id = decode('{device_id(1000 + turn)}', 'hex')")
    assert len(seen) == len(set(seen)) == 100
    assert fleet.operator.get("/v1/devices?cursor=zz").status == 400


# --- the whole list ---


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("count", [0, 1, 900, 10500])
def test_csv_is_the_list(cyand, count):
    fleet = Fleet(cyand, count)
    listed = {row["id"]: row for row in walk(fleet.operator, "/v1/devices", 1000)}
    whole = fleet.operator.get("/v1/devices").json
    answer = fleet.operator.get("/v1/devices", headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = read_csv(answer.text)
    assert len(rows) == len(whole) == len(listed) == count
    assert {row["id"] for row in rows} == {row["id"] for row in whole} == set(listed)
    for row in rows:
        one = listed[row["id"]]
        assert row["name"] == (one["name"] or "") and row["last_heard"] == (one["last_heard"] or "")
        assert row["connected"] == json.dumps(one["connected"]) and row["serial_number"] == one["serial_number"]
    filtered = fleet.operator.get("/v1/devices?requires_deep_update=true", headers={"Accept": "text/csv"})
    assert {r["id"] for r in read_csv(filtered.text)} == {device_id(i) for i in range(1, count + 1) if i % 50 == 7}
    if count:
        of_product = fleet.operator.get(f"/v1/products/{PRODUCT}/devices?online=true", headers={"Accept": "text/csv"})
        assert {r["id"] for r in read_csv(of_product.text)} == {device_id(i) for i in range(1, count + 1) if i % 6 == 0}


def test_csv_of_what_people_and_devices_say(cyand):
    fleet = Fleet(cyand, 3)
    said = ['=cmd|"/c calc"!A0', 'two\nlines, and "quotes"', "-1+2"]
    for i, text in enumerate(said, 1):
        assert fleet.operator.put(f"/v1/devices/{device_id(i)}", {"notes": text}).status == 200
    text = fleet.operator.get("/v1/devices", headers={"Accept": "text/csv"}).text
    notes = {row["id"]: row["notes"] for row in read_csv(text)}
    assert [notes[device_id(i)] for i in (1, 2, 3)] == ["'" + said[0], said[1], "'" + said[2]]


def test_a_reader_that_stands_still_holds_nothing_up(cyand):
    """Many exports whose readers take nothing: memory stays bounded, others are served, and a stop is not held up."""
    fleet = Fleet(cyand, 10500)
    fleet.operator.get("/v1/devices")
    before = cyand.resident_bytes()
    readers = []
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", cyand.http_port))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(f"GET /v1/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fleet.operator.token}\r\n\r\n".encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200")
        readers.append(s)
    begun = time.monotonic()
    while time.monotonic() - begun < 3:
        assert fleet.operator.get("/v1/devices?per_page=100").status == 200
    assert cyand.resident_bytes() - before < 40 * 1024 * 1024
    assert cyand.stop() == 0
    cyand.start()
    for s in readers:
        s.close()


# --- actions on a filter ---


def test_what_a_dry_run_counts_is_what_is_done(cyand):
    fleet = Fleet(cyand, 3000)
    path = f"/v1/products/{PRODUCT}/devices/actions"
    wish = {"filter": {"online": True, "deviceName": "d1"}, "action": "groups", "metadata": {"add": ["beta"]}}
    answer = fleet.operator.ok("POST", path, {"dry_run": True, **wish})
    expected = [i for i in range(1, 3001) if i % 6 == 0 and i % 10 and f"{i}"[0] == "1"]
    assert answer["devices"] == len(expected) and answer["sample"] == [device_id(i) for i in expected[:10]]
    assert fleet.query("SELECT count(*) FROM device_group")[0][0] == "0"
    action = fleet.order(path, expect=len(expected), **wish)
    done = fleet.wait_over(action, f"/v1/products/{PRODUCT}/device_actions")
    assert (done["state"], done["devices"], done["looked"], done["changed"]) == ("done", *[len(expected)] * 3)
    listed = fleet.operator.ok("GET", f"/v1/products/{PRODUCT}/devices?groups=beta&per_page=1000")
    assert sorted(d["id"] for d in listed["devices"]) == [device_id(i) for i in expected]
    assert fleet.dry(path, **{**wish, "filter": {"groups": ["beta"]}}) == len(expected)
    again = fleet.wait_over(fleet.order(path, expect=len(expected), **wish), f"/v1/products/{PRODUCT}/device_actions")
    assert again["changed"] == 0
    trail = fleet.query(f"SELECT action, after->>'devices' FROM audit WHERE target = 'device action {action['id']}' ORDER BY id")
    assert trail[0] == ["device.action", str(len(expected))] and trail[-1][0] == "device.action.done"
    named = [d for name, devices in trail[1:-1] for d in json.loads(devices)]
    assert sorted(named) == [device_id(i) for i in expected]


def test_each_action(cyand):
    fleet = Fleet(cyand, 600)
    of_product, of_fleet = f"/v1/products/{PRODUCT}/devices/actions", "/v1/devices/actions"

    def act(path, expect, **wish):
        assert fleet.dry(path, **wish) == expect
        done = fleet.wait_over(fleet.order(path, expect=expect, **wish),
                               "/v1/device_actions" if path == of_fleet else f"/v1/products/{PRODUCT}/device_actions")
        assert done["state"] == "done", done
        return done["changed"]

    def count(where):
        return int(fleet.query(f"SELECT count(*) FROM device WHERE {where}")[0][0])

    assert act(of_product, 300, action="development", metadata={"development": True}, filter={"all": True}) == 300
    assert count("development") == 300
    assert act(of_product, 100, action="quarantine", filter={"online": True}) == 100
    assert count("in_product IS NULL") == 400
    assert act(of_product, 100, action="unquarantine", filter={"quarantined": True}) == 100
    assert count(f"in_product = {PRODUCT}") == 300
    assert act(of_product, 300, action="remove", filter={"all": True}) == 300
    assert count(f"in_product = {PRODUCT}") == 0
    fleet.query("UPDATE device SET owner_id = (SELECT id FROM users WHERE name = 'opal') WHERE name LIKE 'd1%'")
    names = count("name IS NOT NULL")
    assert act(of_fleet, 600, action="remove", filter={"all": True}) == names - count("name NOT LIKE 'd1%'")
    assert count("owner_id IS NOT NULL") == 0 and count("name IS NOT NULL") == names
    assert act(of_fleet, 200, action="quarantine", filter={"connected": True}) == 200
    assert act(of_fleet, 200, action="unquarantine", filter={"quarantined": True}) == 200
    assert count("quarantined") == 0


def test_refusals_of_actions(cyand):
    fleet = Fleet(cyand, 50)
    of_product, of_fleet = f"/v1/products/{PRODUCT}/devices/actions", "/v1/devices/actions"
    good = {"filter": {"connected": True}, "action": "quarantine", "expect": 16}

    def refused(status, path=of_fleet, rest=fleet.operator, **fields):
        wish = {name: value for name, value in {**good, **fields}.items() if value is not None}
        answer = rest.post(path, wish)
        assert answer.status == status, answer
        return answer.json

    assert refused(409, expect=15)["devices"] == 16
    refused(409, expect=10, tolerance=5)
    refused(400, expect=None)
    refused(400, action="explode")
    refused(400, action="groups", metadata={"add": ["a"]})
    refused(400, filter={})
    refused(400, filter={"colour": "red"})
    refused(400, filter={"connected": "perhaps"})
    refused(400, filter="all")
    refused(400, of_product, action="groups", metadata={"add": ["A B"]})
    refused(400, of_product, action="unquarantine")
    refused(400, of_product, action="remove", filter={"quarantined": True})
    refused(403, rest=cyand.rest("owner", "olive"))
    refused(403, of_product, rest=cyand.rest("owner", "olive"))
    assert fleet.query("SELECT count(*) FROM device_action")[0][0] == "0"
    found = fleet.query("BEGIN; INSERT INTO device_action (actor, action, metadata, filter, devices) SELECT 'x', 'remove', '{}', '{}', 0"
                        " FROM generate_series(1, 100); SELECT code FROM device_action_create('x', NULL, '{\"action\": \"remove\","
                        " \"metadata\": {}, \"filter\": {}, \"expect\": 5, \"tolerance\": 0}', 5); ROLLBACK")
    assert ["many"] in found
    key = {"Idempotency-Key": "one"}
    first = fleet.operator.post(of_fleet, {**good, "tolerance": 2, "expect": 14}, headers=key)
    again = fleet.operator.post(of_fleet, {**good, "tolerance": 2, "expect": 14}, headers=key)
    assert (first.status, again.status) == (202, 202) and first.json["action"]["id"] == again.json["action"]["id"]
    assert fleet.operator.post(of_fleet, good, headers=key).status == 422
    elsewhere = fleet.operator.post(of_product, {**good, "tolerance": 2, "expect": 14}, headers=key)
    assert elsewhere.status == 422, "the same body means other devices there"
    fleet.query(f"INSERT INTO product_group (product_id, name) SELECT {PRODUCT}, 'g' || i FROM generate_series(1, 999) i")
    count = fleet.dry(of_product, filter={"all": True}, action="groups", metadata={"add": ["x"]})
    refused(400, of_product, filter={"all": True}, action="groups", metadata={"add": ["x", "y"]}, expect=count)
    assert fleet.query(f"SELECT count(*) FROM product_group WHERE product_id = {PRODUCT}")[0][0] == "999"
    fleet.wait_over(first.json["action"])
    assert fleet.operator.delete(f"/v1/device_actions/{first.json['action']['id']}").status == 409
    assert fleet.operator.get("/v1/device_actions/77").status == 404
    assert fleet.operator.get(f"/v1/products/{PRODUCT}/device_actions/{first.json['action']['id']}").status == 404


def test_an_action_is_stopped(cyand):
    fleet = Fleet(cyand, 20000)
    action = fleet.order("/v1/devices/actions", filter={"all": True}, action="development", metadata={"development": True},
                         expect=20000)
    answer = fleet.operator.delete(f"/v1/device_actions/{action['id']}")
    assert answer.status == 200 and answer.json["action"]["state"] == "stopped"
    now = answer.json["action"]["changed"]
    assert now < 20000
    time.sleep(0.5)
    assert fleet.query("SELECT count(*) FROM device WHERE development")[0][0] == str(now)


@pytest.mark.parametrize("nodes", [1, 2])
def test_an_action_outlives_kills(new_cyand, redis, nodes):
    """kill -9 in the middle, several times: every device is changed once, and the count says so."""
    settings = redis.settings if nodes > 1 else {}
    servers = [new_cyand(node_id=n, **settings) for n in range(nodes)]
    fleet = Fleet(servers[0], 20000)
    changes = "CREATE TABLE change (id bytea); CREATE FUNCTION on_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN" \
              " INSERT INTO change VALUES (NEW.id); RETURN NULL; END $$; CREATE TRIGGER t AFTER UPDATE OF development ON device" \
              " FOR EACH ROW EXECUTE FUNCTION on_change()"
    fleet.query(changes)
    action = fleet.order("/v1/devices/actions", filter={"all": True}, action="development", metadata={"development": True},
                         expect=20000)

    def changed():
        return int(fleet.query(f"SELECT changed FROM device_action WHERE id = {action['id']}")[0][0])

    def goes_on():
        before = changed()
        wait_until(lambda: changed() > before or changed() == 20000, "the action goes on")

    for round in range(3):
        goes_on()
        victim = servers[round % nodes]
        victim.kill()
        if nodes > 1: # the other one does
            goes_on()
        victim.start()
    wait_until(lambda: changed() == 20000, "the action is done", 60)
    wait_until(lambda: fleet.query(f"SELECT state FROM device_action WHERE id = {action['id']}")[0][0] == "done", "it says so")
    assert fleet.query("SELECT count(*), count(DISTINCT id) FROM change")[0] == ["20000", "20000"]
    assert fleet.query("SELECT sum(jsonb_array_length(after->'devices')) FROM audit WHERE action = 'device.action.development'"
                       )[0][0] == "20000"
