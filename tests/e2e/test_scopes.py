"""A token with scopes may what they name and nothing else; every refusal is told in a sentence and in the audit trail."""

import pytest

from harness.waiting import wait_until

PASSWORD = "correct horse"


@pytest.fixture
def nina(cyand):
    cyand.create_user("nina", PASSWORD)
    return "nina"


def with_scopes(cyand, name, scopes):
    return cyand.anonymous().with_token(cyand.log_in(name, PASSWORD, scope=scopes)["access_token"])


def refused_for(answer, scope):
    return (answer.status == 403 and answer.json["ok"] is False and answer.json["error"] == "Permission Denied"
            and answer.json["info"] == f"The token lacks the scope {scope}.")


def test_exactly_what_they_name(cyand, nina):
    rest = with_scopes(cyand, nina, "devices:list devices:get")
    assert rest.get("/v1/devices").status == 200
    assert rest.get("/v1/devices/none").status == 404
    for method, path, scope in (("PUT", "/v1/devices/none", "devices:update"),
                                ("DELETE", "/v1/devices/none", "devices:remove"),
                                ("POST", "/v1/devices/none/digitalwrite", "devices.function:call"),
                                ("GET", "/v1/devices/none/temperature", "devices.variable:get"),
                                ("POST", "/v1/devices/events", "events:send"),
                                ("GET", "/v1/access_tokens", "tokens:list"),
                                ("DELETE", "/v1/access_tokens", "tokens:revoke"),
                                ("POST", "/v1/clients", "clients:create"),
                                ("PUT", "/v1/user", "user:update")):
        answer = rest.request(method, path, json_body={})
        assert refused_for(answer, scope), f"{method} {path}: {answer}"


@pytest.mark.parametrize("scopes,may_list,may_get,may_publish", [
    ("*", True, True, True), ("*:*", True, True, True), ("devices:*", True, True, False), ("*:list", True, False, False),
    ("events:send", False, False, True), ("*:send *:get", False, True, True)])
def test_wildcards(cyand, nina, scopes, may_list, may_get, may_publish):
    rest = with_scopes(cyand, nina, scopes)
    assert (rest.get("/v1/devices").status == 200) == may_list
    assert (rest.get("/v1/devices/none").status == 404) == may_get
    assert (rest.post("/v1/devices/events", form={"name": "x"}).status == 200) == may_publish


def test_every_token_may_tell_who_it_is_and_end_itself(cyand, nina):
    rest = with_scopes(cyand, nina, "devices:list")
    assert rest.ok("GET", "/v1/user")["username"] == nina
    assert rest.ok("GET", "/v1/access_tokens/current")["scopes"] == ["devices:list"]
    assert rest.delete("/v1/access_tokens/current").json == {"ok": True}
    assert rest.get("/v1/user").status == 401


def test_scopes_do_not_make_a_role(cyand):
    cyand.create_user("oscar", PASSWORD)
    answer = with_scopes(cyand, "oscar", "*").get("/v1/nodes")
    assert answer.status == 403 and answer.json["info"] == "This needs the role operator."
    cyand.create_user("opal", PASSWORD, "operator")
    assert with_scopes(cyand, "opal", "nodes:list").get("/v1/nodes").status == 200
    assert refused_for(with_scopes(cyand, "opal", "devices:*").get("/v1/nodes"), "nodes:list")


def test_nobody_gives_away_more_than_he_may(cyand, nina):
    rest = with_scopes(cyand, nina, "clients:* devices:list")
    for scope, status in ((None, 403), ("*", 403), ("devices:*", 403), ("devices:list devices:get", 403),
                          ("devices:list", 201), (["clients:list"], 201), ("Devices:list", 400), (7, 400)):
        body = {"name": "x", "type": "installed", **({"scope": scope} if scope is not None else {})}
        answer = rest.post("/v1/clients", json_body=body)
        assert answer.status == status, f"{scope}: {answer}"


def test_refreshing_gives_no_more(cyand, nina):
    token = cyand.log_in(nina, PASSWORD, scope="devices:list")
    again = cyand.anonymous().ok("POST", "/oauth/token", form={
        "grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": "particle-cli", "scope": "*"})
    assert refused_for(cyand.anonymous().with_token(again["access_token"]).get("/v1/devices/none"), "devices:get")


# --- the trail of refusals ---

def refusals(cyand, **filters):
    query = "&".join(f"{key}={value}" for key, value in {"action": "refused", **filters}.items())
    return cyand.rest().ok("GET", "/v1/audit?" + query)["audit"]


def wait_for(cyand, count, **filters):
    wait_until(lambda: sum(row["count"] for row in refusals(cyand, **filters)) == count,
               lambda: f"{count} refusals of {filters}: {refusals(cyand)}", 20)
    return refusals(cyand, **filters)


def test_refusals_are_told_who_what_and_why(cyand, nina):
    rest = with_scopes(cyand, nina, "devices:list")
    for _ in range(20):
        rest.get("/v1/devices/kitchen")
    rows = wait_for(cyand, 20, actor=nina)
    assert len(rows) == 1, rows
    assert rows[0]["target"] == "GET /v1/devices/:device" and rows[0]["last_at"]
    assert rows[0]["after"] == {"status": 403, "address": "127.0.0.1", "device": "kitchen",
                                "why": "The token lacks the scope devices:get."}
    assert cyand.metrics().sum("cyan_refusals_total") == 20


def test_dead_tokens_are_their_owners_and_unknown_ones_an_addresss(cyand, nina):
    rest = with_scopes(cyand, nina, "*")
    rest.delete("/v1/access_tokens/current")
    assert rest.get("/v1/devices").status == 401
    assert cyand.anonymous().with_token("0" * 40).get("/v1/devices").status == 401
    assert wait_for(cyand, 1, actor=nina)[0]["after"]["status"] == 401
    assert wait_for(cyand, 1, actor="127.0.0.1")[0]["after"]["status"] == 401


def test_a_foreign_device_is_a_refusal(cyand, nina):
    device = "e00fce681122334455667788"
    cyand.rest().ok2("POST", f"/v1/provisioning/{device}", json_body={"algorithm": "psk", "psk": "00" * 16})
    answer = with_scopes(cyand, nina, "*").get(f"/v1/devices/{device}")
    assert answer.status == 403
    assert wait_for(cyand, 1, actor=nina)[0]["after"]["device"] == device


def test_a_flood_does_not_fill_the_trail(cyand):
    rest = cyand.anonymous()
    for i in range(300):
        rest.with_token(f"{i:040x}").get("/v1/devices")
    rows = wait_for(cyand, 300)
    assert len(rows) == 1, rows


def test_the_trail_is_for_admins_and_comes_in_pages(cyand, nina):
    assert cyand.rest("operator").get("/v1/audit").status == 403
    admin = cyand.rest()
    for i in range(12):
        admin.put("/v1/user", json_body={})  # no change, no row
        cyand.create_token("owner", f"user{i}")
    seen, before = [], None
    while True:
        page = admin.ok("GET", "/v1/audit?per_page=5&action=token.create" + (f"&before={before}" if before else ""))
        seen += page["audit"]
        before = page["next"]
        if before is None:
            break
    ids = [row["id"] for row in seen]
    assert ids == sorted(set(ids), reverse=True) and len(ids) == 14, seen  # the admin's and the operator's too
    assert admin.ok("GET", f"/v1/audit?target={seen[0]['target'].replace(' ', '%20')}")["audit"] == [seen[0]]
    for bad in ("per_page=0", "per_page=1001", "before=x", "before="):
        assert admin.get("/v1/audit?" + bad).status == 400
