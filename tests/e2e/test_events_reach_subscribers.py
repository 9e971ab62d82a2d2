"""What a device or a person publishes reaches the devices that subscribed to it, on whichever node they are."""

import pytest

from harness.keys import new_device_id
from harness.waiting import wait_until

BORON, PHOTON = 13, 6  # both subscribe to `demo/` of their owner's devices


def make_devices(count, version=6200, platform=BORON):
    return [{"id": new_device_id(), "platform": platform, "system_version": version} for _ in range(count)]


def ids(devices):
    return [device["id"] for device in devices]


def claim(rest, devices):
    for device in devices:
        rest.ok("POST", "/v1/devices", {"id": device})


class Ears:
    """Which devices of a swarm have been sent an event since they were asked last."""

    def __init__(self, swarm):
        self.swarm, self.first = swarm, len(swarm.notices)

    def _heard(self):
        return sorted(n["device"] for n in self.swarm.notices[self.first:] if n["event"] == "received")

    def wait(self, devices):
        wait_until(lambda: self._heard() == sorted(devices),
                   lambda: f"it reaches {devices}, it reached {self._heard()}", 20)
        self.first = len(self.swarm.notices)


def test_an_owners_devices_hear_each_other(cyand, new_swarm):
    old, new, foreign, nobodys = (make_devices(2, 2302, PHOTON), make_devices(2), make_devices(2), make_devices(1))
    swarm = new_swarm(cyand, file=old + new + foreign + nobodys)
    swarm.wait_connected(7)
    joe, ann = cyand.rest("owner", "joe"), cyand.rest("owner", "ann")
    mine = ids(old) + ids(new)
    claim(joe, mine)
    claim(ann, ids(foreign))

    ears = Ears(swarm)
    swarm.publish(mine[0], "demo/one", "1")  # the system of old ones makes it public: no difference to these
    ears.wait(mine)
    swarm.publish(mine[3], "demo/two", "2")
    ears.wait(mine)
    swarm.publish(foreign[0]["id"], "demo/one", "3")
    ears.wait(ids(foreign))
    swarm.publish(nobodys[0]["id"], "demo/one", "4")
    ears.wait(ids(nobodys))
    swarm.publish(mine[0], "other", "5")  # nobody subscribed to it
    swarm.publish(mine[0], "spark/demo/", "6")  # nor may a device speak for the system
    swarm.publish(mine[0], "demo/last", "7")
    ears.wait(mine)

    relayed = cyand.metrics().sum("cyan_events_relayed_total")
    assert relayed == 4 + 4 + 2 + 1 + 4 and cyand.metrics().sum("cyan_events_dropped_total") == 0
    assert swarm.finish()["protocol_errors"] == {}


def test_people_publish_to_their_devices(cyand, new_swarm):
    mine, foreign = make_devices(2), make_devices(1)
    swarm = new_swarm(cyand, file=mine + foreign)
    swarm.wait_connected(3)
    joe, ann = cyand.rest("owner", "joe"), cyand.rest("owner", "ann")
    claim(joe, ids(mine))
    claim(ann, ids(foreign))
    ears = Ears(swarm)
    assert joe.ok("POST", "/v1/devices/events", {"name": "demo/go", "data": "now", "private": True}) == {"ok": True}
    ears.wait(ids(mine))
    assert ann.ok("POST", "/v1/devices/events", form={"name": "demo/go", "data": "too"}) == {"ok": True}
    ears.wait(ids(foreign))
    assert joe.post("/v1/devices/events", {"name": "particle/device/updates/pending", "data": "true"}).status == 400
    assert joe.post("/v1/devices/events", {"name": "x" * 65}).status == 400
    assert joe.post("/v1/devices/events", {"name": "x", "data": "y" * 1025}).status == 400
    assert swarm.finish()["protocol_errors"] == {}


def test_who_is_offline_misses_it_and_hears_the_next(cyand, new_swarm):
    awake, asleep = make_devices(2)
    swarm = new_swarm(cyand, file=[awake, asleep])
    swarm.wait_connected(2)
    rest = cyand.rest("owner", "joe")
    claim(rest, [awake["id"], asleep["id"]])
    swarm.command("goodbye", asleep["id"], sleep_s=3)
    wait_until(lambda: not rest.device(asleep["id"])["connected"], "it is offline")
    ears = Ears(swarm)
    swarm.publish(awake["id"], "demo/a", "missed")
    ears.wait([awake["id"]])
    # it resumes its session: the list of subscriptions is not said again
    wait_until(lambda: rest.device(asleep["id"])["connected"], "it is back", 30)
    swarm.publish(awake["id"], "demo/a", "heard")
    ears.wait([awake["id"], asleep["id"]])
    assert swarm.handshakes() == 2


@pytest.fixture
def nodes(new_cyand, redis):
    first = new_cyand(node_id=0, node_lease_s=3, **redis.settings)
    return [first, new_cyand(node_id=1, node_lease_s=3, keys_dir=first.settings["keys_dir"], **redis.settings)]


def test_subscribers_on_another_node(nodes, new_swarm):
    here, there = make_devices(2), make_devices(3)
    swarms = [new_swarm(nodes[0], file=here), new_swarm(nodes[1], file=there)]
    for swarm, count in zip(swarms, (2, 3)):
        swarm.wait_connected(count)
    rest = nodes[1].rest("owner", "joe")
    claim(rest, ids(here) + ids(there))
    near, far = [Ears(swarm) for swarm in swarms]
    swarms[0].publish(here[0]["id"], "demo/a", "1")
    near.wait(ids(here))
    far.wait(ids(there))
    rest.ok("POST", "/v1/devices/events", {"name": "demo/b", "data": "2"})
    near.wait(ids(here))
    far.wait(ids(there))
    assert [node.metrics().sum("cyan_events_relayed_total") for node in nodes] == [4, 6]
    for swarm in swarms:
        assert swarm.finish()["protocol_errors"] == {}
