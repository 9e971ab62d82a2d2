"""Every route of the table, for every role, on one's own and on a foreign device or product: who may, may, and nobody else; what
is refused changes nothing. The rules are by the route's access and by what its path names, so that a new route has one or fails
here."""

import json

import pytest

from harness.access import FOREIGN, MIXED, NOWHERE, OWN, OWNER_OF, PEOPLE, ROLES, SEES_ALL, World
from harness.cyand import Cyand
from harness.waiting import wait_until

ALLOWED, REFUSED, ABSENT, NO_TOKEN, BAD_TOKEN = "allowed", "refused", "not there", "no token", "bad token"

# Where the rules below are not all: who may besides the owner.
SEES = {
    "/v1/provisioning/:device": ("admin",),  # a key is the device: operators give none to what is somebody's
    "/v1/products/:product/provisioning/:device": ("admin",),
}
# What of a product only its owner may, not all who manage it.
OWNERS = {("POST", "/v1/products/:product/team"), ("DELETE", "/v1/products/:product/team/:username"),
          ("DELETE", "/v1/products/:product"), ("POST", "/v1/products/:product/provisioning/:device")}
# What every token may, whatever its scopes and its product: tell who it is, and end itself.
ABOUT_ITSELF = {("GET", "/v1/user"), ("GET", "/v1/user/identify"), ("GET", "/v1/access_tokens/current"),
                ("DELETE", "/v1/access_tokens/current")}
# Needs no token, and then does nothing unless the server lets everybody sign up.
ADMINS = {("POST", "/v1/users")}
# Where nothing has been said yet, or more has to be asked for.
EMPTY = {"/v1/diagnostics/:device/last", "/v1/diagnostics/:device/summary", "/v1/events"}


def rule(row, role, target):
    """What must come of it."""
    if target == MIXED:
        own = rule(row, role, OWN)
        return ABSENT if own == ALLOWED else own
    if row["access"] == "public":
        return REFUSED if (row["method"], row["path"]) in ADMINS and role != "admin" else ALLOWED
    if role == "none":
        return NO_TOKEN
    if role == "dead":
        return BAD_TOKEN
    if role in ("scopeless", "confined"):
        return ALLOWED if (row["method"], row["path"]) in ABOUT_ITSELF else REFUSED
    if row["access"] == "admin":
        return ALLOWED if role == "admin" else REFUSED
    if row["access"] == "operator":
        return ALLOWED if role in SEES_ALL else REFUSED
    assert row["access"] == "owner", row
    if role in SEES_ALL:
        return ALLOWED if role in SEES.get(row["path"], SEES_ALL) else REFUSED
    if ":product" in row["path"]:
        is_owners = (row["method"], row["path"]) in OWNERS
        team = {OWNER_OF[target]} | ({"manager"} if target == OWN and not is_owners else set())
        reads = row["method"] == "GET" and row["scope"] != "integrations:test"  # that sends something
        viewers = {"viewer"} if target == OWN and reads else set()
        return ALLOWED if role in team | viewers else REFUSED
    if ":device" in row["path"]:
        return ALLOWED if role == OWNER_OF[target] else REFUSED
    return ALLOWED  # one's own things, whoever one is


def check(row, role, target, expected, status, headers, body):
    where = f"{row['method']} {row['path']} as {role} on {target}: {status} {body[:200]!r}"
    assert status < 500 or status == 501, where
    assert (status == 401) == (expected == BAD_TOKEN), where
    if status >= 400:
        assert headers["Content-Type"] == "application/json; charset=utf-8", where
        error = json.loads(body)
        assert error["ok"] is False and error["error"], where
    if expected == NO_TOKEN:
        assert (status, error["error"]) == (400, "invalid_request"), where
    elif expected == BAD_TOKEN:
        assert error["error"] == "invalid_token", where
    elif expected == REFUSED:
        assert status in (403, 404), where
    elif expected == ABSENT:
        assert status == 404, where
    else:
        assert status != 403, where
        if row["method"] == "GET" and has_all(row) and row["access"] != "public":
            assert status < 400 or status == 501, where


def has_all(row):
    """What its path names is there."""
    pattern = row["path"].replace("/v1/products/:product/", "/v1/", 1)
    return pattern not in EMPTY and not any(f":{name}" in row["path"] or f"*{name}" in row["path"] for name in NOWHERE if name != "prefix")


@pytest.fixture(scope="module")
def everything(postgres, migrated):
    server = Cyand(postgres, postgres.create_database(template=migrated)).start()
    try:
        world = World(server)
        yield world
        world.close()
    finally:
        server.close()


@pytest.mark.long
def test_every_route_for_every_role(everything):
    world = everything
    asked, refused, told, noted = 0, 0, set(), 0
    for row in world.rows:
        if refused - noted > 150:  # of more than 256 kinds between two writings the rest is one row (server/fleet/refusals.h)
            wait_audited(world, told)
            noted = refused
        targets = [OWN]
        if ":device" in row["path"] or ":product" in row["path"]:
            targets.append(FOREIGN)
        if ":device" in row["path"] and ":product" in row["path"] and "/provisioning/" not in row["path"]:
            targets.append(MIXED)  # a key may be given to a device before it is in the product
        cases = [(role, target, rule(row, role, target)) for role in ROLES for target in targets]
        before = world.snapshot() if row["method"] != "GET" else {}
        for role, target, expected in cases:
            if expected != ALLOWED:
                answer = world.ask(row, role, target)
                check(row, role, target, expected, *answer)
                refused += 1
                if answer[0] == 403 and role in PEOPLE:
                    told.add((PEOPLE[role], f"{row['method']} {row['path']}"))
        after = world.snapshot() if before else {}
        changed = [table for table in before if before[table] != after[table]]
        assert not changed, f"{row['method']} {row['path']}: refused requests changed {changed}"
        for role, target, expected in cases:
            if expected != ALLOWED:
                continue
            check(row, role, target, expected, *world.ask(row, role, target))
            if row["method"] == "GET":
                continue
            world.restore()
            world.revive(role)
        asked += len(cases)
    assert asked >= 10 * len(world.rows) and refused > asked / 4
    assert len(told) > 100
    wait_audited(world, told)
    print(f"{len(world.rows)} routes, {asked} requests, {refused} refused")


def audited(world):
    """Who was refused what."""
    return {tuple(row) for row in world.session.query("SELECT actor, target FROM audit WHERE action = 'refused'")}


def wait_audited(world, told):
    wait_until(lambda: told <= audited(world), lambda: f"not in the audit trail: {sorted(told - audited(world))[:10]}")


def test_head_is_get(everything):
    world = everything
    for row in world.rows:
        if row["method"] != "GET" or "/events" in row["path"]:  # what does not end has no HEAD worth a look
            continue
        for role in ("none", "dead", "stranger"):
            got, head = world.ask(row, role, OWN), world.ask({**row, "method": "HEAD"}, role, OWN)
            assert (head[0], head[2]) == (got[0], b""), f"HEAD {row['path']} as {role}: {head[0]}, GET {got[0]}"


def test_a_browser_may_ask_everywhere(everything):
    world = everything
    for row in world.rows:
        status, headers, body = world.ask({**row, "method": "OPTIONS"}, "none", OWN)
        assert (status, body) == (204, b"") and headers["Access-Control-Allow-Origin"] == "*"
