"""From the first handshake to `GET /v1/devices`: what devices say is what people see, and may see."""

import http.client
import re

import pytest

from harness.cyand import Cyand
from harness.keys import Key, new_device_id
from harness.rest import Answer
from harness.swarm import Swarm
from harness.waiting import wait_until

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PHOTON, ARGON, BORON = 6, 12, 13


class Fleet:
    """Three devices of different kinds, online."""

    def __init__(self, cyand, folder, **options):
        self.photon, self.argon, self.boron = new_device_id(), new_device_id(), new_device_id()
        self.cyand = cyand
        self.swarm = Swarm(cyand, folder, file=[
            {"id": self.photon, "platform": PHOTON, "name": "kitchen"},
            {"id": self.argon, "platform": ARGON, "name": "garage", "profile": "psk"},
            {"id": self.boron, "platform": BORON, "name": "garden_1"},
        ], **options)
        try:
            self.swarm.wait_connected(3)
            self.rest = cyand.rest()
            self.all = {self.photon, self.argon, self.boron}
            wait_until(lambda: set(self.ids(connected="true")) == self.all, "all three are listed as connected")
        except AssertionError:
            self.swarm.close()
            raise

    def ids(self, **filters):
        return [row["id"] for row in self.rest.devices(**filters)]


@pytest.fixture(scope="module")
def fleet(postgres, migrated, tmp_path_factory):
    """For the tests that only look."""
    cyand = Cyand(postgres, postgres.create_database(template=migrated))
    try:
        cyand.start()
        made = Fleet(cyand, tmp_path_factory.mktemp("fleet") / "three")
        try:
            yield made
        finally:
            made.swarm.close()
    finally:
        cyand.close()


@pytest.fixture
def own_fleet(cyand, tmp_path):
    """For the tests that change something."""
    made = Fleet(cyand, tmp_path / "three")
    try:
        yield made
    finally:
        made.swarm.close()


# --- what is shown ---

def test_the_list_is_a_bare_array_of_devices(fleet):
    answer = fleet.rest.get("/v1/devices")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    rows = answer.json
    assert isinstance(rows, list) and {row["id"] for row in rows} == fleet.all
    for row in rows:
        assert row["connected"] is True and row["online"] is True
        assert row["last_app"] is None and row["status"] == "normal"
        assert ISO.fullmatch(row["last_heard"]) and ISO.fullmatch(row["last_handshake_at"])
        assert row["last_ip_address"] == "127.0.0.1"
        assert isinstance(row["platform_id"], int) and isinstance(row["product_id"], int)
        assert "requires_deep_update" not in row or row["requires_deep_update"] is True
    names = {row["id"]: (row["name"], row["platform_id"], row["cellular"]) for row in rows}
    assert names == {fleet.photon: ("kitchen", PHOTON, False), fleet.argon: ("garage", ARGON, False),
                     fleet.boron: ("garden_1", BORON, True)}
    handshakes = [row["last_handshake_at"] for row in rows]
    assert handshakes == sorted(handshakes, reverse=True)


def test_the_detail_tells_functions_and_variables(fleet):
    for which in (fleet.argon, fleet.argon.upper(), "garage"):
        detail = fleet.rest.device(which)
        assert detail["id"] == fleet.argon
    assert {"digitalread", "digitalwrite"} <= set(detail["functions"])
    assert detail["variables"] and set(detail["variables"].values()) <= {"int32", "double", "string", "bool"}
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", detail["system_firmware_version"])
    assert detail["last_reset"].startswith("power_down")


def test_the_modules_are_those_described(fleet):
    modules = fleet.rest.ok("GET", f"/v1/devices/{fleet.boron}/modules")
    assert modules["id"] == fleet.boron and "history" not in modules
    found = {(m["f"], m["index"]): m for m in modules["modules"] if m["store"] == "main"}
    assert {("b", 0), ("s", 1)} <= set(found)
    system = found["s", 1]
    assert system["function"] == "system-part" and system["valid"] is True and system["version"] > 0
    assert ISO.fullmatch(system["seen_at"])
    assert any(d["f"] == "b" for d in system["dependencies"]), "the system part needs a bootloader"
    history = fleet.rest.ok("GET", f"/v1/devices/{fleet.boron}/modules?history=1")["history"]
    first = {(h["f"], h["index"]): h for h in history}
    for place, m in found.items():
        assert first[place]["old_version"] is None and first[place]["new_version"] == m["version"]
        assert first[place]["cause"] == "describe"


def test_filters(fleet):
    assert set(fleet.ids(connected="true")) == fleet.all and fleet.ids(connected="false") == []
    assert fleet.ids(platform_id=ARGON) == [fleet.argon] and fleet.ids(platform_id=99) == []
    assert fleet.ids(name="kitchen") == [fleet.photon] and fleet.ids(name="kitch") == []
    assert set(fleet.ids(name="gar*")) == {fleet.argon, fleet.boron}
    assert fleet.ids(name="garden_*") == [fleet.boron], "_ is a letter, not a wildcard"
    product = fleet.rest.device(fleet.boron)["product_id"]
    assert fleet.boron in fleet.ids(product_id=product)
    assert set(fleet.ids(last_heard_after="2014-07-02T23:15:00.409Z")) == fleet.all
    assert fleet.ids(last_heard_before="2014-07-02T23:15:00.409Z") == []
    assert fleet.ids(platform_id=ARGON, connected="true", name="garage") == [fleet.argon]
    assert set(fleet.ids(quarantined="false")) == fleet.all


@pytest.mark.parametrize("query", ["connected=maybe", "platform_id=x", "platform_id=-1", "page=0", "per_page=0",
                                   "per_page=1001", "page=1&per_page=many", "last_heard_after=yesterday", "name="])
def test_a_bad_filter_is_told(fleet, query):
    answer = fleet.rest.get("/v1/devices?" + query)
    assert answer.status == 400 and answer.json["ok"] is False
    assert query.partition("=")[0] in answer.json["error"] or "per_page" in answer.json["error"]


def test_pages_neither_repeat_nor_drop(fleet):
    whole = fleet.ids()
    assert [fleet.ids(page=n, per_page=1) for n in (1, 2, 3)] == [[id] for id in whole]
    assert fleet.ids(page=1, per_page=2) + fleet.ids(page=2, per_page=2) == whole
    assert fleet.ids(page=4, per_page=1) == []
    assert fleet.rest.get("/v1/devices?page=1&per_page=2").headers["X-Total-Count"] == "3"


def test_head_is_get_without_a_body(fleet):
    get = fleet.rest.get(f"/v1/devices/{fleet.photon}")
    head = fleet.rest.request("HEAD", f"/v1/devices/{fleet.photon}")
    assert head.status == 200 and head.body == b""
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert fleet.rest.request("HEAD", "/v1/devices/nobody").status == 404


def test_what_is_not_there_is_404_in_json(fleet):
    for path in ("/v1/devices/" + "0" * 24, "/v1/devices/nobody", "/v1/devices/nobody/modules", "/v1/nothing", "/"):
        answer = fleet.rest.get(path)
        assert answer.status == 404 and answer.json["ok"] is False and answer.json["error"], path
    assert fleet.rest.get("/v1/devices/nobody").json["error"] == "Device not found."
    assert fleet.rest.delete("/v1/devices").status == 405
    assert fleet.rest.get("/v1/devices/").status == 200, "a slash at the end is accepted"


def test_the_browser_may_ask(fleet):
    answer = fleet.cyand.anonymous().request("OPTIONS", "/v1/devices")
    assert answer.status == 204 and answer.body == b""
    assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_no_token_and_a_bad_token(fleet):
    anonymous = fleet.cyand.anonymous()
    missing = anonymous.get("/v1/devices")
    assert missing.status == 400
    assert missing.json["error"] == "invalid_request"
    assert missing.json["error_description"] == "The access token was not found"
    for token in ("0" * 40, "x", "y" * 129):
        bad = anonymous.with_token(token).get("/v1/devices")
        assert bad.status == 401, token
        assert bad.json["error"] == "invalid_token"
        assert bad.json["error_description"] == "The access token provided is invalid."
    assert anonymous.get(f"/v1/devices?access_token={fleet.rest.token}").status == 200
    assert anonymous.get("/v1/devices", headers={"Authorization": f"bearer {fleet.rest.token}"}).status == 200


def test_health_and_metrics_need_no_token(fleet):
    health = fleet.cyand.anonymous().ok("GET", "/health")
    assert health["ok"] is True and health["postgres"] is True
    assert health["sessions"] == 3 and health["devices_online"] == 3
    assert fleet.cyand.metrics().sum("cyan_handshakes_total", outcome="ok") >= 3


def test_ping_asks_the_device(fleet):
    for method in ("POST", "PUT"):
        answer = fleet.rest.ok(method, "/v1/devices/kitchen/ping")
        assert answer["online"] is True and answer["ok"] is True


# --- what is changed ---

def test_ping_of_a_device_that_is_away(own_fleet):
    rest, swarm = own_fleet.rest, own_fleet.swarm
    never = new_device_id()
    rest.ok("POST", f"/v1/provisioning/{never}", {"algorithm": "psk", "psk": "00" * 16})
    assert rest.ok("POST", f"/v1/devices/{never}/ping")["online"] is False
    swarm.command("goodbye", own_fleet.boron)
    wait_until(lambda: rest.device(own_fleet.boron)["connected"] is False, "a goodbye is shown")
    assert set(own_fleet.ids(connected="true")) == {own_fleet.photon, own_fleet.argon}
    assert own_fleet.ids(connected="false")[0] == own_fleet.boron


def test_rename(own_fleet):
    rest, photon = own_fleet.rest, own_fleet.photon
    answer = rest.ok("PUT", f"/v1/devices/{photon}", {"name": "living-room_2"})
    assert answer["id"] == photon and answer["name"] == "living-room_2" and ISO.fullmatch(answer["updated_at"])
    assert rest.device("living-room_2")["id"] == photon
    assert rest.get("/v1/devices/kitchen").status == 404
    form = rest.ok("PUT", f"/v1/devices/{photon}", form={"name": "by_form", "notes": "under the sink"})
    assert form["name"] == "by_form" and form["notes"] == "under the sink"
    assert rest.device(photon)["notes"] == "under the sink"
    for bad in ("", "two words", "ä", "a" * 65, "0" * 24, "a/b", "garage"):  # the last is another device's
        refused = rest.put(f"/v1/devices/{photon}", {"name": bad})
        assert refused.status == 400 and refused.json["error"], bad
    assert rest.put(f"/v1/devices/{photon}", {}).json["error"] == "Nothing to do?"
    assert rest.put(f"/v1/devices/{photon}").status == 400
    assert rest.put("/v1/devices/nobody", {"name": "x"}).status == 404
    assert rest.put(f"/v1/devices/{photon}", headers={"Content-Type": "application/json"}).status == 400
    assert rest.device(photon)["name"] == "by_form"


def test_claim_unclaim_and_roles(own_fleet):
    cyand, photon, argon = own_fleet.cyand, own_fleet.photon, own_fleet.argon
    admin, operator = own_fleet.rest, cyand.rest("operator", "olga")
    ann, ben = cyand.rest("owner", "ann"), cyand.rest("owner", "ben")

    assert ann.devices() == [], "nobody's devices are not everybody's"
    assert {row["id"] for row in operator.devices()} == own_fleet.all

    claimed = ann.ok("POST", "/v1/devices", {"id": photon.upper(), "request_transfer": False})
    assert claimed["ok"] is True and claimed["id"] == photon and claimed["connected"] is True
    assert ann.ok("POST", "/v1/devices", form={"id": photon})["ok"] is True, "again is fine"
    assert [row["id"] for row in ann.devices()] == [photon]
    assert ann.device("kitchen")["owner"] == "ann"

    taken = ben.post("/v1/devices", {"id": photon})
    assert taken.status == 403 and "belongs to someone else" in taken.json["error"]
    for answer in (ben.get(f"/v1/devices/{photon}"), ben.put(f"/v1/devices/{photon}", {"name": "mine"}),
                   ben.delete(f"/v1/devices/{photon}"), ben.get(f"/v1/devices/{photon}/modules"),
                   ben.post(f"/v1/devices/{photon}/ping")):
        assert answer.status == 403, answer
        assert answer.json["error"] == "Permission Denied"
        assert "I didn't recognize that device name or ID" in answer.json["info"]
    assert ben.get("/v1/devices/kitchen").status == 404, "names of others are not told"
    assert ben.devices() == []
    unknown = ann.post("/v1/devices", {"id": "0" * 24})
    assert unknown.status == 404 and unknown.json["error"] == "device does not exist"
    assert ann.post("/v1/devices", {"id": "12"}).status == 400

    assert operator.ok("PUT", f"/v1/devices/{photon}", {"notes": "seen by olga"})["notes"] == "seen by olga"
    assert ann.ok("DELETE", f"/v1/devices/{photon}")["ok"] is True
    assert ann.devices() == []
    assert "owner" not in admin.device(photon)
    assert ben.ok("POST", "/v1/devices", {"id": photon})["ok"] is True
    assert operator.ok("DELETE", f"/v1/devices/{photon}")["ok"] is True, "an operator may unclaim"

    # a key for somebody's device is the admin's business
    key = {"algorithm": "psk", "psk": "11" * 16}
    assert ben.post(f"/v1/provisioning/{argon}", key).status == 403
    assert operator.post(f"/v1/provisioning/{argon}", key).status == 403
    assert operator.post(f"/v1/provisioning/{new_device_id()}", key).status == 200, "a new device is the operator's too"
    assert admin.post(f"/v1/provisioning/{argon}", key).status == 200
    mine = new_device_id()
    assert ben.post(f"/v1/provisioning/{mine}", key).status == 200
    assert ben.device(mine)["owner"] == "ben", "an owner enrols for himself"

    actions = cyand.query("SELECT action, actor FROM audit WHERE target LIKE '%' || '" + photon + "' ORDER BY id")
    assert ["device.claim", "ann"] in actions and ["device.unclaim", "ann"] in actions
    assert ["device.update", "olga"] in actions


def test_enrolment_refuses_what_is_no_key(cyand, tmp_path):
    rest, device, other = cyand.rest(), new_device_id(), new_device_id()
    good = {"deviceID": device, "publicKey": Key(tmp_path, "good").public_pem, "algorithm": "ecc", "filename": "cli"}
    assert rest.post(f"/v1/provisioning/{device}", form=good).status == 200, "as `particle keys send` does"
    conflict = rest.post(f"/v1/provisioning/{other}", good)
    assert conflict.status == 409 and conflict.json["error"], "the key is another device's"
    for body in ({}, {"publicKey": "no"}, {"publicKey": 7}, {"algorithm": "psk"}, {"algorithm": "psk", "psk": "zz"},
                 {"algorithm": "psk", "psk": "00" * 15}, {"algorithm": "psk", "psk": "00" * 65},
                 {"algorithm": "dsa", "publicKey": good["publicKey"]},
                 {"publicKey": Key(tmp_path, "p384", curve="P-384").public_pem, "algorithm": "ecc"}):
        answer = rest.post(f"/v1/provisioning/{other}", body)
        assert answer.status == 400 and answer.json["error"], body
    assert rest.post("/v1/provisioning/kitchen", good).status == 400
    assert rest.get(f"/v1/devices/{other}").status == 404, "a refused key makes no device"


def test_malformed_and_oversized_bodies(cyand):
    rest, device = cyand.rest(), new_device_id()
    rest.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    json_type = {"Content-Type": "application/json"}
    for body in (b"{", b"[1]", b"\xff", b'"text"', b'{"name": "a", "name": '):
        answer = send_raw(rest, "PUT", f"/v1/devices/{device}", body, json_type)
        assert answer.status == 400 and answer.json["ok"] is False, body
    big = send_raw(rest, "PUT", f"/v1/devices/{device}", b'{"notes": "' + b"x" * (20 << 20) + b'"}', json_type)
    assert big.status == 413 and big.json["ok"] is False
    assert rest.device(device)["notes"] is None


def send_raw(rest, method, path, body, headers):
    connection = http.client.HTTPConnection(rest.host, rest.port, timeout=40)
    try:
        connection.putrequest(method, path)
        for name, value in {**headers, "Authorization": f"Bearer {rest.token}", "Content-Length": len(body)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            connection.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all sent; the answer is there
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def test_tokens_end_when_revoked_or_expired(cyand):
    first, second = cyand.rest("owner", "ann"), cyand.rest("owner", "ann")
    current = first.ok("GET", "/v1/access_tokens/current")
    assert current["expires_at"] is None
    listed = first.ok("GET", "/v1/access_tokens")
    assert len(listed) == 2 and first.token not in str(listed), "tokens are shown once, when they are made"
    assert cyand.query("SELECT count(*) FROM access_token WHERE prefix = '" + first.token + "'") == [["0"]]

    assert cyand.anonymous().ok("DELETE", f"/v1/access_tokens/{first.token}") == {"ok": True}
    assert first.get("/v1/devices").status == 401
    assert second.get("/v1/devices").status == 200
    again = cyand.anonymous().delete(f"/v1/access_tokens/{first.token}")
    assert again.status == 404 and again.json["error"] == "token not found"

    assert second.ok("DELETE", "/v1/access_tokens/current") == {"ok": True}
    assert second.get("/v1/devices").status == 401

    one, two = cyand.rest("owner", "ann"), cyand.rest("owner", "ann")
    stranger = cyand.rest("owner", "ben")
    assert one.ok("DELETE", "/v1/access_tokens") == {"ok": True}
    assert one.get("/v1/devices").status == two.get("/v1/devices").status == 401
    assert stranger.get("/v1/devices").status == 200

    short = cyand.anonymous().with_token(cyand.create_token("owner", "ann", expires_in_s=2))
    assert short.get("/v1/devices").status == 200
    assert short.ok("GET", "/v1/access_tokens/current")["expires_at"] is not None
    wait_until(lambda: short.get("/v1/devices").status == 401, "the token expires")


def test_a_restart_forgets_no_device(new_cyand, tmp_path):
    cyand = new_cyand()
    fleet = Fleet(cyand, tmp_path / "three", time_scale=0.1, keepalive=20)
    try:
        before = {row["id"]: row["name"] for row in fleet.rest.devices()}
        assert cyand.stop() == 0
        rows = cyand.query("SELECT count(*) FILTER (WHERE online), count(*) FROM device")
        assert rows == [["0", "3"]], "the drain wrote who is away"
        reasons = cyand.query("SELECT DISTINCT reason FROM device_connection WHERE ended_at IS NOT NULL")
        assert reasons == [["shutdown"]]

        first, cyand.settings["coap_port"] = len(fleet.swarm.notices), cyand.coap_port
        cyand.start()
        rest = cyand.anonymous().with_token(fleet.rest.token)
        assert {row["id"]: row["name"] for row in rest.devices()} == before
        wait_until(lambda: all(row["connected"] for row in rest.devices()), "every device comes back", 120)
        assert not [n for n in fleet.swarm.notices[first:] if n["event"] == "failed"], "none shakes hands again"
        detail = rest.device(fleet.photon)
        assert "digitalread" in detail["functions"]
    finally:
        fleet.swarm.close()


def test_a_crash_forgets_no_device(new_cyand, tmp_path):
    cyand = new_cyand()
    fleet = Fleet(cyand, tmp_path / "three", time_scale=0.1, keepalive=20)
    try:
        cyand.kill()
        fleet.swarm.close()
        cyand.settings["coap_port"] = cyand.coap_port
        cyand.start()
        rest = cyand.anonymous().with_token(fleet.rest.token)
        wait_until(lambda: not any(row["connected"] for row in rest.devices()), "nobody is there who was before")
        assert {row["id"] for row in rest.devices()} == fleet.all
        assert ["restart"] in cyand.query("SELECT DISTINCT reason FROM device_connection WHERE ended_at IS NOT NULL")
    finally:
        fleet.swarm.close()


def test_silence_is_offline_and_a_word_is_online_again(new_cyand, new_swarm):
    cyand = new_cyand(device_offline_after_s=2)
    device = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": device, "platform": ARGON}], keepalive=3600)
    swarm.wait_connected(1)
    rest = cyand.rest()
    wait_until(lambda: rest.device(device)["connected"] is True, "the registry knows")
    wait_until(lambda: rest.device(device)["connected"] is False, "silence is offline")
    heard = rest.device(device)["last_heard"]
    assert cyand.metrics().sum("cyan_sessions") == 1, "its session is kept"
    swarm.command("ping", device)
    wait_until(lambda: rest.device(device)["connected"] is True, "a word is online again")
    assert rest.device(device)["last_heard"] > heard
    assert swarm.handshakes() == 1
