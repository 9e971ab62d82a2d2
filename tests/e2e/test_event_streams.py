"""Event streams: what devices, people and the server publish reaches everybody who reads it, on any node, once and in order."""

import json
import pathlib
import re
import subprocess
import signal

import pytest

from harness import paths
from harness.keys import new_device_id
from harness.streams import Stream
from harness.waiting import wait_until

BORON = 13


@pytest.fixture
def listen():
    """Call it with (rest, path) to read a stream; every one is closed at the end."""
    made = []

    def make(rest, path, **options):
        stream = Stream(rest, path, **options)
        made.append(stream)
        return stream

    yield make
    for stream in made:
        stream.close()


def make_devices(count):
    return [{"id": new_device_id(), "platform": BORON, "system_version": 6200} for _ in range(count)]


def ids(devices):
    return [device["id"] for device in devices]


def claim(rest, devices):
    for device in devices:
        rest.ok("POST", "/v1/devices", {"id": device})


def publish(rest, name, data="x", **fields):
    rest.ok("POST", "/v1/devices/events", {"name": name, "data": data, **fields})


def make_product(cyand, owner, members=()):
    """A product by SQL, with one viewer besides its owner."""
    cyand.query(f"INSERT INTO product (id, slug, name, platform_id, owner_id) SELECT 1234, 'lamps', 'Lamps', {BORON}, id"
                f" FROM users WHERE name = '{owner}'")
    for member in members:
        cyand.query(f"INSERT INTO product_member SELECT 1234, id, 'view' FROM users WHERE name = '{member}'")


def test_first_bytes_come_at_once_and_an_event_looks_as_clients_read_it(cyand, new_swarm, listen):
    swarm = new_swarm(cyand, file=make_devices(1))
    swarm.wait_connected(1)
    joe = cyand.rest("owner", "joe")
    (device,) = swarm.online()
    claim(joe, [device])
    stream = listen(joe, "/v1/devices/events?nonce=704.77")
    assert stream.status == 200 and "Content-Type: text/event-stream; charset=utf-8" in stream.head
    assert "Cache-Control: no-cache" in stream.head and "X-Accel-Buffering: no" in stream.head
    wait_until(lambda: stream.comments == ["ok"], "the first words")
    swarm.publish(device, "demo/temp", '21 "\n\t\u00e4')
    body = stream.wait_for("demo/temp", '21 "\n\t\u00e4')
    assert set(body) == {"data", "ttl", "published_at", "coreid"}
    assert body["ttl"] == 60 and body["coreid"] == device
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["published_at"])
    publish(joe, "demo/api", "", ttl=7)
    body = stream.wait_for("demo/api", None)
    assert body["coreid"] == "api" and body["ttl"] == 7


def test_http_1_0_and_head(cyand, listen):
    joe = cyand.rest("owner", "joe")
    stream = listen(joe, "/v1/devices/events", version="1.0")
    wait_until(lambda: stream.comments == ["ok"], "the first words")
    publish(joe, "a")
    stream.wait_heard([("a", "x")])
    answer = joe.request("HEAD", "/v1/devices/events")
    assert answer.status == 200 and answer.body == b"" and answer.headers["Content-Type"].startswith("text/event-stream")


def test_silence_is_broken(new_cyand, listen):
    cyand = new_cyand(http_stream_keepalive_s=1)
    stream = listen(cyand.rest("owner", "joe"), "/v1/devices/events")
    wait_until(lambda: stream.empty_lines >= 4, "empty lines come by themselves", 60)
    assert not stream.events and not stream.broken


def test_prefixes(cyand, listen):
    joe = cyand.rest("owner", "joe")
    paths_and_heard = {
        "/v1/devices/events": ["temp", "temp/kitchen", "temp/kitchen/a b", "tempo", "other"],
        "/v1/devices/events/": ["temp", "temp/kitchen", "temp/kitchen/a b", "tempo", "other"],
        "/v1/devices/events/temp": ["temp", "temp/kitchen", "temp/kitchen/a b", "tempo"],
        "/v1/devices/events/temp/": ["temp/kitchen", "temp/kitchen/a b"],
        "/v1/devices/events/temp%2F": ["temp/kitchen", "temp/kitchen/a b"],
        "/v1/devices/events/temp/kitchen/a%20b?access=none": ["temp/kitchen/a b"],
        "/v1/devices/events/temp%2Fkitchen%2Fa b".replace(" ", "%20"): ["temp/kitchen/a b"],
        "/v1/devices/events/modules": [],
    }
    streams = {path: listen(joe, path) for path in paths_and_heard}
    for name in ["temp", "temp/kitchen", "temp/kitchen/a b", "tempo", "other"]:
        publish(joe, name)
    for path, names in paths_and_heard.items():
        streams[path].wait_heard([(name, "x") for name in names])
    assert joe.get("/v1/devices/events/" + "x" * 65).status == 400
    assert joe.get("/v1/devices/events/%zz").status == 400
    assert listen(joe, "/v1/devices/events/" + "a/" * 32).status == 200


def test_who_hears_what(cyand, new_swarm, listen):
    mine, foreign, nobodys = make_devices(2), make_devices(1), make_devices(1)
    swarm = new_swarm(cyand, file=mine + foreign + nobodys)
    swarm.wait_connected(4)
    joe, ann, boss = cyand.rest("owner", "joe"), cyand.rest("owner", "ann"), cyand.rest("operator", "boss")
    claim(joe, ids(mine))
    claim(ann, ids(foreign))
    first, second = ids(mine)
    joe.ok("PUT", f"/v1/devices/{first}", {"name": "kitchen"})
    streams = {
        "joe": listen(joe, "/v1/devices/events/demo"),
        "joe's kitchen": listen(joe, "/v1/devices/kitchen/events/demo"),
        "joe's second": listen(joe, f"/v1/devices/{second.upper()}/events/demo"),
        "joe, all": listen(joe, "/v1/events/demo"),
        "ann": listen(ann, "/v1/devices/events/demo"),
        "ann, all": listen(ann, "/v1/events/demo"),
        "boss, nobody's": listen(boss, f"/v1/devices/{nobodys[0]['id']}/events/demo"),
    }
    swarm.publish(first, "demo/1", "a")  # Device OS from 5 on publishes private events
    swarm.publish(second, "demo/2", "b")
    swarm.publish(foreign[0]["id"], "demo/3", "c")
    swarm.publish(nobodys[0]["id"], "demo/4", "d")
    publish(joe, "demo/5", "e")
    publish(ann, "demo/6", "f", private=False)
    publish(joe, "demo/7", "g", private="false")
    wanted = {
        "joe": "1257", "joe's kitchen": "1", "joe's second": "2", "joe, all": "12567", "ann": "36", "ann, all": "367",
        "boss, nobody's": "4",
    }
    for who, numbers in wanted.items():
        streams[who].wait_heard([(f"demo/{n}", "abcdefg"[int(n) - 1]) for n in numbers])


def test_refusals_are_json(cyand, listen):
    joe, ann = cyand.rest("owner", "joe"), cyand.rest("owner", "ann")
    device = new_device_id()
    cyand.query(f"INSERT INTO device (id, owner_id) SELECT decode('{device}', 'hex'), id FROM users WHERE name = 'ann'")
    for path, status, error in [
            (f"/v1/devices/{device}/events", 403, "Permission Denied"),
            (f"/v1/devices/{new_device_id()}/events/a", 404, "Device not found."),
            ("/v1/devices/kitchen/events", 404, "Device not found."),
            ("/v1/events", 400, "event prefix filter is required"),
            ("/v1/events/", 400, "event prefix filter is required"),
            ("/v1/products/4711/events", 404, "Product not found")]:
        stream = listen(joe, path)
        assert (stream.status, stream.error["error"]) == (status, error), path
    assert listen(joe.with_token("0" * 40), "/v1/devices/events").error["error"] == "invalid_token"
    assert listen(ann, f"/v1/devices/{device}/events").status == 200


def test_products(cyand, new_swarm, listen):
    devices = make_devices(2)
    swarm = new_swarm(cyand, file=devices)
    swarm.wait_connected(2)
    inside, outside = ids(devices)
    boss, viewer, joe = cyand.rest("owner", "boss"), cyand.rest("owner", "viewer"), cyand.rest("owner", "joe")
    make_product(cyand, "boss", ["viewer"])
    claim(joe, [inside, outside])
    cyand.query(f"UPDATE device SET in_product = 1234 WHERE id = decode('{inside}', 'hex')")
    streams = [listen(who, f"/v1/products/{which}/events/demo") for who, which in [(boss, "lamps"), (viewer, "1234")]]
    of_device = listen(viewer, f"/v1/products/lamps/devices/{inside}/events/demo")
    mine = listen(boss, "/v1/devices/events/demo")
    assert listen(joe, "/v1/products/lamps/events").status == 403
    assert listen(viewer, f"/v1/products/lamps/devices/{outside}/events").status == 404
    first = len(swarm.notices)
    swarm.publish(inside, "demo/in", "1")
    swarm.publish(outside, "demo/out", "2")
    boss.ok("POST", "/v1/products/lamps/events", form={"name": "demo/all", "data": "3", "private": "true"})
    assert viewer.post("/v1/products/lamps/events", {"name": "demo/no"}).status == 403
    assert joe.post("/v1/products/lamps/events", {"name": "demo/no"}).status == 403
    assert boss.post("/v1/products/lambs/events", {"name": "demo/no"}).status == 404
    for stream in streams:
        stream.wait_heard([("demo/in", "1"), ("demo/all", "3")])
        body = stream.events[0][1]
        assert body["productID"] == 1234 and body["public"] is False and body["userid"].isdigit()
        assert stream.events[1][1]["coreid"] == "api"
    of_device.wait_heard([("demo/in", "1")])
    mine.wait_heard([("demo/all", "3")])
    # a device of the product that subscribed gets what is published to the product; others of its owner do not
    swarm.wait_notice("received", inside, lambda n: n["name"] == "demo/all", first)
    assert not [n for n in swarm.notices[first:] if n["event"] == "received" and n["device"] == outside and n["name"] == "demo/all"]


def test_the_server_tells_of_devices(cyand, new_swarm, listen):
    device = make_devices(1)
    joe = cyand.rest("owner", "joe")
    cyand.query(f"INSERT INTO device (id, owner_id) SELECT decode('{device[0]['id']}', 'hex'), id FROM users WHERE name = 'joe'")
    stream = listen(joe, f"/v1/devices/{device[0]['id']}/events")
    swarm = new_swarm(cyand, file=device)
    swarm.wait_connected(1)
    stream.wait_for("spark/status", "online")
    stream.wait_for("particle/device/updates/enabled", "true")
    swarm.command("goodbye", device[0]["id"])
    stream.wait_for("spark/status", "offline")
    swarm.command("reboot", device[0]["id"])
    wait_until(lambda: [data for name, data in stream.heard() if name == "spark/status"] == ["online", "offline", "online"],
               lambda: f"status as it was: {stream.heard()}", 60)


def test_what_is_said_of_quarantined_devices_reaches_nobody(new_cyand, new_swarm, listen):
    cyand = new_cyand(devices_unknown="quarantine")
    boss = cyand.rest("operator", "boss")
    swarm = new_swarm(cyand, file=make_devices(1), enrol=False)
    swarm.wait_connected(1)
    (device,) = swarm.online()
    wait_until(lambda: cyand.query("SELECT count(*) FROM device WHERE quarantined") == [["1"]], "it is known")
    stream = listen(boss, f"/v1/devices/{device}/events")
    public = listen(boss, "/v1/events/demo")
    swarm.command("event", device, name="demo/q", data="1")
    publish(boss, "demo/end", "2", private=False)
    public.wait_heard([("demo/end", "2")])
    assert stream.heard() == []


def test_streams_end_with_the_token_and_with_the_device(cyand, listen):
    joe = cyand.rest("owner", "joe")
    other = cyand.rest("owner", "joe")
    device = new_device_id()
    cyand.query(f"INSERT INTO device (id, owner_id) SELECT decode('{device}', 'hex'), id FROM users WHERE name = 'joe'")
    revoked, kept = listen(joe, "/v1/devices/events"), listen(other, "/v1/devices/events")
    of_device = listen(other, f"/v1/devices/{device}/events")
    joe.ok("DELETE", "/v1/access_tokens/current")
    revoked.wait_end()
    assert revoked.ended and revoked.comments == ["ok", "the token is no longer valid"]
    other.ok("DELETE", f"/v1/devices/{device}")
    of_device.wait_end()
    assert of_device.ended and of_device.comments == ["ok", "this is not yours any more"]
    publish(other, "demo/still", "1")
    kept.wait_for("demo/still", "1")
    assert cyand.metrics().sum("cyan_streams_ended_total", reason="rights") == 1


def test_streams_end_when_the_server_stops(new_cyand, listen):
    cyand = new_cyand()
    stream = listen(cyand.rest("owner", "joe"), "/v1/devices/events")
    wait_until(lambda: stream.comments == ["ok"], "the first words")
    assert cyand.stop() == 0
    stream.wait_end()
    assert stream.ended and stream.comments == ["ok", "the server is shutting down"]


def test_limits(new_cyand, listen):
    cyand = new_cyand(http_streams=3, http_streams_per_address=2)
    joe = cyand.rest("owner", "joe")
    first = listen(joe, "/v1/devices/events")
    assert listen(joe, "/v1/devices/events").status == 200
    third = listen(joe, "/v1/devices/events")
    assert third.status == 429 and "Retry-After: 10" in third.head and third.error["ok"] is False
    first.close()
    publish(joe, "a")  # what is written to it shows that it is gone
    publish(joe, "b")
    wait_until(lambda: cyand.metrics().sum("cyan_streams") < 2 or publish(joe, "again"), "its place is free")
    assert listen(joe, "/v1/devices/events").status == 200
    cyand.settings.update(http_streams=1, http_streams_per_address=0)
    cyand.stop()
    cyand.start()
    joe.port = cyand.http_port
    assert listen(joe, "/v1/devices/events").status == 200
    assert listen(joe, "/v1/devices/events").status == 503


def test_who_does_not_read_is_cut_and_harms_nobody(new_cyand, listen):
    cyand = new_cyand(http_stream_lag_kib=64)
    joe = cyand.rest("owner", "joe")
    stalled = listen(joe, "/v1/devices/events", receive_bytes=4096, reading=False)
    reader = listen(joe, "/v1/devices/events")
    sent = []
    while not cyand.metrics().sum("cyan_streams_ended_total", reason="slow"):
        assert len(sent) < 5000, "a reader that does not read is cut"
        for _ in range(100):
            sent.append(("load", f"{len(sent)} " + "x" * 900))
            publish(joe, *sent[-1])
    reader.wait_heard(sent, 60)
    stalled.start_reading()
    stalled.wait_end()
    assert stalled.broken or stalled.comments == ["ok", "too slow: events were left out"]
    assert stalled.heard() == sent[:len(stalled.events)] and len(stalled.events) < len(sent)
    assert cyand.log_lines(r"stream\.ended serial=1 why=slow")
    wait_until(lambda: cyand.metrics().sum("cyan_stream_held_bytes") <= 65536, "nothing is kept for it")


def count_up(swarm, devices, first, last):
    for n in range(first, last):
        for device in devices:
            swarm.command("event", device, name="demo/count", data=f"{device}:{n}")


def counted(stream):
    """For each device, what it counted, in the order it came."""
    found = {}
    for name, data in stream.heard():
        if name == "demo/count":
            device, _, n = data.partition(":")
            found.setdefault(device, []).append(int(n))
    return found


@pytest.fixture
def nodes(new_cyand, redis):
    first = new_cyand(node_id=0, node_lease_s=3, **redis.settings)
    return [first, new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **redis.settings)]


def test_two_nodes_each_event_once_and_in_order(nodes, new_swarm, listen):
    swarms = [new_swarm(node, file=make_devices(4)) for node in nodes]
    for swarm in swarms:
        swarm.wait_connected(4)
    devices = [swarm.online() for swarm in swarms]
    joe = [nodes[0].rest("owner", "joe")]
    joe.append(nodes[1].rest("owner", "joe"))
    claim(joe[0], devices[0] + devices[1])
    streams = [listen(joe[n % 2], "/v1/devices/events/demo") for n in range(4)]
    single = listen(joe[1], f"/v1/devices/{devices[0][0]}/events")
    for n in range(0, 60, 10):
        for swarm, those in zip(swarms, devices):
            count_up(swarm, those, n, n + 10)
    publish(joe[1], "demo/end", "1")
    expected = {device: list(range(60)) for device in devices[0] + devices[1]}
    for stream in streams:
        wait_until(lambda: counted(stream) == expected or any(len(c) > 60 for c in counted(stream).values()),
                   lambda: f"every event once and in order: {counted(stream)}", 60)
        assert counted(stream) == expected
        stream.wait_for("demo/end", "1")
    wait_until(lambda: counted(single) == {devices[0][0]: list(range(60))}, lambda: f"{counted(single)}")


def test_what_was_published_outlives_the_node_and_redis(new_cyand, own_redis, new_swarm, listen):
    """What a node acknowledged before it is killed reaches those who read on another, without Redis too."""
    settings = own_redis.space("s:").settings
    first = new_cyand(node_id=0, node_lease_s=3, **settings)
    second = new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **settings)
    swarm = new_swarm(first, file=make_devices(2))
    swarm.wait_connected(2)
    joe = second.rest("owner", "joe")
    devices = swarm.online()
    claim(joe, devices)
    stream = listen(joe, "/v1/devices/events/demo")
    own_redis.stop()
    for n in range(20):
        for device in devices:
            swarm.publish(device, "demo/count", f"{device}:{n}")  # acknowledged, so stored
    first.kill()
    expected = {device: list(range(20)) for device in devices}
    wait_until(lambda: counted(stream) == expected, lambda: f"all that was acknowledged: {counted(stream)}", 30)
    publish(joe, "demo/end", "1")
    stream.wait_for("demo/end", "1")
    assert counted(stream) == expected


def test_postgres_away_and_back(new_cyand, own_postgres, listen):
    from conftest import migrated_database
    cyand = new_cyand(cluster=own_postgres, database=migrated_database(own_postgres))
    joe = cyand.rest("owner", "joe")
    stream = listen(joe, "/v1/devices/events")
    publish(joe, "before", "1")
    stream.wait_heard([("before", "1")])
    own_postgres.kill()
    assert joe.post("/v1/devices/events", {"name": "during"}).status == 503
    own_postgres.start()
    wait_until(lambda: joe.post("/v1/devices/events", {"name": "after", "data": "2"}).status == 200, "it is back", 60)
    stream.wait_for("after", "2")
    assert stream.heard()[0] == ("before", "1") and not stream.broken
