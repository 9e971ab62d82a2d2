"""particle-api-js as it comes from npm, as pages and scripts use it: what it makes of our answers."""

import base64
import re

import pytest

from harness.cyand import Cyand
from harness.firmware import ARGON, module
from harness.keys import Key, new_device_id
from harness.npm import ApiJs, installed
from harness.swarm import Swarm, mixed_value
from harness.updates import QUICK
from harness.waiting import wait_until

LAMP = "e00fce68bbbbbbbbbbbbbb01"
PASSWORD = "correct horse battery"


class World:
    """Ana's `lamp`, an Argon, is online."""

    def __init__(self, cyand, swarm):
        self.cyand, self.swarm = cyand, swarm
        self.url = f"http://127.0.0.1:{cyand.http_port}"
        cyand.command("user", "add", "ana", "--role", "owner", typed=PASSWORD + "\n")
        self.ana = cyand.rest("owner", "ana")
        self.ana.ok("POST", "/v1/devices", {"id": LAMP})
        self.ana.ok("PUT", f"/v1/devices/{LAMP}", {"name": "lamp"})

    def enrol(self):
        device = new_device_id()
        self.cyand.command("device", "add", device, "--psk", "00" * 16)
        return device


@pytest.fixture(scope="module")
def world(postgres, migrated, tmp_path_factory):
    installed()
    cyand = Cyand(postgres, postgres.create_database(template=migrated), product_release_needs_proof="no", **QUICK).start()
    try:
        swarm = Swarm(cyand, tmp_path_factory.mktemp("api-js") / "swarm", time_scale=0.2,
                      file=[{"id": LAMP, "platform": "argon", "system_version": 6200}])
        try:
            swarm.wait_connected(1)
            wait_until(lambda: "mix" in cyand.rest().device(LAMP)["functions"], "it is described")
            yield World(cyand, swarm)
        finally:
            swarm.close()
    finally:
        cyand.close()


@pytest.fixture
def new_api(world, tmp_path):
    made = []

    def make(auth=None):
        api = ApiJs(tmp_path / f"home{len(made)}", world.url)
        api.auth = auth
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(world, new_api):
    return new_api(world.ana.token)


def test_accounts(world, new_api):
    api = new_api()
    wrong = api.refused("login", 400, username="ana", password="wrong")
    assert "User credentials are invalid" in wrong["message"]
    first = api.ok("login", username="ana", password=PASSWORD)
    assert re.fullmatch("[0-9a-f]{40}", first["access_token"]) and first["token_type"] == "bearer" and first["expires_in"] > 0
    short = api.ok("login", username="ana", password=PASSWORD, tokenDuration=600)
    assert short["expires_in"] == 600
    api.auth = first["access_token"]
    assert api.ok("getUserInfo")["username"] == "ana"
    assert api.ok("deleteAccessToken", token=short["access_token"])["ok"] is True
    api.refused("getUserInfo", 401, auth=short["access_token"])
    assert api.ok("deleteCurrentAccessToken")["ok"] is True
    gone = api.refused("listDevices", 401)
    assert gone["body"]["error"] == "invalid_token"


def test_devices(world, api):
    device = world.enrol()
    claimed = api.ok("claimDevice", deviceId=device, requestTransfer=False)
    assert claimed == {"ok": True, "id": device, "user_id": claimed["user_id"], "connected": False}
    assert {one["id"] for one in api.ok("listDevices")} >= {device, LAMP}
    assert api.ok("renameDevice", deviceId=device, name="spare")["name"] == "spare"
    assert api.ok("setDeviceNotes", deviceId="spare", notes="in the drawer")["notes"] == "in the drawer"
    assert api.ok("getDevice", deviceId="spare")["notes"] == "in the drawer"
    assert api.ok("removeDevice", deviceId="spare")["ok"] is True
    denied = api.refused("getDevice", 403, deviceId=device)
    assert denied["body"]["error"] == "Permission Denied"
    assert api.refused("claimDevice", 404, deviceId=new_device_id())["body"]["errors"] == ["device does not exist"]


def test_a_device_of_another_is_asked_for(world, new_api):
    device, bob = world.enrol(), world.cyand.rest("owner", "bob")
    bob.ok("POST", "/v1/devices", {"id": device})
    api = new_api(world.ana.token)
    assert "belongs to someone else" in api.refused("claimDevice", 403, deviceId=device)["body"]["error"]
    transfer = api.ok("claimDevice", deviceId=device, requestTransfer=True)["transfer_id"]
    assert [one["id"] for one in bob.ok("GET", "/v1/transfers")["transfers"]] == [transfer]
    assert bob.ok("PUT", f"/v1/transfers/{transfer}", {"accept": True}) == {"ok": True}
    assert api.ok("getDevice", deviceId=device)["owner"] == "ana"


def test_the_device_itself(world, api):
    called = api.ok("callFunction", deviceId="lamp", name="mix", argument="a b")
    assert called["return_value"] == mixed_value(LAMP, "mix", "a b")
    read = api.ok("getVariable", deviceId="lamp", name="aString")
    assert read["result"].startswith(LAMP + ":") and read["coreInfo"]["deviceID"] == LAMP
    assert api.ok("signalDevice", deviceId="lamp", signal=True) == {"id": LAMP, "connected": True, "signaling": True}
    assert api.ok("signalDevice", deviceId="lamp", signal=False)["signaling"] is False
    assert api.refused("callFunction", 404, deviceId="lamp", name="nosuch", argument="")["body"]["error"] == \
        "Function nosuch not found"
    offline = world.enrol()
    api.ok("claimDevice", deviceId=offline)
    assert api.refused("signalDevice", 408, deviceId=offline, signal=True)["body"]["error"] == "Timed out."


def test_a_claim_code_makes_the_device_that_shows_it_anas(world, api, new_swarm):
    code = api.ok("getClaimCode")
    assert len(code["claim_code"]) == 63 and LAMP in code["device_ids"]
    device = new_device_id()
    swarm = new_swarm(world.cyand, file=[{"id": device, "platform": "boron", "system_version": 6200}])
    swarm.wait_connected(1)
    api.refused("getDevice", 403, deviceId=device)
    swarm.publish(device, "spark/device/claim/code", "x" * 63)  # not a code of ours
    api.refused("getDevice", 403, deviceId=device)
    swarm.publish(device, "spark/device/claim/code", code["claim_code"])
    wait_until(lambda: "error" not in api.call("getDevice", deviceId=device), "it is ana's")
    swarm.wait_notice("received", device, lambda n: n["name"] == "spark/device/claim/code")  # it forgets the code
    assert device in api.ok("getClaimCode")["device_ids"]
    stored = world.cyand.query("SELECT count(*) FROM event WHERE name = 'spark/device/claim/code' AND data IS NOT NULL")
    assert stored == [["0"]], "the code is kept nowhere"


def test_serial_numbers_and_keys(world, api, tmp_path):
    world.cyand.query(f"UPDATE device SET serial_number = 'ARNTEST000AAAAA' WHERE id = '\\x{LAMP}'")
    assert api.ok("lookupSerialNumber", serialNumber="ARNTEST000AAAAA")["deviceID"] == LAMP
    api.refused("lookupSerialNumber", 404, serialNumber="NOBODY")
    device = new_device_id()
    assert api.ok("sendPublicKey", deviceId=device, key=Key(tmp_path, "device").public_pem, algorithm="ecc")["id"] == device


def test_events(world, new_api):
    reader, api = new_api(world.ana.token), new_api(world.ana.token)
    reader.stream(deviceId="mine", name="api-js/")
    assert api.ok("publishEvent", name="api-js/one", data="first", isPrivate=True)["ok"] is True
    event = reader.next_event()
    assert (event["name"], event["data"]) == ("api-js/one", "first") and event["published_at"].endswith("Z"), event
    world.swarm.publish(LAMP, "api-js/two", "second\nline")
    event = reader.next_event()
    assert (event["name"], event["data"], event["coreid"]) == ("api-js/two", "second\nline", LAMP), event
    assert api.refused("publishEvent", 400, name="", data="x")["body"]["ok"] is False


def test_a_stream_of_one_device(world, new_api):
    reader = new_api(world.ana.token).stream(deviceId=LAMP)
    world.swarm.publish(LAMP, "only/this", "x")
    event = reader.next_event()
    while event["name"] != "only/this":  # what the system says of it
        assert event["coreid"] == LAMP
        event = reader.next_event()


def test_a_binary_is_flashed(world, api, tmp_path):
    binary = tmp_path / "app.bin"
    binary.write_bytes(module(ARGON, "u", 1, 5, needs=[("s", 1, 6200)], size=20_000))
    started = api.ok("flashDevice", deviceId="lamp", file=binary, file_as="files")
    assert started == {"id": LAMP, "status": "Update started"}
    wait_until(lambda: world.swarm.runs(LAMP).get("u1") == 5, "it runs it")
    wait_until(lambda: LAMP in world.swarm.online(), "it is back")
    wait_until(lambda: world.ana.ok("GET", f"/v1/devices/{LAMP}/updates")["updates"][0]["state"] == "succeeded", "it is proved")


def test_sources_are_not_compiled(api, tmp_path):
    source = tmp_path / "blink.ino"
    source.write_text("void setup() {}\n")
    refused = api.refused("compileCode", 501, file=source, file_as="files", platformId=12)
    assert refused["body"]["error"] == "compile is not supported by this server"
    assert api.ok("listBuildTargets", onlyFeatured=True)["targets"] == []
    assert api.ok("listDeviceOsVersions", platformId=12, perPage=5)["versions"] == []
    api.refused("listLibraries", 501)


def test_products_with_firmware(world, api, tmp_path):
    product = world.ana.ok2("POST", "/v1/products", {"product": {"name": "Lamp", "platform_id": ARGON}})["product"]["id"]
    assert product in [one["id"] for one in api.ok("listProducts")["products"]]
    assert api.ok("getProduct", product=product)["product"]["platform_id"] == ARGON
    added = api.ok("addDeviceToProduct", product=product, deviceId=LAMP)
    assert added["updatedDeviceIds"] == [LAMP] and added["invalidDeviceIds"] == []
    listed = api.ok("listDevices", product=product, perPage=10, page=1, sortAttr="deviceId", sortDir="asc")
    assert [one["id"] for one in listed["devices"]] == [LAMP] and listed["meta"]["total_pages"] == 1
    assert api.ok("callFunction", product=product, deviceId=LAMP, name="mix", argument="p")["return_value"] == \
        mixed_value(LAMP, "mix", "p")
    assert api.ok("markAsDevelopmentDevice", product=product, deviceId=LAMP)["development"] is True
    assert api.ok("markAsDevelopmentDevice", product=product, deviceId=LAMP, development=False)["development"] is False

    binary = tmp_path / "app.bin"
    binary.write_bytes(module(ARGON, "u", 1, 6, needs=[("s", 1, 6200)], size=20_000, product=(product, 2)))
    uploaded = api.ok("uploadProductFirmware", product=product, file=binary, version=2, title="second", description="brighter")
    assert (uploaded["version"], uploaded["title"], uploaded["size"]) == (2, "second", 20_000)
    assert [one["version"] for one in api.ok("listProductFirmware", product=product)] == [2]
    assert api.ok("getProductFirmware", product=product, version=2)["description"] == "brighter"
    assert api.ok("updateProductFirmware", product=product, version=2, title="2nd", description="brighter still")["title"] == "2nd"
    assert base64.b64decode(api.ok("downloadProductFirmware", product=product, version=2)) == binary.read_bytes()
    assert api.refused("uploadProductFirmware", 400, product=product, file=binary, version=3, title="wrong")["body"]["ok"] is False
    assert api.ok("lockDeviceProductFirmware", product=product, deviceId=LAMP, desiredFirmwareVersion=2,
                  flash=False)["desired_firmware_version"] == 2
    assert api.ok("unlockDeviceProductFirmware", product=product, deviceId=LAMP)["desired_firmware_version"] is None
    released = api.ok("releaseProductFirmware", product=product, version=2, product_default=True, groups=[], intelligent=True)
    assert released["version"] == 2 and released["product_default"] is True
    wait_until(lambda: world.swarm.runs(LAMP).get("u1") == 6, lambda: f"the device gets it: {world.swarm.runs(LAMP)}", 90)
    wait_until(lambda: LAMP in world.swarm.online(), "it is back")
    assert "error" not in api.call("removeDevice", product=product, deviceId=LAMP)
    assert api.ok("listDevices", product=product)["devices"] == []
    code = api.ok("getClaimCode", product=product)
    assert len(code["claim_code"]) == 63
