"""GET /v1/openapi.json is an OpenAPI 3.1 document, says all that the server answers and nothing else, and answers are what
it says."""

import re

import pytest

from harness import fleet_rows, openapi
from harness.fleets import Argons, ncp
from harness.firmware import ARGON, module
from harness.keys import Key, new_device_id
from harness.rest import Rest
from harness.rollout import QUICK, Rollout


@pytest.fixture
def document(cyand):
    return cyand.document()


def test_it_is_an_openapi_document(document):
    document.check_structure()
    assert len(document.operations()) >= 60


def test_it_is_for_everybody_and_cached_by_nobody(cyand):
    answer = cyand.anonymous().get("/v1/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert cyand.anonymous().request("HEAD", "/v1/openapi.json").body == b""
    assert cyand.anonymous().post("/v1/openapi.json", {}).status == 405


def shape(path):
    return re.sub(r"\{[^}]+\}|[:*][^/]+", "*", path)


def test_it_has_the_rows_of_the_route_table_and_no_others(cyand, document):
    rows = {(row["method"], shape(row["path"])): row for row in cyand.routes()}
    found = {(method, shape(path)): operation for method, path, operation in document.operations()}
    assert set(found) == set(rows)
    for key, operation in found.items():
        row = rows[key]
        assert operation["x-access"] == row["access"], key
        scopes = [scopes for requirement in operation["security"] for scopes in requirement.values()]
        assert scopes == ([[row["scope"]]] * len(scopes) if row["scope"] else []), key


def test_the_table_is_printed_for_people_too(cyand):
    lines = cyand.command("routes").splitlines()
    assert len(lines) == len(cyand.routes())
    assert [line.split() for line in lines if " /v1/devices " in line][0] == ["GET", "/v1/devices", "owner", "devices:list"]


def test_each_path_that_is_documented_answers(cyand, document):
    """Whatever is asked there, it is never `nothing at this path` nor `not that method`."""
    rest = Rest(cyand.http_port, cyand.rest().token)
    values = {"device": "0" * 24, "name": "nothing", "token": "f" * 40}
    for method, path, operation in document.operations():
        if method == "DELETE" and path in ("/v1/access_tokens", "/v1/access_tokens/current"):
            continue
        answer = rest.request(method, re.sub(r"\{([^}]+)\}", lambda m: values.get(m.group(1), "1"), path))
        assert answer.status != 405 and b"nothing at this path" not in answer.body, f"{method} {path}: {answer}"


class Recorder(Rest):
    """Keeps which operations succeeded."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = set()

    def request(self, method, path, **options):
        answer = super().request(method, path, **options)
        found = self.document.find(method, path)
        if found and answer.status < 300:
            self.seen.add((method, found[0]))
        return answer


@pytest.fixture
def rest(cyand, document):
    return Recorder(cyand.http_port, cyand.rest().token, document=document)


def test_a_checker_that_sees_nothing_would_see_nothing(cyand, rest):
    """The schemas can be missed: by a field too many, one too few, a type, a status."""
    rest.ok("GET", "/health")
    health = rest.document.resolve({"$ref": "#/components/schemas/Health"})
    for change in (lambda: health["properties"].pop("uptime_s"), lambda: health["required"].append("more"),
                   lambda: health["properties"]["ok"].update(type="string")):
        kept = {"required": list(health["required"]), "properties": {k: dict(v) for k, v in health["properties"].items()}}
        rest.document._validators.clear()
        change()
        with pytest.raises(openapi.Mismatch):
            rest.get("/health")
        health.update(kept)
    rest.document._validators.clear()
    rest.ok("GET", "/health")
    rest.document.document["paths"]["/health"]["get"]["responses"].pop("200")
    with pytest.raises(openapi.Mismatch):
        rest.get("/health")


def test_devices_answer_as_documented(cyand, rest, new_swarm, tmp_path):
    swarm = new_swarm(cyand, devices=4, platforms="core,photon,argon,boron").wait_connected(4)
    listed = rest.devices()
    assert len(listed) == 4 and rest.devices(per_page=2, page=2, name="*")
    for row in listed:
        device = rest.device(row["id"])
        rest.ok("GET", f"/v1/devices/{row['id']}/modules?history=1")
        rest.ok("PUT", f"/v1/devices/{row['id']}/ping")
        rest.ok("POST", f"/v1/devices/{row['id']}/ping")
        for name in device["functions"][:2]:
            rest.ok("POST", f"/v1/devices/{row['id']}/{name}", {"args": "D0"})
        for name in device["variables"]:
            rest.ok("GET", f"/v1/devices/{row['id']}/{name}")
            rest.get(f"/v1/devices/{row['id']}/{name}?format=raw")
        assert rest.post(f"/v1/diagnostics/{row['id']}/update").status == 202
    one = listed[0]["id"]
    rest.ok("PUT", f"/v1/devices/{one}", {"name": "kitchen", "notes": "by the door", "signal": "1"})
    rest.ok("PUT", f"/v1/devices/{one}", form={"notes": "null"})
    rest.ok("POST", "/v1/devices/events", {"name": "kitchen/light", "data": "on"})
    rest.ok("DELETE", f"/v1/devices/{one}")
    rest.ok("POST", "/v1/devices", {"id": one.upper()})
    other = new_device_id()
    rest.ok("POST", f"/v1/provisioning/{other}", {"publicKey": Key(tmp_path, "other").public_pem, "algorithm": "ecc"})
    rest.device(other)
    swarm.finish()
    # and what goes wrong
    stranger = Rest(cyand.http_port, cyand.create_token("owner", "stranger"), document=rest.document)
    for client, method, path, body, status in (
            (stranger, "GET", f"/v1/devices/{one}", None, 403), (stranger, "POST", "/v1/devices", {"id": one}, 403),
            (rest, "POST", "/v1/devices", {"id": "0" * 24}, 404), (rest, "GET", "/v1/devices/nobody", None, 404),
            (rest, "PUT", f"/v1/devices/{one}", {}, 400), (rest, "PUT", f"/v1/devices/{other}", {"signal": 1}, 408),
            (rest, "GET", "/v1/devices?page=x", None, 400), (rest.with_token("f" * 40), "GET", "/v1/devices", None, 401),
            (cyand.anonymous(), "GET", "/v1/devices", None, 400), (stranger, "GET", "/v1/nodes", None, 403),
            (rest, "POST", f"/v1/devices/{one}/nothing", {}, 404), (rest, "GET", f"/v1/devices/{one}/nothing", None, 404)):
        answer = Rest(client.port, client.token, document=rest.document).request(method, path, json_body=body)
        assert answer.status == status, f"{method} {path}: {answer}"


def test_tokens_and_the_server_answer_as_documented(cyand, rest):
    for path in ("/health", "/v1/nodes", "/v1/openapi.json", "/v1/access_tokens", "/v1/access_tokens/current"):
        rest.ok("GET", path)
    assert rest.get("/metrics").status == 200
    owner = Rest(cyand.http_port, cyand.create_token("owner", "ana", 3600), document=rest.document)
    assert owner.ok("GET", "/v1/access_tokens/current")["expires_at"]
    owner.ok("DELETE", "/v1/access_tokens/current")
    spare = cyand.create_token("owner", "ana")
    Rest(cyand.http_port, document=rest.document).ok("DELETE", f"/v1/access_tokens/{spare}")
    assert rest.delete(f"/v1/access_tokens/{spare}").status == 404
    rest.ok("DELETE", "/v1/access_tokens")


def test_updates_and_campaigns_answer_as_documented(new_cyand, new_swarm):
    cyand = new_cyand(**QUICK)
    rollout = Rollout(cyand)
    document = cyand.document()
    author = rollout.author = Recorder(cyand.http_port, rollout.author.token, document=document)
    rollout.approver = Rest(cyand.http_port, rollout.approver.token, document=document)
    argons = Argons(cyand, new_swarm, [{}, {}, {}], modules=ncp(5))
    binary = module(ARGON, "b", 0, 3100, size=40_000)
    assert author.upload("/v1/firmware", binary).status == 201
    uploaded = author.upload("/v1/firmware", binary).json["firmware"]["id"]
    author.ok("GET", "/v1/firmware?function=b&status=active")
    author.ok("GET", f"/v1/firmware/{uploaded}")
    assert author.get(f"/v1/firmware/{uploaded}/binary").body == binary
    release = rollout.release("2026.11", [binary])
    draft = author.ok2("POST", "/v1/releases", {"name": "draft", "notes": "n", "targets": [uploaded]})["release"]
    author.ok("PUT", f"/v1/releases/{draft['id']}", {"notes": None, "targets": [uploaded]})
    author.ok("GET", "/v1/releases")
    author.ok("GET", "/v1/releases/draft")
    author.ok("POST", f"/v1/releases/{draft['id']}/publish", {})
    author.ok("POST", f"/v1/releases/{draft['id']}/withdraw", {"reason": "no good"})

    plan = author.ok("GET", f"/v1/devices/{argons.ids[0]}/update_plan?release={release}")["plan"]
    assert plan["outcome"] == "steps"
    what_if = author.ok("POST", "/v1/what_if", {"release": release, "selector": {"all": True}})["what_if"]
    assert what_if["devices"] == 3 and what_if["classes"]
    rules = author.ok("GET", "/v1/rules")["rules"]
    rule = rules[0]
    author.ok("POST", f"/v1/rules/{rule['code']}/test", {})
    author.ok("PUT", f"/v1/rules/{rule['code']}", {"rev": rule["rev"], "enabled": rule["enabled"], "reason": "none"})
    assert author.put(f"/v1/rules/{rule['code']}", {"rev": rule["rev"] + 7, "enabled": True, "reason": "r"}).status == 409
    made = {key: rule[key] for key in ("platform_id", "kind", "body", "explain", "evidence")}
    assert author.post("/v1/rules", {"code": "new-one", **made, "reason": "for the test"}).status == 201

    assert author.upload(f"/v1/devices/{argons.ids[0]}", module(ARGON, "b", 0, 2900, size=40_000), method="PUT").status == 200
    author.ok("GET", f"/v1/devices/{argons.ids[0]}/updates")

    campaign = rollout.start("boots", release, {"devices": argons.ids[1:]}, [
        {"name": "one", "max_devices": 1, "gate": {"soak_s": 0, "min_resolved": 1}},
        {"name": "all", "percent": 100, "gate": {"soak_s": 0, "min_resolved": 1}}])
    for word in ("", "/progress", "/devices"):
        author.ok("GET", f"/v1/campaigns/{campaign}{word}")
    author.ok("GET", "/v1/campaigns")
    assert rollout.wait(campaign)["state"] == "completed"
    for path in (f"/v1/campaigns/{campaign}", f"/v1/campaigns/{campaign}/progress", f"/v1/campaigns/{campaign}/devices"):
        author.ok("GET", path)
    assert author.get(f"/v1/campaigns/{campaign}/events?wait_s=1").status == 200
    assert author.get(f"/v1/campaigns/{campaign}/export").status == 200
    assert author.get(f"/v1/campaigns/{campaign}/export", headers={"Accept": "text/csv"}).status == 200
    assert author.post(f"/v1/campaigns/{campaign}/pause", {"rev": 0}).status == 409
    rollout.act(campaign, "archive")
    assert author.post("/v1/campaigns", {"name": "boots"}).status == 400
    author.ok("GET", f"/v1/devices/{argons.ids[1]}/updates")
    again = rollout.create("again", release, {"all": True})
    rollout.act(again, "abort", reason="enough")
    author.ok("POST", f"/v1/firmware/{author.upload('/v1/firmware', module(ARGON, 'b', 0, 2800)).json['firmware']['id']}/withdraw",
              {"reason": "old"})


def test_many_rows_answer_as_documented(cyand, rest):
    """Rows that no simulated device makes: names with every letter allowed, everything absent, a long page."""
    fleet_rows.seed(cyand.query)
    fleet_rows.add_devices(cyand.query, 1, 300)
    cyand.query("UPDATE device SET name = NULL, platform_id = NULL, last_heard = NULL WHERE id < '\\x000000000000000000000020'")
    assert len(rest.devices(per_page=300)) == 300
    for i in (1, 100):
        rest.device(fleet_rows.device_id(i))
        rest.ok("GET", f"/v1/devices/{fleet_rows.device_id(i)}/modules")
