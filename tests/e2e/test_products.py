"""Products and their groups over REST, and who may ask what of them."""

import re

import pytest

from harness.keys import new_device_id
from harness.paths import ROOT


@pytest.fixture
def owner(cyand):
    return cyand.rest("owner", "olive")


def create(rest, name="My Kitchen", platform_id=12, **fields):
    answer = rest.post("/v1/products", {"product": {"name": name, "platform_id": platform_id, **fields}})
    assert answer.status == 201, answer
    assert answer.json["ok"] is True
    return answer.json["product"]


def join_team(cyand, product, user, role):
    cyand.query(f"INSERT INTO product_member (product_id, user_id, role) SELECT {product}, id, '{role}' FROM users"
                f" WHERE name = '{user}'")


def audit(cyand, action):
    return cyand.query(f"SELECT actor, target, before, after FROM audit WHERE action = '{action}' ORDER BY id")


def test_a_product_from_beginning_to_end(cyand, owner):
    product = create(owner, description="what cooks")
    assert product == {
        "id": product["id"], "platform_id": 12, "name": "My Kitchen", "slug": "my-kitchen", "description": "what cooks",
        "user": "olive", "groups": [],
        "settings": {"location": {}, "known_application": {"opt_in": False}, "quarantine": True}}
    assert product["id"] >= 1000
    for path in (f"/v1/products/{product['id']}", "/v1/products/my-kitchen"):
        assert owner.ok("GET", path) == {"product": product}
    for path in ("/v1/products", "/v1/user/products"):
        assert owner.ok("GET", path)["products"] == [product]

    changed = owner.ok("PUT", "/v1/products/my-kitchen", {
        "name": "Our Kitchen", "settings": {"quarantine": False, "known_application": {"opt_in": True}, "other": 1}})["product"]
    assert (changed["name"], changed["slug"]) == ("Our Kitchen", "my-kitchen")
    assert changed["settings"] == {"location": {}, "known_application": {"opt_in": True}, "quarantine": False}
    assert owner.ok("PUT", "/v1/products/my-kitchen", form={"product[description]": "x"})["product"]["description"] == "x"

    device = new_device_id()
    cyand.rest().ok("POST", f"/v1/products/my-kitchen/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    refused = owner.delete("/v1/products/my-kitchen")
    assert (refused.status, refused.json["error"]) == (409, "This product still has devices: only an empty one can be deleted.")
    assert owner.delete(f"/v1/products/my-kitchen/devices/{device}", json_body={}).status == 204
    assert owner.delete("/v1/products/my-kitchen").status == 204
    gone = owner.get("/v1/products/my-kitchen")
    assert (gone.status, gone.json) == (404, {"ok": False, "error": "Product not found"})
    assert [len(audit(cyand, f"product.{what}")) for what in ("create", "update", "delete")] == [1, 2, 1]


def test_forms_and_both_paths_make_products(owner):
    made = owner.post("/v1/user/products", form={"name": "a", "platform_id": "13"})
    assert made.status == 201 and made.json["product"]["platform_id"] == 13
    nested = owner.post("/v1/products", form={"product[name]": "b", "product[platform_id]": "0"})
    assert nested.status == 201 and nested.json["product"]["slug"] == "b"


@pytest.mark.parametrize("fields,field", [
    ({"platform_id": 12}, "name"), ({"name": "", "platform_id": 12}, "name"), ({"name": " ", "platform_id": 12}, "name"),
    ({"name": "x" * 65, "platform_id": 12}, "name"), ({"name": "a\nb", "platform_id": 12}, "name"),
    ({"name": 7, "platform_id": 12}, "name"), ({"name": "a"}, "platform_id"), ({"name": "a", "platform_id": "x"}, "platform_id"),
    ({"name": "a", "platform_id": 65536}, "platform_id"), ({"name": "a", "platform_id": 12, "description": []}, "description"),
    ({"name": "a", "platform_id": 12, "settings": 1}, "settings"),
    ({"name": "a", "platform_id": 12, "settings": {"quarantine": "maybe"}}, "quarantine"),
    ({"name": "a", "platform_id": 12, "settings": {"known_application": True}}, "known_application"),
    ({"name": "a", "platform_id": 12, "settings": {"location": {"a": "b" * 5000}}}, "location"),
])
def test_bad_values_are_named(owner, fields, field):
    answer = owner.post("/v1/products", {"product": fields})
    assert answer.status == 400 and answer.json["error"].startswith(field), answer
    assert owner.ok("GET", "/v1/products")["products"] == []


def test_a_platform_stays(owner):
    create(owner, "p")
    answer = owner.put("/v1/products/p", {"platform_id": 13})
    assert (answer.status, answer.json["error"]) == (400, "platform_id of a product cannot be changed.")
    assert owner.put("/v1/products/p", {}).json["error"] == "Nothing to do?"


def test_pages_of_products(cyand, owner):
    for i in range(5):
        create(owner, f"p{i}")
    page = owner.ok("GET", "/v1/products?page=2&per_page=2")
    assert [product["slug"] for product in page["products"]] == ["p2", "p3"]
    assert page["meta"] == {"page": 2, "per_page": 2, "total_records": 5, "total_pages": 3}
    assert owner.ok("GET", "/v1/products?page=9&per_page=2")["products"] == []
    assert len(cyand.rest("operator", "opal").ok("GET", "/v1/products")["products"]) == 5
    assert cyand.rest("owner", "otto").ok("GET", "/v1/products")["products"] == []


def product_routes():
    """Every path under a product, from the table itself."""
    table = (ROOT / "server/api/routes.c").read_text()
    rows = re.findall(r'\{"(\w+)",\s*"(/v1/products/:product[^"]*)"', table)
    assert len(rows) > 20
    return [(method, re.sub(r":(?!product)\w+", "0123456789abcdef01234567", path)) for method, path in rows]


def test_every_path_of_a_product_asks_who_may(cyand, owner):
    """Viewers read, those who manage change, strangers nothing, and of what is not there nobody learns more."""
    product = create(owner, "guarded")["id"]
    viewer, manager, stranger, operator = (cyand.rest("owner", "vera"), cyand.rest("owner", "max"), cyand.rest("owner", "otto"),
                                           cyand.rest("operator", "opal"))
    join_team(cyand, product, "vera", "view")
    join_team(cyand, product, "max", "manage")
    for method, pattern in product_routes():
        path = pattern.replace(":product", "guarded")
        if method == "DELETE" and path == "/v1/products/guarded":
            assert [rest.delete(path).status for rest in (viewer, manager, stranger)] == [403] * 3
            continue
        if path.endswith("/events") or "/events/" in path:
            continue  # streams do not end
        assert stranger.request(method, path).status == 403, (method, path)
        assert cyand.anonymous().request(method, path).status == 400, (method, path)
        missing = operator.request(method, pattern.replace(":product", "missing"))
        assert (missing.status, missing.json["error"]) == (404, "Product not found"), (method, path)
        seen = viewer.request(method, path)
        assert (seen.status == 403) == (method != "GET" or path.endswith("/test")), (method, path, seen)
        if "/team" not in path:
            assert manager.request(method, path).status != 403, (method, path)
        assert operator.request(method, path).status != 403, (method, path)


def test_groups(cyand, owner):
    create(owner, "p")
    made = owner.post("/v1/products/p/groups", {"name": "beta", "description": "first", "color": "#ff0000"})
    beta = {"name": "beta", "description": "first", "color": "#ff0000", "fw_version": None, "device_count": 0}
    assert (made.status, made.json) == (201, {"group": beta})
    taken = owner.post("/v1/products/p/groups", {"name": "beta"})
    assert (taken.status, taken.json["error"]) == (409, "This product has a group of that name already.")
    for name in ("Beta", "", "a b", "x" * 65, None):
        assert owner.post("/v1/products/p/groups", {"name": name}).status == 400
    owner.post("/v1/products/p/groups", form={"name": "alpha-2"})
    assert [g["name"] for g in owner.ok("GET", "/v1/products/p/groups")["groups"]] == ["alpha-2", "beta"]
    assert [g["name"] for g in owner.ok("GET", "/v1/products/p/groups?name=BET")["groups"]] == ["beta"]
    assert owner.ok("GET", "/v1/products/p/groups?name=%25")["groups"] == []
    assert owner.ok("GET", "/v1/products/p/groups/beta") == {"group": beta}
    assert owner.ok("GET", "/v1/products/p")["product"]["groups"] == ["alpha-2", "beta"]
    renamed = owner.ok("PUT", "/v1/products/p/groups/beta", {"name": "gamma", "color": None})["group"]
    assert renamed == {**beta, "name": "gamma", "color": ""}
    assert owner.get("/v1/products/p/groups/beta").json["error"] == "Group not found"
    assert owner.put("/v1/products/p/groups/gamma", {"name": "alpha-2"}).status == 409
    assert owner.delete("/v1/products/p/groups/gamma").status == 204
    assert owner.delete("/v1/products/p/groups/gamma").status == 404
    assert [len(audit(cyand, f"product.group.{what}")) for what in ("create", "update", "delete")] == [2, 1, 1]
