"""particle-cli as it comes from npm, the current one and the last of the older kind, against cyand with devices behind it."""

import json
import re

import pytest

from harness.cyand import Cyand
from harness.firmware import BORON, module
from harness.keys import Key, new_device_id
from harness.npm import ParticleCli, installed
from harness.swarm import Swarm, mixed_value
from harness.updates import QUICK
from harness.waiting import wait_until

KITCHEN, GARDEN = "e00fce68aaaaaaaaaaaaaa01", "e00fce68aaaaaaaaaaaaaa02"
PASSWORD = "correct horse battery"
NEW, OLD = "particle-cli", "particle-cli-old"


class World:
    """Ana's `kitchen` (a Boron) and `garden` (a P2) are online."""

    def __init__(self, cyand, swarm):
        self.cyand, self.swarm = cyand, swarm
        self.url = f"http://127.0.0.1:{cyand.http_port}"
        cyand.command("user", "add", "ana", "--role", "owner", typed=PASSWORD + "\n")
        self.ana = cyand.rest("owner", "ana")
        for device, name in ((KITCHEN, "kitchen"), (GARDEN, "garden")):
            self.ana.ok("POST", "/v1/devices", {"id": device})
            self.ana.ok("PUT", f"/v1/devices/{device}", {"name": name})

    def cli(self, folder, package=NEW, logged_in=True):
        return ParticleCli(folder / "home", self.url, package, token=self.cyand.create_token("owner", "ana") if logged_in else None)

    def enrol(self):
        """A device that nobody owns."""
        device = new_device_id()
        self.cyand.command("device", "add", device, "--psk", "00" * 16)
        return device


@pytest.fixture(scope="module")
def world(postgres, migrated, tmp_path_factory):
    installed()
    cyand = Cyand(postgres, postgres.create_database(template=migrated), **QUICK).start()
    try:
        swarm = Swarm(cyand, tmp_path_factory.mktemp("cli") / "swarm", time_scale=0.2, file=[
            {"id": KITCHEN, "platform": "boron", "system_version": 6200},
            {"id": GARDEN, "platform": "p2", "system_version": 6200}])
        try:
            swarm.wait_connected(2)
            for device in (KITCHEN, GARDEN):
                wait_until(lambda d=device: "mix" in cyand.rest().device(d)["functions"], "it is described")
            yield World(cyand, swarm)
        finally:
            swarm.close()
    finally:
        cyand.close()


both = pytest.mark.parametrize("package", [NEW, OLD])


@both
def test_logging_in_and_out(world, tmp_path, package):
    cli = world.cli(tmp_path, package, logged_in=False)
    cli.refused("login", "--username", "ana", "--password", "wrong", says="error logging you in")
    assert "access_token" not in cli.settings()
    assert "Successfully completed login!" in cli.ok("login", "--username", "ana", "--password", PASSWORD).out
    token = cli.settings()["access_token"]
    assert re.fullmatch(r"[0-9a-f]{40}", token)
    assert world.ana.with_token(token).get("/v1/devices").status == 200
    assert "ana" in cli.ok("whoami").out
    assert "logged out" in cli.ok("logout").out
    assert not cli.settings().get("access_token")
    assert world.ana.with_token(token).get("/v1/devices").status == 401
    assert cli.run("list").code != 0


def test_logging_in_with_a_token(world, tmp_path):
    cli = world.cli(tmp_path, logged_in=False)
    cli.refused("login", "--token", "0" * 40, says="error logging you in")
    token = world.cyand.create_token("owner", "ana")
    assert "Successfully completed login!" in cli.ok("login", "--token", token).out
    assert "ana" in cli.ok("whoami").out
    assert "kitchen" in cli.ok("list").out


@both
def test_a_token_is_made_and_ended(world, tmp_path, package):
    cli = world.cli(tmp_path, package, logged_in=False)
    cli.ok("login", "--username", "ana", "--password", PASSWORD)
    made = cli.at_terminal("token", "create", answers=[("enter your password", PASSWORD)])
    assert made.code == 0 and "New access token expires on" in made.out, made
    token = re.search(r"^ +([0-9a-f]{40})", made.out, re.MULTILINE).group(1)
    assert world.ana.with_token(token).get("/v1/devices").status == 200
    ended = cli.ok("token", "revoke", token)
    assert "Successfully revoked all provided tokens" in ended.out, ended
    assert world.ana.with_token(token).get("/v1/devices").status == 401
    assert "Failed to revoke" in cli.run("token", "revoke", token).err


@both
def test_devices_are_listed(world, tmp_path, package):
    listed = world.cli(tmp_path, package).ok("list").out
    assert f"kitchen [{KITCHEN}] (Boron) is online" in listed
    assert f"garden [{GARDEN}] (Photon 2 / P2) is online" in listed
    assert "aDouble (double)" in listed and "int mix (String args)" in listed


@both
def test_a_device_is_added_renamed_and_removed(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    device = world.enrol()
    assert f"Successfully claimed device {device}" in cli.ok("device", "add", device).out
    assert "Successfully renamed device" in cli.ok("device", "rename", device, "attic").out
    assert world.ana.device(device)["name"] == "attic"
    assert "Okay!" in cli.ok("device", "remove", "attic", "--yes").out
    assert world.ana.get(f"/v1/devices/{device}").status == 403
    cli.refused("device", "add", new_device_id(), says="device does not exist")
    cli.refused("device", "rename", device, "attic", says="Permission Denied")


@both
def test_functions_and_variables(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    assert cli.ok("call", "kitchen", "mix", "D7,HIGH").out.strip() == str(mixed_value(KITCHEN, "mix", "D7,HIGH"))
    assert cli.ok("call", GARDEN.upper(), "mix").out.strip() == str(mixed_value(GARDEN, "mix", ""))
    assert cli.ok("get", "kitchen", "temperature").out.strip() == "20.0625"
    cli.refused("call", "kitchen", "nosuch", "x", says="Function `nosuch` not found")
    if package == OLD:
        return
    cli.refused("call", "nosuch", "mix", "x", says="not found")
    everywhere = cli.ok("get", "all", "temperature").out
    assert f"{KITCHEN}, 20.0625" in everywhere and f"{GARDEN}, 20.125" in everywhere


def test_a_variable_is_watched(world, tmp_path):
    watching = world.cli(tmp_path).start("variable", "monitor", "kitchen", "aString", "--delay", "500")
    try:
        wait_until(lambda: len({line for line in watching.lines if line.startswith(KITCHEN + ":")}) >= 3,
                   lambda: f"three values: {watching.said()}")
    finally:
        watching.close()


@both
def test_events_go_out_and_come_in(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    listening = cli.start("subscribe", "greeting", "--max", "2")
    try:
        listening.wait_for(r"Subscribing to \"greeting\" from my")
        stream_open = f"{package}-probe"

        def hears():  # whether the stream is open by now is not printed
            world.ana.ok("POST", "/v1/devices/events", {"name": "greeting", "data": stream_open})
            return stream_open in listening.said()

        wait_until(hears, lambda: f"the stream is open: {listening.said()}", every_s=0.5)
    finally:
        listening.close()
    listening = cli.start("subscribe", f"from-{package}")
    try:
        wait_until(lambda: publish_and_look(world, listening, package), lambda: f"an event of the device: {listening.said()}",
                   every_s=0.5)
        assert f"event: from-{package}/cli" in cli.ok("publish", f"from-{package}/cli", "hello").out
        line = wait_until(lambda: next((line for line in listening.lines if "/cli" in line), None), "what was published")
        event = json.loads(line)
        assert (event["name"], event["data"]) == (f"from-{package}/cli", "hello") and event["published_at"].endswith("Z"), event
    finally:
        listening.close()


def publish_and_look(world, listening, package):
    world.swarm.publish(KITCHEN, f"from-{package}/device", "warm")
    lines = [json.loads(line) for line in listening.lines if "/device" in line]
    assert all(line["coreid"] == KITCHEN and line["data"] == "warm" for line in lines), lines
    return bool(lines)


@both
def test_a_binary_is_flashed(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    version = {NEW: 7, OLD: 8}[package]
    (tmp_path / "home" / "app.bin").write_bytes(module(BORON, "u", 1, version, needs=[("s", 1, 6200)], size=20_000))
    words = ("flash", "kitchen") if package == NEW else ("cloud", "flash", "kitchen")
    assert "Flash success!" in cli.ok(*words, "app.bin").out
    wait_until(lambda: world.swarm.runs(KITCHEN).get("u1") == version, lambda: f"it runs it: {world.swarm.runs(KITCHEN)}")
    wait_until(lambda: world.ana.ok("GET", f"/v1/devices/{KITCHEN}/updates")["updates"][0]["state"] == "succeeded", "it is proved")
    wait_until(lambda: KITCHEN in world.swarm.online(), "it is back")
    (tmp_path / "home" / "app.bin").write_bytes(b"no module binary at all" * 100)
    cli.refused(*words, "app.bin", says="Failed to flash kitchen")


def test_sources_are_not_compiled(world, tmp_path):
    cli = world.cli(tmp_path)
    project = tmp_path / "home" / "blink"
    (project / "src").mkdir(parents=True)
    (project / "project.properties").write_text("name=blink\n")
    (project / "src" / "blink.ino").write_text("void setup() {}\n")
    (project / "src" / "more.cpp").write_text("//" + "x" * 100_000 + "\n")
    refused = "compile is not supported by this server"
    cli.refused("compile", "boron", "blink", says=refused)
    cli.refused("flash", "kitchen", "blink", says=refused)


@both
def test_a_key_is_sent(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    key, device = Key(tmp_path / "home", "device"), new_device_id()
    (tmp_path / "home" / "device.pub.pem").write_text(key.public_pem)
    assert "submitting public key succeeded!" in cli.ok("keys", "send", device, "device.pub.pem").out
    assert world.ana.device(device)["id"] == device
    (tmp_path / "home" / "bad.pub.pem").write_text("no key\n")
    assert cli.run("keys", "send", device, "bad.pub.pem").code != 0


@both
def test_the_doctor_gives_a_device_new_keys(world, tmp_path, new_swarm, package):
    """From the port of a person's computer to the handshake: the device connects with the key that was written into it."""
    cli = world.cli(tmp_path, package)
    device, at, size = world.enrol(), 3106, 192  # where a Boron keeps its private key
    world.ana.ok("POST", "/v1/devices", {"id": device})
    flash = tmp_path / "home" / "flash"
    flash.write_bytes(b"\xff" * 8192)
    ran = cli.ok("keys", "doctor", device, USB_DEVICE=f"{device} boron {flash}")
    assert "Okay!  New keys in place, your device should restart." in ran.out
    written = flash.read_bytes()[at:at + size]
    secret = re.match(rb"\x30.\x02\x01\x01\x04\x20(.{32})", written, re.DOTALL).group(1)  # RFC 5915
    swarm = new_swarm(world.cyand, enrol=False, file=[{"id": device, "platform": "boron", "system_version": 6200,
                                                       "private_key": secret.hex()}])
    swarm.wait_connected(1)
    wait_until(lambda: world.ana.device(device)["connected"], "the server has seen it")


def test_a_device_is_told_where_its_server_is(world, tmp_path):
    cli = world.cli(tmp_path)
    flash, blob = tmp_path / "home" / "flash", tmp_path / "home" / "server.der"
    flash.write_bytes(b"\xff" * 8192)
    world.cyand.command("keygen", "--export", blob, "--address", "127.0.0.1:5683")
    usb = f"{new_device_id()} boron {flash}"
    assert "New keys in place" in cli.ok("keys", "server", "server.der", USB_DEVICE=usb).out
    assert flash.read_bytes()[3298:3298 + 320] == blob.read_bytes()
    assert "127.0.0.1:5683" in cli.ok("keys", "address", USB_DEVICE=usb).out


@both
def test_a_light_is_made_to_blink(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    first = len(world.swarm.notices)
    cli.ok("nyan", "garden", "on")
    assert world.swarm.wait_notice("signal", GARDEN, first=first)["on"] is True
    cli.ok("nyan", "garden", "off")
    assert world.swarm.wait_notice("signal", GARDEN, lambda n: n["on"] is False, first)


@both
def test_devices_of_a_product(world, tmp_path, package):
    cli = world.cli(tmp_path, package)
    product = world.ana.ok2("POST", "/v1/products", {"product": {"name": f"Kettle {package}", "platform_id": BORON}})["product"]["id"]
    added = cli.ok("product", "device", "add", product, KITCHEN)
    assert "Success!" in added.out and KITCHEN in added.out
    if package == NEW:
        products_in_detail(cli, product, tmp_path / "home" / "ids.txt")
    listed = cli.ok("product", "device", "list", product).out
    assert KITCHEN in listed and GARDEN not in listed
    assert f"Success! Removed device {KITCHEN}" in cli.ok("product", "device", "remove", product, KITCHEN).out
    assert KITCHEN not in cli.ok("product", "device", "list", product).out


def products_in_detail(cli, product, ids):
    cli.refused("product", "device", "add", product, GARDEN, says="Skipped Invalid IDs")  # of another platform
    ids.write_text(f"\ufeff{KITCHEN}\r\n\r\n{new_device_id()}\n")
    several = cli.ok("product", "device", "add", product, "--file", "ids.txt").out
    assert "Success!" in several and "Skipped Invalid IDs" in several
    page = json.loads(cli.ok("product", "device", "list", product, "--json", "--limit", "1", "--name", "kit").out)
    assert [one["id"] for one in page["data"]] == [KITCHEN] and page["data"][0]["product_id"] == product, page


def test_functions_and_events_of_a_product(world, tmp_path):
    cli = world.cli(tmp_path)
    product = world.ana.ok2("POST", "/v1/products", {"product": {"name": "Stove", "platform_id": BORON}})["product"]["id"]
    world.ana.ok("POST", f"/v1/products/{product}/devices", {"id": KITCHEN})
    called = cli.ok("call", KITCHEN, "mix", "a", "--product", product)
    assert called.out.strip() == str(mixed_value(KITCHEN, "mix", "a"))
    assert cli.ok("get", KITCHEN, "temperature", "--product", product).out.strip() == "20.0625"
    assert KITCHEN in cli.ok("function", "list", "--product", product).out
    listening = cli.start("subscribe", "--product", product)
    try:
        wait_until(lambda: publish_and_look(world, listening, "product"), lambda: f"an event: {listening.said()}", every_s=0.5)
    finally:
        listening.close()
    world.ana.request("DELETE", f"/v1/products/{product}/devices/{KITCHEN}", json_body={})


@both
def test_there_are_no_integrations(world, tmp_path, package):
    words = ("integration", "list") if package == NEW else ("webhook", "list")
    assert "Found 0" in world.cli(tmp_path, package).ok(*words).out
