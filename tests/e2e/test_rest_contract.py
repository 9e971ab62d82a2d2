"""What clients of other people read in our answers, word by word: paths, statuses, bodies, headers."""

import re

import pytest

from harness.keys import Key, new_device_id
from harness.waiting import wait_until

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
FORM = "application/x-www-form-urlencoded"
UNKNOWN_INFO = "I didn't recognize that device name or ID"
OURS, FOREIGN, FREE, SILENT, MISSING = ("e00fce68aaaaaaaaaaaaaa01", "e00fce68aaaaaaaaaaaaaa02", "e00fce68aaaaaaaaaaaaaa03",
                                        "e00fce68aaaaaaaaaaaaaa04", "e00fce68aaaaaaaaaaaaaaff")


class World:
    """Ana's device `kitchen` is online, her `cellar` never was; another is somebody else's, one is nobody's."""

    def __init__(self, cyand, swarm):
        self.cyand, self.swarm = cyand, swarm
        self.ana, self.bob = cyand.rest("owner", "ana"), cyand.rest("owner", "bob")
        admin = cyand.rest()
        for device in (FOREIGN, FREE, SILENT):
            admin.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
        for rest, device, name in ((self.ana, OURS, "kitchen"), (self.ana, SILENT, "cellar"), (self.bob, FOREIGN, "attic")):
            rest.ok("POST", "/v1/devices", {"id": device})
            rest.ok("PUT", f"/v1/devices/{device}", {"name": name})


@pytest.fixture(scope="module")
def world(postgres, migrated, tmp_path_factory):
    from harness.cyand import Cyand
    from harness.swarm import Swarm
    cyand = Cyand(postgres, postgres.create_database(template=migrated)).start()
    try:
        swarm = Swarm(cyand, tmp_path_factory.mktemp("contract") / "swarm",
                      file=[{"id": OURS, "platform": "boron", "system_version": 6200}])
        try:
            swarm.wait_connected(1)
            wait_until(lambda: "digitalwrite" in cyand.rest().device(OURS)["functions"], "it is described")
            yield World(cyand, swarm)
        finally:
            swarm.close()
    finally:
        cyand.close()


def fits(expected, found):
    """expected's keys are there with these values; a type, a pattern or a function stands for what it takes."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and fits(value, found[key]) for key, value in expected.items())
    if isinstance(expected, type):
        return isinstance(found, expected) and (expected is bool or not isinstance(found, bool))
    if isinstance(expected, re.Pattern):
        return isinstance(found, str) and expected.search(found) is not None
    return expected(found) if callable(expected) else type(found) is type(expected) and found == expected


def ask(rest, method, path, body=None, content_type=None, headers=None):
    headers = dict(headers or {})
    if isinstance(body, dict):
        return rest.request(method, path, json_body=body, headers=headers)
    if body is not None:
        headers["Content-Type"] = content_type or FORM
    return rest.request(method, path, body=body.encode() if isinstance(body, str) else body, headers=headers)


# --- requests in all their forms ---

KITCHEN = "/v1/devices/kitchen"
CALLED = {"id": OURS, "name": "kitchen", "last_app": None, "connected": True, "return_value": 1}
REQUESTS = [
    # the body: JSON, a form, with parameters of its type, in chunks, or none
    ("POST", KITCHEN + "/digitalwrite", {"args": "D1,HIGH"}, None, 200, CALLED),
    ("POST", KITCHEN + "/digitalwrite", '{"args":"D1,HIGH"}', "application/json; charset=utf-8", 200, CALLED),
    ("POST", KITCHEN + "/digitalwrite", "arg=D1%2CHIGH", FORM + "; charset=UTF-8", 200, CALLED),
    ("POST", KITCHEN + "/digitalwrite", "params=D1,HIGH", FORM, 200, CALLED),
    ("POST", KITCHEN + "/digitalwrite", [b'{"args"', b':"D1,HIGH"}'], "application/json", 200, CALLED),
    ("POST", KITCHEN + "/digitalwrite", '--xyz\r\nContent-Disposition: form-data; name="arg"\r\n\r\nD1,HIGH\r\n--xyz--\r\n',
     "multipart/form-data; boundary=xyz", 200, CALLED),
    ("POST", KITCHEN + "/digitalread", None, None, 200, {"return_value": -1}),
    ("POST", KITCHEN + "/digitalread", {"nonce": 704.77, "arg": None}, None, 200, {"return_value": -1}),
    ("PUT", KITCHEN + "/ping", None, None, 200, {"online": True, "ok": True}),
    ("PUT", "/v1/devices/cellar/ping", {}, None, 200, {"online": False, "ok": True}),
    # the device: an id of either case, a name; a slash at the end
    ("GET", f"/v1/devices/{OURS.upper()}", None, None, 200, {"id": OURS}),
    ("GET", f"/v1/devices/{OURS}/", None, None, 200, {"id": OURS}),
    ("GET", "/v1/devices/", None, None, 200, lambda list_: {one["id"] for one in list_} == {OURS, SILENT}),
    ("GET", "/v1/devices?tracking=1&nonce=704.77", None, None, 200, list),
    # a device
    ("GET", KITCHEN, None, None, 200,
     {"id": OURS, "name": "kitchen", "last_app": None, "last_heard": ISO, "connected": True, "online": True,
      "last_ip_address": "127.0.0.1", "last_handshake_at": ISO, "product_id": 13, "platform_id": 13, "cellular": True,
      "notes": None, "status": "normal", "functions": lambda names: "mix" in names,
      "variables": lambda types: types["aDouble"] == "double" and types["anInt"] == "int32" and types["aBool"] == "bool"
      and types["aString"] == "string", "owner": "ana", "requires_deep_update": None}),
    ("GET", "/v1/devices/cellar", None, None, 200,
     {"connected": False, "online": False, "functions": [], "variables": {}, "last_heard": None}),
    # its name, notes and light
    ("PUT", KITCHEN, {"name": "kitchen"}, None, 200, {"id": OURS, "name": "kitchen", "updated_at": ISO}),
    ("PUT", KITCHEN, {"notes": "by the window"}, None, 200, {"id": OURS, "notes": "by the window", "updated_at": ISO}),
    ("PUT", KITCHEN, {"name": "kitchen", "notes": None, "signal": "1"}, None, 200,
     {"id": OURS, "name": "kitchen", "notes": "", "connected": True, "signaling": True}),
    ("PUT", KITCHEN, {"signal": "1"}, None, 200, {"id": OURS, "connected": True, "signaling": True}),
    ("PUT", KITCHEN, {"signal": "0"}, None, 200, {"id": OURS, "connected": True, "signaling": False}),
    ("PUT", KITCHEN, {"signal": 1}, None, 200, {"signaling": True}),
    ("PUT", KITCHEN, {"signal": False}, None, 200, {"signaling": False}),
    ("PUT", KITCHEN, "signal=true", FORM, 200, {"signaling": True}),
    ("PUT", KITCHEN, "signal=0", FORM, 200, {"signaling": False}),
    # a variable
    ("GET", KITCHEN + "/temperature", None, None, 200,
     {"cmd": "VarReturn", "name": "temperature", "result": 20.0625,
      "coreInfo": {"name": "kitchen", "deviceID": OURS, "connected": True, "last_handshake_at": ISO, "last_heard": ISO,
                   "last_app": None, "product_id": 13}}),
    ("GET", KITCHEN + "/version", None, None, 200, {"result": "6200"}),
    ("GET", KITCHEN + "/counter", None, None, 200, {"result": int}),
    ("GET", KITCHEN + "/flag", None, None, 200, {"result": bool}),
    # claims
    ("POST", "/v1/device_claims", {}, None, 200,
     {"claim_code": re.compile(r"^[A-Za-z0-9+/]{63}$"), "device_ids": lambda ids: sorted(ids) == [OURS, SILENT]}),
    ("POST", "/v1/device_claims", "iccid=8934076500002589174", FORM, 200, {"claim_code": str}),
    ("POST", "/v1/devices", {"id": OURS, "request_transfer": False}, None, 200, {"ok": True, "id": OURS, "connected": True}),
    ("POST", "/v1/devices", f"id={OURS.upper()}", FORM, 200, {"ok": True, "id": OURS, "user_id": str}),
    # what is there without a device
    ("GET", "/v1/device-os/versions?platform_id=13&per_page=100", None, None, 200, {"versions": []}),
    ("GET", "/v1/build_targets?featured=true", None, None, 200, {"targets": [], "platforms": {"Argon": 12, "Boron": 13}}),
    ("GET", "/v1/transfers", None, None, 200, {"transfers": []}),
]

# --- errors ---

NO_DEVICE = {"ok": False, "error": "Device not found.", "info": re.compile(UNKNOWN_INFO)}
NOT_YOURS = {"ok": False, "error": "Permission Denied", "info": re.compile(UNKNOWN_INFO)}
BAD = {"ok": False, "error": str}
ERRORS = [
    ("GET", f"/v1/devices/{MISSING}", None, None, 404, NO_DEVICE),
    ("GET", "/v1/devices/nosuch", None, None, 404, NO_DEVICE),
    ("GET", "/v1/devices/two%20words", None, None, 404, NO_DEVICE),
    ("PUT", "/v1/devices/nosuch", {"name": "x"}, None, 404, NO_DEVICE),
    ("PUT", "/v1/devices/nosuch/ping", None, None, 404, NO_DEVICE),
    ("DELETE", "/v1/devices/nosuch", None, None, 404, NO_DEVICE),
    ("POST", "/v1/devices/nosuch/mix", {"arg": "x"}, None, 404, NO_DEVICE),
    ("GET", f"/v1/devices/{FOREIGN}", None, None, 403, NOT_YOURS),
    ("PUT", f"/v1/devices/{FOREIGN}", {"name": "x"}, None, 403, NOT_YOURS),
    ("PUT", f"/v1/devices/{FOREIGN}", {"signal": "1"}, None, 403, NOT_YOURS),
    ("DELETE", f"/v1/devices/{FOREIGN}", {}, None, 403, NOT_YOURS),
    ("POST", f"/v1/devices/{FOREIGN}/mix", {"arg": "x"}, None, 403, NOT_YOURS),
    ("GET", f"/v1/devices/{FOREIGN}/temperature", None, None, 403, NOT_YOURS),
    ("GET", "/v1/devices/attic", None, None, 404, NO_DEVICE),  # another's name is no name of mine
    # what a device has, and that it answers
    ("POST", KITCHEN + "/brew", {"arg": "x"}, None, 404, {"ok": False, "error": "Function brew not found"}),
    ("GET", KITCHEN + "/brew", None, None, 404, {"ok": False, "error": "Variable not found"}),
    ("POST", KITCHEN + "/digitalread", {"arg": "x" * 1025}, None, 400, BAD),
    ("POST", KITCHEN + "/digitalread", {"arg": 5}, None, 400, BAD),
    ("PUT", "/v1/devices/cellar", {"signal": "1"}, None, 408, {"ok": False, "error": "Timed out."}),
    ("POST", "/v1/diagnostics/cellar/update", None, None, 408, {"ok": False, "error": "Timed out."}),
    *[("POST", f"{KITCHEN}/{word}", {"arg": "x"}, None, 404, {"ok": False}) for word in ("events", "owner", "unprotect", "docs")],
    # names
    *[("PUT", KITCHEN, {"name": name}, None, 400, BAD)
      for name in ("", "two words", "x" * 65, "ümlaut", "a/b", "0123456789abcdef01234567", "cellar", None, 5)],
    ("PUT", KITCHEN, {}, None, 400, {"ok": False, "error": "Nothing to do?"}),
    ("PUT", KITCHEN, None, None, 400, {"ok": False, "error": "Nothing to do?"}),
    ("PUT", KITCHEN, {"app": "tinker"}, None, 400, BAD),
    ("PUT", KITCHEN, {"signal": "perhaps"}, None, 400, BAD),
    ("PUT", KITCHEN, {"notes": 5}, None, 400, BAD),
    # claims
    ("POST", "/v1/devices", {"id": MISSING}, None, 404,
     {"ok": False, "errors": ["device does not exist"], "error": "device does not exist"}),
    ("POST", "/v1/devices", {"id": FOREIGN}, None, 403,
     {"ok": False, "error": "That device belongs to someone else. To request a transfer add ?request_transfer=true"}),
    ("POST", "/v1/devices", {"id": "photon"}, None, 400, BAD),
    ("POST", "/v1/devices", {"id": OURS + "0"}, None, 400, BAD),
    ("POST", "/v1/devices", {}, None, 400, BAD),
    ("GET", "/v1/serial_numbers/NOBODYHASTHIS", None, None, 404, {"ok": False, "error": "Serial number not found."}),
    ("PUT", "/v1/transfers/0123456789abcdef01234567", {"accept": True}, None, 404, {"ok": False, "error": "Transfer not found"}),
    ("PUT", "/v1/transfers/mine", {"accept": True}, None, 404, BAD),
    ("PUT", "/v1/transfers/mine", {}, None, 400, BAD),
    ("GET", "/v1/device-os/versions/6.2.0", None, None, 404, BAD),
    ("GET", "/v1/device-os/versions?platform_id=argon", None, None, 400, BAD),
    # keys
    ("POST", f"/v1/provisioning/{MISSING}", {"publicKey": "no key", "algorithm": "ecc"}, None, 400, BAD),
    ("POST", f"/v1/provisioning/{MISSING}", {"algorithm": "ecc"}, None, 400, BAD),
    ("POST", "/v1/provisioning/kitchen", {"publicKey": "x"}, None, 400, BAD),
    # bodies and paths
    ("POST", KITCHEN + "/mix", '{"arg":', "application/json", 400, BAD),
    ("POST", KITCHEN + "/mix", "[1]", "application/json", 400, BAD),
    ("POST", KITCHEN + "/mix", "hello", "text/plain", 400, BAD),
    ("PUT", KITCHEN, "x" * 70000, "application/json", 413, BAD),
    ("GET", "/v1/nothing/here", None, None, 404, BAD),
    ("GET", "/v1//devices", None, None, 404, BAD),
    ("GET", "/v1/devices/%zz", None, None, 400, BAD),
    ("POST", KITCHEN, {}, None, 405, BAD),
    # known to clients, not offered
    ("POST", "/v1/binaries", {}, None, 501, {"ok": False, "error": "compile is not supported by this server"}),
    ("GET", "/v1/binaries/0123456789abcdef01234567", None, None, 501, {"error": "compile is not supported by this server"}),
    ("GET", "/v1/libraries", None, None, 501, {"error": "libraries are not supported by this server"}),
    ("GET", "/v1/libraries/neopixel", None, None, 501, BAD),
]


def case_name(case):
    return f"{case[0]} {case[1]} {str(case[2])[:40]}"


@pytest.mark.parametrize("case", REQUESTS + ERRORS, ids=case_name)
def test_answer(world, case):
    method, path, body, content_type, status, expected = case
    answer = ask(world.ana, method, path, iter(body) if isinstance(body, list) else body, content_type)
    if isinstance(expected, dict) and expected.get("requires_deep_update", ...) is None:
        expected = {key: value for key, value in expected.items() if key != "requires_deep_update"}
        assert "requires_deep_update" not in answer.json, "true or absent"
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert fits(expected, answer.json), answer.text
    assert "access token" not in answer.text.lower(), "the words make clients forget who is logged in"


@pytest.mark.parametrize("path", [KITCHEN, "/v1/devices", KITCHEN + "/temperature", "/health", "/v1/device-os/versions"])
def test_head_is_get_without_a_body(world, path):
    got, head = world.ana.get(path), world.ana.request("HEAD", path)
    assert head.status == got.status == 200 and head.body == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/v1/devices", KITCHEN, "/oauth/token", "/no/such/path", "/v1/firmware"])
def test_browsers_may_ask_from_any_page(world, path):
    answer = world.cyand.anonymous().request("OPTIONS", path, headers={
        "Origin": "https://example.org", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, PATCH, DELETE, OPTIONS"
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"Authorization", "Content-Type", "Accept", "X-Requested-With", "X-Particle-Tool", "X-Particle-Project"} <= allowed
    assert answer.headers["Access-Control-Max-Age"] == "300"


def test_a_wrong_method_names_the_right_ones(world):
    answer = world.ana.request("PATCH", KITCHEN)
    assert answer.status == 405
    assert {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} == {name.strip() for name in answer.headers["Allow"].split(",")}


# --- the token ---

def test_the_token_is_found_wherever_clients_put_it(world):
    token, anonymous = world.ana.token, world.cyand.anonymous()
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert anonymous.get(KITCHEN, headers={"Authorization": f"{scheme} {token}"}).status == 200
    assert anonymous.get(f"{KITCHEN}?access_token={token}").status == 200
    form = anonymous.post(KITCHEN + "/mix", form={"access_token": token, "arg": "x"})
    assert form.status == 200, form
    assert anonymous.post(KITCHEN + "/mix", {"access_token": token, "args": "x"}).json == form.json
    assert world.swarm.notices[-1]["argument"] == "x", "the token is not for the device"
    assert anonymous.request("DELETE", "/v1/devices/nosuch", form={"access_token": token}).status == 404
    # the header counts before the query, and the query before the body
    assert anonymous.get(f"{KITCHEN}?access_token=no", headers={"Authorization": f"Bearer {token}"}).status == 200
    assert anonymous.get(f"{KITCHEN}?access_token={token}", headers={"Authorization": "Bearer no"}).status == 401
    assert anonymous.post(f"{KITCHEN}/mix?access_token={token}", form={"access_token": "no"}).status == 200


def test_without_a_good_token_clients_are_told_in_words_they_know(world):
    anonymous = world.cyand.anonymous()
    for path in (KITCHEN, "/v1/devices", "/v1/transfers", "/v1/device-os/versions"):
        none = anonymous.get(path)
        assert (none.status, none.json["error"]) == (400, "invalid_request")
        assert none.json["error_description"] == "The access token was not found"
        bad = anonymous.with_token("0" * 40).get(path)
        assert (bad.status, bad.json["error"]) == (401, "invalid_token")
        assert bad.json["error_description"] == "The access token provided is invalid."
    assert anonymous.with_token("x" * 129).get(KITCHEN).status == 401
    assert anonymous.get(KITCHEN, headers={"Authorization": f"Basic {world.ana.token}"}).status == 400


def test_holding_a_token_is_the_right_to_end_it(world):
    token = world.cyand.create_token("owner", "ana")
    anonymous = world.cyand.anonymous()
    assert anonymous.delete(f"/v1/access_tokens/{token}").json == {"ok": True}
    unknown = anonymous.delete(f"/v1/access_tokens/{token}")
    assert (unknown.status, unknown.json) == (404, {"ok": False, "error": "token not found"})
    assert anonymous.with_token(token).get("/v1/devices").status == 401


# --- raw values ---

def test_raw_is_the_bare_value(world):
    called = world.ana.post(KITCHEN + "/digitalwrite?format=raw", {"args": "D2,HIGH"})
    assert (called.text, called.headers["Content-Type"]) == ("1", "text/plain; charset=utf-8")
    assert world.ana.post(KITCHEN + "/digitalwrite", form={"args": "D2,HIGH", "format": "raw"}).text == "1"
    assert world.ana.get(KITCHEN + "/version?format=raw").text == "6200"
    assert world.ana.get(KITCHEN + "/temperature?format=raw").text == "20.0625"
    assert world.ana.get(KITCHEN + "/flag?format=raw").text in ("true", "false")
    assert world.ana.get(KITCHEN + "/nosuch?format=raw").json["error"] == "Variable not found"


# --- what needs no token ---

def test_servers_that_ask_whether_we_are_there_get_an_answer(world):
    anonymous = world.cyand.anonymous()
    assert anonymous.get("/server/health").json["ok"] is True
    echo = anonymous.post("/v1/ping", {"hello": "there", "n": 1})
    assert echo.status == 200 and fits({"hello": "there", "n": 1, "serverPayload": int}, echo.json), echo
    assert anonymous.post("/v1/ping", form={"hello": "there"}).json["hello"] == "there"
    assert anonymous.post("/v1/ping").status == 200


# --- sources ---

def test_sources_are_not_compiled_however_many_there_are(world):
    refused = "compile is not supported by this server"
    one = world.ana.upload(KITCHEN, b"void setup() {}", "blink.ino", method="PUT", chunk_bytes=7)
    assert (one.status, one.json["error"]) == (501, refused)
    boundary = "0123456789"
    parts = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
                     f"Content-Type: application/octet-stream\r\n\r\n".encode() + data + b"\r\n"
                     for field, name, data in (("file", "src/main.cpp", b"x" * 90000), ("file2", "lib.h", b"y" * 90000)))
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    body = parts + f"--{boundary}--\r\n".encode()
    for method, path in (("PUT", KITCHEN), ("POST", "/v1/binaries")):
        chunks = iter([body[i:i + 8192] for i in range(0, len(body), 8192)])
        several = world.ana.request(method, path, body=chunks, headers=headers)
        assert (several.status, several.json["error"]) == (501, refused), several
    two = parts.replace(b"src/main.cpp", b"one.bin").replace(b"lib.h", b"two.bin") + f"--{boundary}--\r\n".encode()
    assert world.ana.request("PUT", KITCHEN, body=two, headers=headers).status == 400


# --- keys ---

def test_a_key_is_taken_as_the_command_line_and_the_library_send_it(world, tmp_path):
    key = Key(tmp_path, "device")
    device = new_device_id()
    sent = {"deviceID": device, "publicKey": key.public_pem, "algorithm": "ecc", "filename": "cli", "order": "manual_1"}
    first = world.ana.request("POST", f"/v1/provisioning/{device}", form=sent)
    assert first.status == 200 and first.json["id"] == device and "error" not in first.json, first
    assert world.ana.post(f"/v1/provisioning/{device}", sent).status == 200
    other = new_device_id()
    taken = world.bob.request("POST", f"/v1/provisioning/{other}", form={**sent, "deviceID": other})
    assert taken.status == 409 and taken.json["ok"] is False, taken
    assert world.bob.post(f"/v1/provisioning/{device}", sent).status == 403
