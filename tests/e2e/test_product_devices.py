"""Devices of a product: imported, reached, changed and turned away by its team, with devices that are really connected."""

import json

import pytest

from harness.firmware import ARGON, module
from harness.keys import new_device_id
from harness.updates import QUICK, Bench
from harness.waiting import hold_for, wait_until


class Team:
    """A product of olive's, and those in it."""

    def __init__(self, cyand, platform_id=ARGON, name="Toaster", **fields):
        self.cyand, self.rest = cyand, cyand.rest("owner", "olive")
        made = self.rest.post("/v1/products", {"name": name, "platform_id": platform_id, **fields})
        assert made.status == 201, made
        self.product = made.json["product"]
        self.path = f"/v1/products/{self.product['id']}"

    def add(self, *devices):
        """As the command line of clients does it: one file without an ending."""
        return self.file("\n".join(devices).encode())

    def file(self, data, rest=None, **options):
        answer = (rest or self.rest).upload(f"{self.path}/devices", data, file_name="file", **options)
        assert answer.status == 200, answer
        assert answer.json["updated"] == len(answer.json["updatedDeviceIds"]) and answer.json["protectedDeviceIds"] == []
        return answer.json

    def device(self, which):
        return self.rest.ok("GET", f"{self.path}/devices/{which}")

    def put(self, which, fields=None, **options):
        return self.rest.put(f"{self.path}/devices/{which}", fields, **options)


@pytest.fixture
def team(cyand):
    return Team(cyand)


@pytest.fixture
def argon(cyand, new_swarm):
    """Connected and described; nobody owns it."""
    device = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": device, "platform": ARGON, "system_version": 6200}], time_scale=0.2)
    swarm.wait_connected(1)
    wait_until(lambda: cyand.rest().device(device)["functions"], "it is described")
    return device, swarm


def test_a_team_reaches_its_devices(team, argon):
    device, _ = argon
    rest, path = team.rest, f"{team.path}/devices"
    for method, what in (("GET", ""), ("POST", "/digitalread"), ("GET", "/version"), ("PUT", "/ping"), ("GET", "/modules")):
        foreign = rest.request(method, f"{path}/{device}{what}")
        assert (foreign.status, foreign.json["error"]) == (404, "Device not found."), "it is not in the product yet"
    assert team.add(device.upper()) == {"updated": 1, "updatedDeviceIds": [device], "nonmemberDeviceIds": [],
                                        "invalidDeviceIds": [], "protectedDeviceIds": []}
    assert rest.get(f"/v1/devices/{device}").status == 403, "it is nobody's still, and not olive's"
    assert team.put(device, {"name": "kitchen"}).status == 200
    for which in (device, device.upper(), "kitchen"):
        assert rest.ok("POST", f"{path}/{which}/digitalwrite", {"args": "D7,HIGH"})["return_value"] == 1
        assert rest.ok("POST", f"/v1/products/toaster/devices/{which}/digitalread", {"arg": "D7"})["return_value"] == 1
        read = rest.ok("GET", f"{path}/{which}/version")
        assert (read["result"], read["coreInfo"]["product_id"]) == ("6200", team.product["id"])
        assert rest.ok("PUT", f"{path}/{which}/ping")["online"] is True
        assert rest.ok("GET", f"{path}/{which}/modules")["id"] == device
        assert rest.ok("GET", f"{path}/{which}/updates")["updates"] == []
        assert rest.post(f"{team.path}/diagnostics/{which}/update").status == 202
    assert rest.ok("PUT", f"{path}/kitchen", {"signal": "1"}) == {"id": device, "connected": True, "signaling": True}
    unknown = rest.post(f"{path}/kitchen/brew")
    assert (unknown.status, unknown.json["error"]) == (404, "Function brew not found")


def test_the_device_object_of_a_product(team, argon):
    device, _ = argon
    outside = team.cyand.rest().device(device)
    assert (outside["product_id"], outside["firmware_product_id"]) == (ARGON, ARGON)
    assert not {"groups", "development", "quarantined", "denied", "desired_firmware_version"} & outside.keys()
    team.add(device)
    team.put(device, {"groups": ["kitchen", "beta"]})
    inside = team.device(device)
    assert inside["product_id"] == team.product["id"] and inside["firmware_product_id"] == ARGON
    expected = {"groups": ["beta", "kitchen"], "development": False, "quarantined": False, "denied": False,
                "desired_firmware_version": None, "targeted_firmware_release_version": None}
    assert {key: inside[key] for key in expected} == expected
    assert {key: team.cyand.rest().device(device)[key] for key in expected} == expected, "wherever it is shown"


def test_changes_are_answered_with_what_was_changed(team, argon):
    device, swarm = argon
    team.add(device)
    changed = team.put(device, {"name": "kitchen", "notes": None, "development": True, "groups": ["a", "b"], "nonce": 1}).json
    assert changed.pop("updated_at").endswith("Z")
    assert changed == {"id": device, "name": "kitchen", "notes": "", "development": True, "groups": ["a", "b"]}
    assert team.put(device, form={"groups[]": "c", "development": "false"}).json["groups"] == ["c"]
    assert team.device(device)["groups"] == ["c"] and team.device(device)["development"] is False
    assert team.put(device, {"groups": []}).json["groups"] == []
    assert [g["name"] for g in team.rest.ok("GET", f"{team.path}/groups")["groups"]] == ["a", "b", "c"]
    unlocked = team.put(device, {"desired_firmware_version": None}).json
    assert unlocked["desired_firmware_version"] is None
    assert team.put(device, {"firmware_updates_forced": True}).json["firmware_updates_forced"] is True
    assert team.device(device)["firmware_updates_forced"] is True
    both = team.put(device, {"signal": 0, "notes": "x"}).json
    assert (both["signaling"], both["notes"], both["connected"]) == (False, "x", True)
    assert swarm.wait_notice("signal", device)["on"] is False


@pytest.mark.parametrize("fields,field", [
    ({"development": "perhaps"}, "development"), ({"groups": ["A"]}, "groups"), ({"groups": 7}, "groups"),
    ({"groups": [str(i) for i in range(101)]}, "groups"), ({"desired_firmware_version": 0}, "desired_firmware_version"),
    ({"desired_firmware_version": "x"}, "desired_firmware_version"), ({"desired_firmware_version": 5}, "desired_firmware_version"),
    ({"name": ""}, "name"), ({"name": "a b"}, "a name"), ({"name": "0" * 24}, "a name"), ({"notes": 5}, "notes"),
    ({"quarantined": "x"}, "quarantined"), ({"firmware_updates_forced": 3}, "firmware_updates_forced"), ({"signal": 2}, "signal"), ({}, "Nothing to do?")])
def test_bad_changes_are_named(team, fields, field):
    device = new_device_id()
    team.rest.ok("POST", f"{team.path}/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    answer = team.put(device, {"development": True, **fields} if fields else {})
    assert answer.status == 400 and answer.json["error"].startswith(field), answer
    assert team.device(device)["development"] is False, "all of it, or nothing"


def test_a_key_given_under_a_product_imports_the_device(team):
    devices = [new_device_id() for _ in range(3)]
    key = {"algorithm": "psk", "psk": "00" * 16}
    team.rest.ok("POST", f"{team.path}/provisioning/{devices[0]}", key)
    team.rest.ok("POST", f"/v1/provisioning/{devices[1]}", {**key, "product_id": team.product["id"]})
    team.cyand.rest("owner", "otto").ok("POST", f"/v1/provisioning/{devices[2]}", {**key, "product_id": team.product["id"]})
    assert team.device(devices[0])["product_id"] == team.device(devices[1])["product_id"] == team.product["id"]
    assert team.rest.get(f"{team.path}/devices/{devices[2]}").status == 404, "anybody may say of which product a device is"


def test_import_takes_what_clients_send(team):
    devices = [new_device_id() for _ in range(8)]
    admin = team.cyand.rest()
    for device in devices:
        admin.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    assert team.rest.post(f"{team.path}/devices", {"id": devices[0]}).json["updatedDeviceIds"] == [devices[0]]
    assert team.rest.post(f"{team.path}/devices", form={"id": devices[1], "import_method": "one"}).json["updated"] == 1
    text = f"\ufeff{devices[2]}\r\n{devices[3].upper()},{devices[4]} {devices[5]}\n\n{devices[2]}\nnobody"
    for chunk_bytes in (None, 7):
        answer = team.file(text.encode(), chunk_bytes=chunk_bytes)
        assert answer["updatedDeviceIds"] == devices[2:6] and answer["invalidDeviceIds"] == ["nobody"]
    assert team.file(b"")["updated"] == 0
    assert team.file(bytes(range(256)) * 3)["updated"] == 0, "what is no text names nobody"
    missing = team.rest.post(f"{team.path}/devices", {})
    assert missing.status == 400 and missing.json["error"].startswith("id ")
    large = team.rest.upload(f"{team.path}/devices", b"x" * (2 * 1024 * 1024 + 1))
    assert large.status == 413, large
    assert team.rest.upload("/v1/products/none/devices", b"x").status == 404
    assert team.cyand.rest("owner", "otto").upload(f"{team.path}/devices", b"x").status == 403


def test_a_file_of_tens_of_thousands(team):
    ids = [f"e00fce68{n:016x}" for n in range(60_000)]
    team.cyand.query("INSERT INTO device (id) SELECT decode('e00fce68' || lpad(to_hex(n), 16, '0'), 'hex') FROM"
                     " generate_series(0, 59999, 3) n")
    answer = team.file("\n".join(ids).encode(), chunk_bytes=8192, timeout_s=180)
    assert answer["updated"] == 20_000 and len(answer["invalidDeviceIds"]) == 40_000
    assert answer["updatedDeviceIds"] == ids[::3]
    assert team.cyand.query("SELECT count(*) FROM device WHERE in_product IS NOT NULL") == [["20000"]]


def test_who_owns_a_device_and_who_may_import_it(team):
    mine, theirs, product_said = (new_device_id() for _ in range(3))
    otto = team.cyand.rest("owner", "otto")
    key = {"algorithm": "psk", "psk": "00" * 16}
    for rest, device in ((team.rest, mine), (otto, theirs), (otto, product_said)):
        rest.ok("POST", f"/v1/provisioning/{device}", key)
    team.cyand.query(f"UPDATE device SET product_id = {team.product['id']} WHERE id = '\\x{product_said}'")
    answer = team.add(mine, theirs, product_said)
    assert answer["updatedDeviceIds"] == [mine, product_said], "a customer's device, of this product by its own word"
    assert answer["nonmemberDeviceIds"] == [theirs]
    assert otto.device(product_said)["owner"] == "otto" and team.device(product_said)["owner"] == "otto"
    # the team takes it from its customer, and somebody else claims it
    assert team.rest.ok("DELETE", f"{team.path}/devices/{product_said}/owner") == {"ok": True}
    assert "owner" not in team.device(product_said)
    assert otto.get(f"/v1/devices/{product_said}").status == 403
    claimed = team.cyand.rest("owner", "cora").ok("POST", "/v1/devices", {"id": product_said})
    assert claimed["ok"] is True and team.device(product_said)["owner"] == "cora"


def test_batch_groups(team):
    devices = [new_device_id() for _ in range(3)]
    for device in devices:
        team.rest.ok("POST", f"{team.path}/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})

    def batch(ids, **metadata):
        return team.rest.put(f"{team.path}/devices", {"action": "groups", "devices": ids, "metadata": metadata})

    assert batch(devices[:2], add=["a", "b"]).json == {"ok": True}
    assert batch([devices[0].upper()], add=["c"], remove=["a", "unknown"]).json == {"ok": True}
    assert [team.device(device)["groups"] for device in devices] == [["b", "c"], ["a", "b"], []]
    counts = {g["name"]: g["device_count"] for g in team.rest.ok("GET", f"{team.path}/groups")["groups"]}
    assert counts == {"a": 1, "b": 2, "c": 1}
    strangers = batch([devices[2], new_device_id()], add=["a"])
    assert strangers.status == 400 and strangers.json["error"].startswith("These devices are not in the product: ")
    assert team.device(devices[2])["groups"] == []
    for bad in ({"action": "dance"}, {"action": "groups"}, {"action": "groups", "devices": []},
                {"action": "groups", "devices": ["kitchen"]},
                {"action": "groups", "devices": devices, "metadata": {"add": ["Big"]}}):
        assert team.rest.put(f"{team.path}/devices", bad).status == 400, bad


def test_a_removed_device_goes_on_and_a_denied_one_is_turned_away(team, argon):
    device, swarm = argon
    team.add(device)
    team.put(device, {"groups": ["a"], "development": True})
    path = f"{team.path}/devices/{device}"
    assert team.rest.delete(path, json_body={}).status == 204
    assert team.rest.get(path).status == 404 and team.rest.delete(path).status == 404
    assert team.cyand.rest().device(device)["connected"] is True
    team.add(device)
    assert (team.device(device)["groups"], team.device(device)["development"]) == ([], False), "it came back as it was made"

    assert team.rest.delete(path, json_body={"deny": True}).status == 204
    wait_until(lambda: team.cyand.metrics().sum("cyan_device_refused_total", reason="denied") >= 1, "it is turned away")
    wait_until(lambda: not team.cyand.rest().device(device)["connected"], "it is offline")
    assert team.cyand.rest().device(device)["denied"] is True
    wait_until(lambda: team.cyand.query("SELECT DISTINCT outcome, alert FROM handshake_attempt WHERE stage = 'denied'")
               == [["refused_by_policy", "0"]], "the reason is kept, and no alert was sent")
    assert team.rest.post(f"{path}/digitalread").status == 404
    hold_for(2, lambda: not team.cyand.rest().device(device)["connected"])

    team.add(device)
    wait_until(lambda: team.device(device)["connected"], "it may come back", 90)
    wait_until(lambda: team.device(device)["functions"], "it is described")
    assert team.rest.ok("POST", f"{path}/digitalwrite", {"args": "D0,LOW"})["return_value"] == 1
    assert swarm.finish()["protocol_errors"] == {}


@pytest.mark.parametrize("profile", ["deviceos", "psk"])
def test_denied_and_allowed_again_in_place(team, new_swarm, profile):
    device = new_device_id()
    new_swarm(team.cyand, file=[{"id": device, "platform": ARGON, "profile": profile}], time_scale=0.2).wait_connected(1)
    team.add(device)
    wait_until(lambda: team.device(device)["connected"], "it is connected")
    assert team.put(device, {"denied": True}).json["denied"] is True
    wait_until(lambda: not team.device(device)["connected"], "its session ends")
    assert team.device(device)["denied"] is True, "it stays in the product"
    wait_until(lambda: team.cyand.metrics().sum("cyan_device_refused_total", reason="denied") >= 1, "it is turned away")
    assert team.put(device, {"denied": False}).json["denied"] is False
    wait_until(lambda: team.device(device)["connected"], "it comes back", 90)


def test_denied_through_another_node(new_cyand, new_swarm, redis):
    first = new_cyand(node_id=0, **redis.settings)
    second = new_cyand(node_id=1, keys_dir=first.settings["keys_dir"], **redis.settings)
    device = new_device_id()
    new_swarm(first, file=[{"id": device, "platform": ARGON}], time_scale=0.2).wait_connected(1)
    team = Team(second)
    team.add(device)
    wait_until(lambda: team.device(device)["functions"], "it is described")
    assert team.rest.ok("POST", f"{team.path}/devices/{device}/digitalwrite", {"args": "D0,LOW"})["return_value"] == 1
    assert team.put(device, {"denied": True}).status == 200
    wait_until(lambda: not team.device(device)["connected"], "the node that has its session ends it")
    wait_until(lambda: first.metrics().sum("cyan_device_refused_total", reason="denied") >= 1, "and turns it away")


def in_quarantine(team, device):
    return team.cyand.rest().device(device).get("quarantined") is True


@pytest.fixture
def bench(new_cyand, new_swarm, tmp_path):
    return Bench(new_cyand(**QUICK), new_swarm, tmp_path)


def becomes(bench, product, version=3):
    """The device runs firmware of that product from now on, and says so in its Hello."""
    data = module(ARGON, "u", 1, 6, needs=[("s", 1, 6200)], size=20_000, product=(product, version), seed=version)
    bench.begin(data)
    bench.wait_state("succeeded")
    wait_until(lambda: bench.rest.device(bench.id).get("firmware_product_id") == product, "it says which product it is of")


def test_a_device_that_says_a_product_waits_for_its_team(bench):
    team = Team(bench.cyand)
    becomes(bench, team.product["id"])
    shown = bench.rest.device(bench.id)
    assert shown["quarantined"] is True and shown["product_id"] == team.product["id"] and shown["firmware_version"] == 3
    assert team.rest.get(f"{team.path}/devices/{bench.id}").status == 404
    approved = team.put(bench.id, {"quarantined": False})
    assert approved.status == 200 and approved.json["quarantined"] is False
    assert team.device(bench.id)["quarantined"] is False and team.device(bench.id)["connected"] is True
    assert team.put(bench.id, {"quarantined": True}).json["quarantined"] is True
    assert team.rest.get(f"{team.path}/devices/{bench.id}").status == 404 and in_quarantine(team, bench.id)
    assert team.rest.post(f"{team.path}/devices", {"id": bench.id}).json["updated"] == 1
    assert not in_quarantine(team, bench.id)


def test_one_that_waits_can_be_denied(bench):
    team = Team(bench.cyand)
    becomes(bench, team.product["id"])
    assert team.rest.delete(f"{team.path}/devices/{bench.id}").status == 404
    assert team.rest.delete(f"{team.path}/devices/{bench.id}", json_body={"deny": True}).status == 204
    wait_until(lambda: not bench.rest.device(bench.id)["connected"], "it is offline")
    assert bench.rest.device(bench.id)["denied"] is True
    # what another product's team wants does not count
    assert Team(bench.cyand, name="Other").add(bench.id)["invalidDeviceIds"] == [bench.id]


def test_a_product_may_take_whoever_says_so(bench):
    team = Team(bench.cyand, settings={"quarantine": False})
    becomes(bench, team.product["id"])
    assert team.device(bench.id)["product_id"] == team.product["id"]
    refused = team.put(bench.id, {"quarantined": True})
    assert (refused.status, refused.json["error"]) == (400, "This product keeps no devices in quarantine: its settings say so.")


def test_a_team_flashes_a_device(bench):
    team = Team(bench.cyand)
    binary = module(ARGON, "b", 0, 3100, size=20_000)
    path = f"{team.path}/devices/{bench.id}"
    assert team.rest.upload(path, binary, method="PUT").status == 404
    team.add(bench.id)
    assert team.put(bench.id, {"development": True}).json["development"] is True
    answer = team.rest.upload(path, binary, method="PUT", chunk_bytes=1000)
    assert (answer.status, answer.json) == (200, {"id": bench.id, "status": "Update started"})
    bench.wait_state("succeeded")
    assert team.rest.ok("GET", f"{path}/updates")["updates"][0]["requested_by"] == "olive"
    assert bench.runs("b") == 3100


def test_approval_ends_the_quarantine_of_the_server_too(new_cyand, new_swarm):
    """Where unknown devices are looked at first, a team vouches for those that say they are of its product."""
    cyand = new_cyand(devices_unknown="quarantine")
    device = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": device, "platform": ARGON}], enrol=False, time_scale=0.2)
    wait_until(lambda: cyand.rest().get(f"/v1/devices/{device}").status == 200, "it is seen")
    team = Team(cyand)
    assert team.add(device)["invalidDeviceIds"] == [device], "it says nothing of this product"
    cyand.query(f"UPDATE device SET product_id = {team.product['id']} WHERE id = '\\x{device}'")
    assert team.add(device)["updatedDeviceIds"] == [device]
    wait_until(lambda: swarm.handshakes() >= 2 and team.device(device)["connected"], "it is back as one that is known", 90)
    assert team.device(device)["quarantined"] is False
    assert team.rest.ok("POST", f"{team.path}/devices/{device}/digitalwrite", {"args": "D0,LOW"})["return_value"] == 1


def test_every_change_is_in_the_audit_trail(team):
    device = new_device_id()
    team.rest.ok("POST", f"{team.path}/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    team.put(device, {"development": True})
    team.rest.put(f"{team.path}/devices", {"action": "groups", "devices": [device], "metadata": {"add": ["a"]}})
    team.rest.delete(f"{team.path}/devices/{device}", json_body={"deny": True})
    rows = team.cyand.query(f"SELECT action, actor, before, after FROM audit WHERE target = '{device}' ORDER BY id")
    assert [row[0] for row in rows] == ["device.create", "product.import", "device.update", "device.groups", "product.deny"]
    assert {row[1] for row in rows} == {"olive"}
    assert json.loads(rows[2][2]) == {"development": False} and json.loads(rows[2][3]) == {"development": True}
