"""A person calls functions, reads variables and blinks a device; the device itself answers."""

import threading
import time

import pytest

from harness.keys import new_device_id
from harness.waiting import wait_until

CORE, PHOTON, ELECTRON, BORON, P2 = 0, 6, 10, 13, 32


@pytest.fixture
def boron(cyand, new_swarm):
    device = "e00fce68" + new_device_id()[8:22] + "40"  # its temperature follows from the last byte
    swarm = new_swarm(cyand, file=[{"id": device, "name": "kitchen", "platform": BORON, "system_version": 6200}])
    swarm.wait_connected(1)
    return device, swarm


def test_every_generation_answers(cyand, new_swarm):
    devices = [{"id": new_device_id(), "platform": platform, "system_version": version}
               for platform, version in [(CORE, 1406), (PHOTON, 2302), (ELECTRON, 1213), (BORON, 3302), (BORON, 6200), (P2, 5501)]]
    swarm = new_swarm(cyand, file=devices)
    swarm.wait_connected(len(devices))
    rest = cyand.rest()
    for device in devices:  # some of them describe themselves only when they are asked
        wait_until(lambda d=device: "digitalwrite" in rest.device(d["id"])["functions"], "it is described")
    for device in devices:
        path = f"/v1/devices/{device['id']}"
        assert rest.ok("POST", path + "/digitalwrite", {"args": "D7,HIGH"})["return_value"] == 1
        assert rest.ok("POST", path + "/digitalread", {"arg": "D7"})["return_value"] == 1
        assert rest.ok("POST", path + "/digitalread")["return_value"] == -1, "without argument"
        temperature = rest.ok("GET", path + "/temperature")["result"]
        assert temperature == 20 + int(device["id"][-2:], 16) / 16
        assert rest.ok("GET", path + "/version")["result"] == str(device["system_version"])
        assert isinstance(rest.ok("GET", path + "/counter")["result"], int)
        assert rest.ok("PUT", path, {"signal": "1"}) == {"id": device["id"], "connected": True, "signaling": True}
    assert swarm.finish()["protocol_errors"] == {}


def test_answers_have_the_shape_clients_need(cyand, boron):
    device, swarm = boron
    rest = cyand.rest()
    called = rest.ok("POST", "/v1/devices/kitchen/digitalwrite", form={"arg": "D0,HIGH"})
    assert called == {"id": device, "name": "kitchen", "last_app": None, "connected": True, "return_value": 1}
    assert rest.post("/v1/devices/kitchen/digitalread", form={"args": "D0", "format": "raw"}).text == "1"
    notice = swarm.wait_notice("function", device, lambda n: n["name"] == "digitalwrite")
    assert notice["argument"] == "D0,HIGH"

    read = rest.ok("GET", "/v1/devices/kitchen/flag")
    assert (read["cmd"], read["name"], read["result"]) == ("VarReturn", "flag", True)
    assert read["coreInfo"]["deviceID"] == device and read["coreInfo"]["connected"] is True
    assert read["coreInfo"]["last_heard"].endswith("Z")
    raw = rest.get("/v1/devices/kitchen/temperature?format=raw")
    assert raw.text == "24" or raw.text == "24.0"
    assert raw.headers["Content-Type"].startswith("text/plain")

    rest.ok("PUT", "/v1/devices/kitchen", {"signal": 0})
    assert swarm.wait_notice("signal", device)["on"] is False


def test_what_is_not_there_is_404_and_what_is_silent_408(cyand, boron):
    device, swarm = boron
    rest = cyand.rest()
    unknown = rest.post("/v1/devices/kitchen/brew", form={"arg": "tea"})
    assert (unknown.status, unknown.json["error"]) == (404, "Function brew not found")
    unknown = rest.get("/v1/devices/kitchen/brew")
    assert (unknown.status, unknown.json["error"]) == (404, "Variable not found")
    too_long = rest.post("/v1/devices/kitchen/digitalwrite", form={"arg": "x" * 1025})
    assert too_long.status == 400

    # gone without a word: nobody answers, and that takes the whole time
    swarm.close()
    began = time.monotonic()
    answer = rest.post("/v1/devices/kitchen/digitalread", form={"arg": "D0"})
    assert (answer.status, answer.json["error"]) == (408, "Timed out.")
    assert 28 < time.monotonic() - began < 40


def test_a_device_that_never_came_is_408_at_once(cyand):
    rest = cyand.rest()
    device = new_device_id()
    rest.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": "00" * 16})
    began = time.monotonic()
    assert rest.ok("PUT", f"/v1/devices/{device}/ping") == {"online": False, "ok": True}
    assert rest.put(f"/v1/devices/{device}", {"signal": 1}).status == 408
    assert rest.post(f"/v1/diagnostics/{device}/update").status == 408
    assert time.monotonic() - began < 5


def test_vitals_are_fetched_when_asked_for(cyand, boron, postgres, database):
    device, _ = boron
    assert cyand.rest().post(f"/v1/diagnostics/{device}/update").status == 202
    wait_until(lambda: postgres.query("SELECT count(*) FROM device_vitals", database) != "0", "the vitals are stored")


def test_many_people_at_once(cyand, boron):
    """A device runs one function at a time; who cannot wait for a turn is told so."""
    device, _ = boron
    rest = cyand.rest()
    answers = []

    def call():
        answers.append(rest.post("/v1/devices/kitchen/analogread", form={"arg": "A0"}))

    callers = [threading.Thread(target=call) for _ in range(40)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert {a.status for a in answers} <= {200, 429}
    done = [a for a in answers if a.status == 200]
    assert len(done) >= 9 and len({a.json["return_value"] for a in done}) == 1
    assert all(a.headers["Retry-After"] == "1" for a in answers if a.status == 429)


def test_the_only_node_names_itself(cyand, boron):
    (node,) = cyand.rest().ok("GET", "/v1/nodes")["nodes"]
    assert node["alive"] is True and node["online"] == 1 and node["sessions"] >= 1 and node["pid"] > 0
