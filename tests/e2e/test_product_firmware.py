"""Firmware of a product on its way to the devices: who gets it, when, and that nothing but the device's own describe and Hello
makes a success. What the server tells is held against what the devices know."""

import signal
import time

import pytest

from harness.balancer import Balancer
from harness.firmware import ARGON, BORON, module
from harness.fleets import Argons
from harness.products import Product
from harness.rollout import QUICK, Rollout
from harness.truth import applied_counts
from harness.waiting import hold_for, wait_until


@pytest.fixture
def fleet(new_cyand, new_swarm):
    """Call it with what is wrong with each device: (product, devices); all of them are in the product."""

    def make(*defects, groups=("beta", "late"), settings=None, **options):
        cyand = new_cyand(**{**QUICK, **(settings or {})})
        argons = Argons(cyand, new_swarm, defects, **options)
        product = Product(cyand, groups=groups)
        product.take(*argons.ids)
        return product, argons

    return make


def applied(argons):
    """How often each device applied an application."""
    return {device: times for (device, what, _), times in applied_counts(argons.swarm).items() if what == "u1"}


def nothing_under_way(cyand):
    Rollout(cyand).check_books()
    assert cyand.query("SELECT count(*) FROM device_update WHERE state IN ('active', 'verifying')") == [["0"]]


def test_a_release_reaches_devices_at_their_next_handshake(fleet):
    product, argons = fleet({}, {}, {})
    first, second, third = argons.ids
    product.upload(3)
    assert product.impact(3, default=True) == {"total": 3, "by_version": [{"version": None, "total": 3}]}
    released = product.release(3, default=True)
    assert released["product_default"] is True and released["groups"] == [] and released["updated_at"].endswith("Z")
    hold_for(3, lambda: product.updates(first) == [])
    argons.swarm.command("reboot", first)
    argons.swarm.command("reboot", second)
    for device in (first, second):
        update = product.wait_update(device, "succeeded")
        assert (update["firmware_version"], update["product_id"], update["attempts"]) == (3, product.id, 0)
        assert product.says(device) == 3
    assert applied(argons) == {first: 1, second: 1} and product.updates(third) == []
    assert product.rest.ok("GET", f"{product.path}/firmware/3")["device_count"] == 2
    assert product.impact(3, default=True)["total"] == 1
    hellos = int(product.cyand.query(f"SELECT hellos FROM device WHERE id = '\\x{first}'")[0][0])
    argons.swarm.command("reboot", first)  # and it is left alone with it
    wait_until(lambda: product.cyand.query(f"SELECT 1 FROM device WHERE id = '\\x{first}' AND hellos > {hellos}"), "it is back")
    hold_for(2, lambda: len(product.updates(first)) == 1)
    told = product.cyand.query(f"SELECT convert_from(data, 'UTF8') FROM event WHERE device_id = '\\x{first}' AND"
                               " name = 'spark/flash/status' ORDER BY id")
    assert told == [["started "], ["success "]]
    nothing_under_way(product.cyand)


def test_a_release_at_once_to_a_group(fleet):
    product, argons = fleet({}, {}, {}, {})
    for device in argons.ids[:2]:
        product.group(device, "beta")
    product.upload(3)
    product.upload(4)
    product.release(3, default=True)
    assert product.impact(4, "beta")["total"] == 2
    assert product.release(4, "beta", now=True)["intelligent"] is True
    for device in argons.ids[:2]:
        assert product.wait_update(device, "succeeded")["firmware_version"] == 4
    hold_for(2, lambda: all(product.updates(device) == [] for device in argons.ids[2:]))  # that is at their next handshake
    for device in argons.ids[2:]:
        argons.swarm.command("reboot", device)
        assert product.wait_update(device, "succeeded")["firmware_version"] == 3
    assert applied(argons) == dict.fromkeys(argons.ids, 1)
    counts = {f["version"]: (f["device_count"], f["groups"], f["product_default"])
              for f in product.rest.ok("GET", f"{product.path}/firmware")}
    assert counts == {3: (2, [], True), 4: (2, ["beta"], False)}
    nothing_under_way(product.cyand)


def test_locked_and_marked_devices(fleet):
    product, argons = fleet({}, {}, {})
    locked, marked, plain = argons.ids
    product.upload(3)
    product.upload(4)
    change = f"{product.path}/devices/{{}}".format
    assert product.rest.ok("PUT", change(locked), {"desired_firmware_version": 3})["desired_firmware_version"] == 3
    assert product.rest.ok("PUT", change(marked), {"development": True})["development"] is True
    product.release(4, default=True, now=True)
    assert product.wait_update(plain, "succeeded")["firmware_version"] == 4
    hold_for(2, lambda: product.updates(locked) == [])  # a lock alone is for the next handshake, too
    assert product.rest.ok("PUT", change(locked), {"desired_firmware_version": 3, "flash": True})["flash"] is True
    assert product.wait_update(locked, "succeeded")["firmware_version"] == 3
    argons.swarm.command("reboot", marked)
    hold_for(2, lambda: product.updates(marked) == [])
    shown = product.rest.ok("GET", change(locked))
    assert (shown["firmware_version"], shown["desired_firmware_version"], shown["targeted_firmware_release_version"]) == (3, 3, 3)
    product.rest.ok("PUT", change(locked), {"desired_firmware_version": None, "flash": True})
    wait_until(lambda: product.says(locked) == 4, lambda: product.updates(locked))
    product.wait_update(locked, "succeeded")
    assert applied(argons) == {locked: 2, plain: 1}
    nothing_under_way(product.cyand)


@pytest.mark.long
def test_a_device_that_lies_is_let_be_after_a_while(fleet):
    product, argons = fleet({"lie": True}, {})
    liar, honest = argons.ids
    product.upload(3)
    product.release(3, default=True, now=True)
    product.wait_update(honest, "succeeded")
    for tries in range(3):
        update = product.wait_update(liar, "failed", deadline_s=180)
        assert update["reason"] == "no_effect" and update["attempts"] == tries
        argons.swarm.command("reboot", liar)
        if tries < 2:
            wait_until(lambda: len(product.updates(liar)) == tries + 2, lambda: product.updates(liar))
    blocked = wait_until(lambda: next((u for u in product.updates(liar) if u["state"] == "blocked"), None),
                         lambda: product.updates(liar))
    assert blocked["reason"] == "tried_too_often" and "3 times" in blocked["sentence"] and blocked["steps"] == []
    argons.swarm.command("reboot", liar)
    hold_for(3, lambda: len(product.updates(liar)) == 4)
    assert applied(argons) == {honest: 1} and product.says(liar) is None
    assert len(argons.swarm.truth("lied", liar)) == 6
    nothing_under_way(product.cyand)


def test_a_newer_release_follows_one_that_is_under_way(fleet):
    product, argons = fleet({"chunk_ms": 100})
    (device,) = argons.ids
    product.upload(3)
    product.upload(4)
    product.release(3, default=True, now=True)
    wait_until(lambda: product.updates(device) and product.updates(device)[0]["steps"][0]["state"] == "transferring",
               lambda: product.updates(device), every_s=0.02)
    product.release(4, default=True)
    wait_until(lambda: product.says(device) == 4, lambda: product.updates(device))
    product.wait_update(device, "succeeded")
    assert [(u["firmware_version"], u["state"]) for u in product.updates(device)] == [(4, "succeeded"), (3, "superseded")]
    assert applied(argons) == {device: 1}
    nothing_under_way(product.cyand)


def test_an_application_that_wants_no_updates_can_be_overruled(fleet):
    product, argons = fleet({"updates_disabled": 1})
    (device,) = argons.ids
    wait_until(lambda: product.cyand.query("SELECT 1 FROM device WHERE updates_enabled = false"), "it has said so")
    product.upload(3)
    product.release(3, default=True, now=True)
    update = product.wait_update(device, "waiting")
    assert update["reason"] == "updates_disabled"
    assert product.cyand.query("SELECT convert_from(data, 'UTF8') FROM event WHERE name = 'particle/device/updates/pending'") == [
        ["true"]]
    rest = product.cyand.rest()
    answer = rest.ok("PUT", f"/v1/devices/{device}", {"firmware_updates_forced": True})
    assert answer["id"] == device and answer["firmware_updates_forced"] is True and answer["updated_at"]
    product.wait_update(device, "succeeded")
    assert rest.device(device)["firmware_updates_forced"] is True
    assert applied(argons) == {device: 1}

    def told():
        return [n["data"] for n in argons.swarm.notices if n["event"] == "received" and n["name"] == "particle/device/updates/forced"]

    # the reset after the update cleared it on the device: it is told once more
    wait_until(lambda: told()[:2] == ["true", "true"], told)
    wait_until(lambda: product.cyand.query("SELECT 1 FROM device WHERE updates_forced"), "its echo is there")
    rest.ok("PUT", f"/v1/devices/{device}", {"firmware_updates_forced": False})
    wait_until(lambda: product.cyand.query("SELECT 1 FROM device WHERE NOT updates_forced"), "its echo is there")
    assert told()[-1] == "false" and rest.device(device)["firmware_updates_forced"] is False
    hold_for(2, lambda: told()[-1] == "false")


@pytest.mark.parametrize("state", ["starting", "transferring", "finishing", "rebooting", "describing"])
def test_a_killed_server_goes_on(fleet, redis, state):
    """kill -9 once a step has been in this state: each device applies it once, and nobody is forgotten."""
    product, argons = fleet(*[{"chunk_ms": 20}] * 4, settings=redis.settings)
    cyand = product.cyand
    product.upload(3)
    product.release(3, default=True, now=True)
    wait_until(lambda: cyand.query(f"SELECT 1 FROM update_event WHERE kind = 'step' AND to_state = '{state}'"),
               lambda: product.updates(argons.ids[0]), every_s=0.005)
    cyand.settings.update(coap_port=cyand.coap_port)
    cyand.kill()
    cyand.start()
    product.rest = cyand.rest("owner", "ora")
    for device in argons.ids:
        product.wait_update(device, "succeeded", deadline_s=240)
        assert product.says(device) == 3
    assert applied(argons) == dict.fromkeys(argons.ids, 1)
    nothing_under_way(cyand)


def test_two_nodes_share_a_release(new_cyand, new_swarm, redis):
    first = new_cyand(node_id=0, node_lease_s=3, **QUICK, **redis.settings)
    second = new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **QUICK, **redis.settings)
    balancer = Balancer([first, second])
    try:
        argons = Argons(first, new_swarm, [{"chunk_ms": 10}] * 8, address=balancer.address)
        wait_until(lambda: {row[0] for row in first.query("SELECT node_id FROM device WHERE online")} == {"0", "1"},
                   "both nodes have some", 30)
        product = Product(second)
        product.take(*argons.ids)
        product.upload(3)
        product.release(3, default=True, now=True)
        for tenths in (5, 8, 11):
            time.sleep(tenths / 10)
            balancer.move_some()
        second.stop(signal.SIGKILL)
        balancer.move_all(first)
        product.cyand = first
        for device in argons.ids:
            product.wait_update(device, "succeeded", deadline_s=240)
        assert applied(argons) == dict.fromkeys(argons.ids, 1)
        nothing_under_way(first)
    finally:
        balancer.close()


def test_what_a_campaign_and_a_person_do_meanwhile(fleet):
    """A campaign that has the device goes first; a person's flash is what the release replaces at the next handshake."""
    product, argons = fleet({"chunk_ms": 30})
    (device,) = argons.ids
    rollout = Rollout(product.cyand)
    rollout.release("boot", [module(ARGON, "b", 0, 3100, size=40_000)])
    campaign = rollout.start("boot", "boot", {"platform_id": ARGON})
    wait_until(lambda: rollout.states(campaign)["active"] == 1, lambda: rollout.devices(campaign))
    product.upload(3)
    product.release(3, default=True, now=True)
    assert product.wait_update(device, "waiting")["reason"] == "busy_in_campaign"
    rollout.wait(campaign, "completed")
    product.wait_update(device, "succeeded")
    assert applied(argons) == {device: 1} and argons.runs(device, "b0") == 3100
    product.set(device, "development = true")
    other = module(ARGON, "u", 1, 6, size=20_000, product=(product.id, 2), seed="mine")
    assert product.cyand.rest().upload(f"/v1/devices/{device}", other, method="PUT").status == 200
    wait_until(lambda: product.says(device) == 2, lambda: product.cyand.rest().get(f"/v1/devices/{device}/updates").json)
    argons.swarm.command("reboot", device)
    hold_for(3, lambda: len(product.updates(device)) == 1)
    product.set(device, "development = false")
    argons.swarm.command("reboot", device)
    wait_until(lambda: product.says(device) == 3, lambda: product.updates(device))
    product.wait_update(device, "succeeded")
    nothing_under_way(product.cyand)


def test_a_device_of_a_product_is_flashed_by_its_team(fleet):
    """As `particle cloud flash --product` does it: marked for development first, then the file, in chunks."""
    product, argons = fleet({})
    (device,) = argons.ids
    path = f"{product.path}/devices/{device}"
    assert product.rest.ok("PUT", path, {"development": True})["development"] is True
    mine = module(ARGON, "u", 1, 6, size=20_000, seed="mine")
    answer = product.rest.upload(path, mine, method="PUT", field="file", chunk_bytes=4096, fields={"latest": "true"})
    assert (answer.status, answer.json) == (200, {"id": device, "status": "Update started"}), answer
    assert product.rest.upload(path, mine, method="PUT").status == 409
    wait_until(lambda: applied(argons) == {device: 1}, "it is applied")
    for sent, status, says in ((dict(file_name="blink.ino"), 501, "compile"), (dict(file_name="app.bin"), 400, "CRC")):
        refused = product.rest.upload(path, mine[:-1] + b"x", method="PUT", **sent)
        assert refused.status == status and says in refused.json["error"], refused
    for where in (path, f"/v1/devices/{device}"):
        named = product.cyand.rest().put(where, {"app": "tinker"})
        assert named.status == 400 and "by name" in named.json["error"], named
        assert product.cyand.rest().put(where, {"firmware_updates_forced": "perhaps"}).status == 400
    assert product.cyand.rest("owner", "stranger").upload(path, mine, method="PUT").status == 403
    forced = product.rest.ok("PUT", path, {"firmware_updates_forced": "1", "notes": "by hand"})
    assert forced["firmware_updates_forced"] is True and forced["notes"] == "by hand"
    wait_until(lambda: product.cyand.query("SELECT 1 FROM device WHERE updates_forced"), "its echo is there")


# --- the interface ---

@pytest.fixture
def product(cyand):
    return Product(cyand, groups=("beta",))


def test_a_version_from_its_upload_to_its_end(product):
    rest, path, data = product.rest, f"{product.path}/firmware", product.application(3)
    assert rest.ok("GET", path) == []
    made = rest.upload(path, data, field="binary", file_name="my app.bin", chunk_bytes=3000,
                       fields={"version": "3", "title": "Less smoke", "description": "<b>", "mandatory": "true"})
    assert made.status == 201, made
    shown = made.json
    assert {**shown, "uploaded_on": None} == {
        "_id": shown["_id"], "version": 3, "title": "Less smoke", "description": "<b>", "name": "my app.bin", "size": len(data),
        "product_default": False, "groups": [], "mandatory": True, "uploaded_on": None, "product_id": product.id,
        "uploaded_by": {"username": "ora"}, "device_count": 0, "released_on": None, "withdrawn": False}
    assert rest.ok("GET", path) == [shown] and rest.ok("GET", f"{path}/3") == shown
    assert rest.ok("GET", f"/v1/products/{product.slug}/firmware/3") == shown
    binary = rest.get(f"{path}/3/binary")
    assert binary.body == data and binary.headers["Content-Type"] == "application/octet-stream"
    assert rest.ok("PUT", f"{path}/3", {"title": "No smoke"}) == {**shown, "title": "No smoke"}
    assert rest.put(f"{path}/3", {}).status == 400
    again = rest.upload(path, product.application(3, size=21_000), fields={"version": 3})
    assert (again.status, again.json["error"]) == (409, "Version 3 of this product exists already.")
    gone = rest.delete(f"{path}/3")
    assert (gone.status, gone.body) == (204, b"")
    for method, where in (("GET", "3"), ("DELETE", "3"), ("PUT", "3"), ("GET", "3/binary"), ("GET", "0"), ("GET", "x")):
        answer = rest.request(method, f"{path}/{where}", json_body={"title": "x"} if method == "PUT" else None)
        assert (answer.status, answer.json["error"]) == (404, "Firmware version not found"), (method, where)
    product.upload(3)
    form = rest.put(f"{path}/release", form=[("version", "3"), ("groups[]", "beta"), ("immediate", "1")])
    assert form.status == 200 and form.json["groups"] == ["beta"] and form.json["intelligent"] is True, form
    kept = rest.delete(f"{path}/3")
    assert kept.status == 400 and "was released" in kept.json["error"]
    told = product.cyand.query("SELECT name, convert_from(data, 'UTF8') FROM event WHERE name LIKE 'particle/firmware/%' ORDER BY id")
    assert told == [["particle/firmware/create", '{"version":"3"}'], ["particle/firmware/create", '{"version":"3"}'],
                    ["particle/firmware/release", '{"immediate":true,"version":3}']]
    audit = [row[0] for row in product.cyand.query("SELECT action FROM audit WHERE action LIKE 'product_firmware.%' ORDER BY id")]
    assert audit == [f"product_firmware.{action}" for action in ("create", "update", "delete", "create", "release")]


def test_each_refusal_says_why(product):
    rest, path = product.rest, f"{product.path}/firmware"

    def refused(data, says, version="3", status=400, **options):
        answer = rest.upload(path, data, fields={"version": version}, **options)
        assert answer.status == status and says in answer.json["error"] and answer.json["ok"] is False, answer

    good = product.application(3)
    refused(b"no module at all" * 100, "The file is refused: ")
    for version in ("0", "65536", "-1", "three", ""):
        refused(good, "version must be a number from 1 to 65535.", version=version)
    refused(good, "it says that it is version 3 of its product, not 4", version="4")
    refused(module(ARGON, "u", 1, 6), "build it with PRODUCT_VERSION(3)")
    refused(module(ARGON, "u", 1, 6, product=(product.id + 1, 3)), f"for product {product.id + 1}, not {product.id}")
    refused(module(BORON, "u", 1, 6, product=(product.id, 3)), "for platform 13, the product is of platform 12")
    refused(module(ARGON, "s", 1, 6200), "not a user application")
    assert rest.post(path, {"version": 3}).status == 400
    assert rest.upload("/v1/products/4711/firmware", good, fields={"version": 3}).status == 404
    assert product.cyand.rest("owner", "stranger").get(path).status == 403
    assert rest.ok("GET", path) == []
    product.upload(3)
    for body, says in (({"version": 3, "groups": ["none"]}, "no group none"), ({"version": 3, "product_default": False}, "to whom"),
                       ({"version": 3, "groups": [7]}, "groups"), ({"groups": ["beta"]}, "version"),
                       ({"version": 3, "product_default": "maybe"}, "product_default")):
        answer = rest.put(f"{path}/release", body)
        assert answer.status == 400 and says in answer.json["error"], answer
    assert rest.put(f"{path}/release", {"version": 9}).status == 404
    assert rest.ok("PUT", f"{path}/release", {"version": 3})["product_default"] is True  # to whom: all, when nobody says
    for query in ("", "action=x", "action=edit_groups_for_firmware", "action=edit_groups_for_firmware&firmware_version=x",
                  "action=edit_groups_for_firmware&firmware_version=3&groups=none"):
        assert rest.get(f"{product.path}/impact?{query}").status == 400, query
    assert rest.get(f"{product.path}/impact?action=edit_groups_for_firmware&firmware_version=9").status == 404


def test_a_release_may_need_a_device_that_ran_it(new_cyand):
    product = Product(new_cyand(product_release_needs_proof="yes"))
    product.upload(3)
    answer = product.rest.put(f"{product.path}/firmware/release", {"version": 3})
    assert answer.status == 400 and "has run version 3 yet" in answer.json["error"]
    product.cyand.query("INSERT INTO device (id, in_product, product_id, product_version) VALUES"
                        f" ('\\x{'ab' * 12}', {product.id}, {product.id}, 3)")
    assert product.rest.put(f"{product.path}/firmware/release", {"version": 3}).status == 200
