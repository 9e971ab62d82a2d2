"""A product is worked on by its team: people, and API users whose one token is good for this product alone."""

import pytest

PASSWORD = "correct horse"
FOREIGN = "The token is good for its own product only."


@pytest.fixture
def olive(cyand):
    cyand.create_user("olive", PASSWORD)
    return cyand.anonymous().with_token(cyand.log_in("olive", PASSWORD)["access_token"])


@pytest.fixture
def product(olive):
    return make_product(olive, "Kettle")


def make_product(rest, name):
    answer = rest.post("/v1/products", json_body={"product": {"name": name, "platform_id": 12}})
    assert answer.status in (200, 201), answer
    return answer.json["product"]["id"]


def team(rest, product):
    return {member["username"]: member for member in rest.ok("GET", f"/v1/products/{product}/team")["team"]}


def add_api_user(rest, product, *scopes, name="Night shift"):
    answer = rest.post(f"/v1/products/{product}/team", json_body={"friendly_name": name, "scopes": list(scopes)})
    assert answer.status == 201, answer
    return answer.json["created"]


def add_device(cyand, olive, product, device):
    cyand.rest().ok2("POST", f"/v1/provisioning/{device}", json_body={"algorithm": "psk", "psk": "00" * 16})
    cyand.query(f"UPDATE device SET platform_id = 12 WHERE id = decode('{device}', 'hex')")
    answer = olive.post(f"/v1/products/{product}/devices", json_body={"id": device})
    assert answer.status == 200 and answer.json["updated"] == 1, answer


def test_members_by_name(cyand, olive, product):
    mike = cyand.rest("owner", "mike")
    assert mike.get(f"/v1/products/{product}/team").status == 403
    assert mike.post(f"/v1/products/{product}/team", json_body={"username": "mike"}).status == 403
    assert olive.post(f"/v1/products/{product}/team", json_body={"username": "nobody"}).status == 404
    assert olive.post(f"/v1/products/{product}/team", json_body={}).status == 400
    assert olive.post(f"/v1/products/{product}/team", json_body={"username": "mike", "role": "king"}).status == 400
    assert olive.post(f"/v1/products/{product}/team", form={"username": "mike", "role": "View-only"}).json == {"ok": True}
    assert {name: member["role"] for name, member in team(olive, product).items()} == {"olive": "owner", "mike": "view"}
    assert mike.get(f"/v1/products/{product}").status == 200
    assert mike.put(f"/v1/products/{product}", json_body={"product": {"name": "Mine"}}).status == 403
    assert olive.post(f"/v1/products/{product}/team", json_body={"username": "mike"}).json == {"ok": True}
    assert team(mike, product)["mike"]["role"] == "manage"
    # the team stays its owner's
    assert mike.post(f"/v1/products/{product}/team", json_body={"username": "admin"}).status == 403
    assert mike.delete(f"/v1/products/{product}/team/olive").status == 403
    assert olive.delete(f"/v1/products/{product}/team/olive").status == 404
    assert olive.delete(f"/v1/products/{product}/team/mike").json == {"ok": True}
    assert mike.get(f"/v1/products/{product}").status == 403
    actions = cyand.rest().ok("GET", f"/v1/audit?target=product%20{product}")["audit"]
    assert [row["action"] for row in actions if row["action"].startswith("team.")] == ["team.remove", "team.add", "team.add"]


def test_an_api_user_works_on_its_product_and_nowhere_else(cyand, olive, product):
    other = make_product(olive, "Toaster")
    device = "e00fce681122334455667788"
    add_device(cyand, olive, product, device)
    made = add_api_user(olive, product, "devices:get", "devices:update", "products:get")
    assert made["is_programmatic"] is True and made["username"].startswith("night-shift-")
    robot = cyand.anonymous().with_token(made["tokens"][0]["token"])
    assert robot.ok("GET", "/v1/user")["username"] == made["username"]
    assert robot.ok("GET", "/v1/access_tokens/current")["expires_at"] is None
    assert robot.get(f"/v1/products/{product}").status == 200
    assert robot.get(f"/v1/products/{product}/devices/{device}").status == 200
    assert robot.put(f"/v1/products/{product}/devices/{device}", json_body={"name": "kettle1"}).status == 200
    for method, path, scope in (("DELETE", f"/v1/products/{product}/devices/{device}", "devices:remove"),
                                ("GET", f"/v1/products/{product}/team", "teams.users:list")):
        answer = robot.request(method, path)
        assert answer.status == 403 and answer.json["info"] == f"The token lacks the scope {scope}.", answer
    assert robot.get(f"/v1/products/{other}").status == 403
    assert robot.get("/v1/products/none").status == 404
    for path in (f"/v1/devices/{device}", f"/v1/devices/{device}/modules"):
        answer = robot.get(path)
        assert answer.status == 403 and answer.json["info"] == FOREIGN, answer
    member = team(olive, product)[made["username"]]
    assert member["is_programmatic"] is True and member["friendly_name"] == "Night shift"
    assert sorted(member["scopes"]) == ["devices:get", "devices:update", "products:get"]
    assert olive.delete(f"/v1/products/{product}/team/{made['username']}").json == {"ok": True}
    assert robot.get(f"/v1/products/{product}").status == 401
    assert made["username"] not in team(olive, product)


def test_one_that_only_reads_cannot_change_anything(cyand, olive, product):
    device = "e00fce681122334455667788"
    add_device(cyand, olive, product, device)
    robot = cyand.anonymous().with_token(add_api_user(olive, product, "*:get", "*:list")["tokens"][0]["token"])
    assert robot.get(f"/v1/products/{product}/devices/{device}").status == 200
    assert robot.put(f"/v1/products/{product}/devices/{device}", json_body={"name": "x"}).status == 403


def test_it_cannot_make_others(cyand, olive, product):
    robot = cyand.anonymous().with_token(add_api_user(olive, product, "*")["tokens"][0]["token"])
    body = {"friendly_name": "Second", "scopes": ["devices:get"]}
    assert robot.post(f"/v1/products/{product}/team", json_body=body).status == 403
    assert robot.get("/v1/devices").status == 403
    assert robot.put("/v1/user", json_body={"current_password": "x", "password": PASSWORD}).status == 403
    assert robot.post("/v1/products", json_body={"product": {"name": "Own", "platform_id": 12}}).status == 403
    for bad in ({"friendly_name": "x"}, {"friendly_name": "x", "scopes": []}, {"friendly_name": "", "scopes": ["a:b"]},
                {"friendly_name": "x", "scopes": ["Devices:list"]}, {"friendly_name": "x", "scopes": [1]}):
        assert olive.post(f"/v1/products/{product}/team", json_body=bad).status == 400, bad


def test_clients_of_a_product(cyand, olive, product):
    other = make_product(olive, "Toaster")
    made = olive.post(f"/v1/products/{product}/clients", json_body={"name": "Shop", "type": "web"})
    assert made.status == 201, made
    client = made.json["client"]
    assert [one["id"] for one in olive.ok("GET", f"/v1/products/{product}/clients")["clients"]] == [client["id"]]
    assert olive.ok("GET", "/v1/clients")["clients"] == []
    assert olive.ok("GET", f"/v1/products/{other}/clients")["clients"] == []
    token = cyand.anonymous().ok("POST", "/oauth/token", form={
        "grant_type": "client_credentials", "client_id": client["id"], "client_secret": client["secret"]})
    shop = cyand.anonymous().with_token(token["access_token"])
    assert shop.get(f"/v1/products/{product}").status == 200
    for answer in (shop.get(f"/v1/products/{other}"), shop.get("/v1/devices"), shop.get("/v1/clients"),
                   shop.delete("/v1/access_tokens")):
        assert answer.status == 403 and answer.json["info"] == FOREIGN, answer
    assert olive.delete(f"/v1/products/{other}/clients/{client['id']}").status == 404
    assert olive.delete(f"/v1/products/{product}/clients/{client['id']}").json == {"ok": True}
    assert shop.get(f"/v1/products/{product}").status == 401
