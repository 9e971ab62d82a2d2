"""The deep update of a Core, as its users know it since 2014: patch 1.23 needs one, 1.28 does not."""

from harness.keys import new_device_id
from harness.waiting import wait_until

PATCH_EVENT = "spark/cc3000-patch-version"


def listed(rest, device):
    (found,) = [row for row in rest.devices() if row["id"] == device]
    return found


def test_core_story(cyand, new_swarm):
    core = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": core, "platform": 0, "name": "joe_prod_core2", "cc3000": "1.23"}])
    swarm.wait_connected(1)
    rest = cyand.rest()

    wait_until(lambda: listed(rest, core)["connected"], "the Core is listed as connected")
    row = listed(rest, core)
    assert row["name"] == "joe_prod_core2"
    assert row["last_app"] is None
    assert row["connected"] is True
    assert row["requires_deep_update"] is True
    assert "cc3000_patch_version" not in row, "only the detail tells it"
    detail = rest.device(core)
    assert detail["requires_deep_update"] is True
    assert detail["cc3000_patch_version"] == "1.23"
    assert "variables" in detail and "functions" in detail
    assert [found["id"] for found in rest.devices(requires_deep_update="true")] == [core]
    assert rest.devices(requires_deep_update="false") == []

    swarm.publish(core, PATCH_EVENT, "1.28")

    detail = rest.device(core)
    assert "requires_deep_update" not in detail
    assert detail["cc3000_patch_version"] == "1.28"
    assert "requires_deep_update" not in listed(rest, core)
    assert rest.devices(requires_deep_update="true") == []
    assert [found["id"] for found in rest.devices(requires_deep_update="false")] == [core]


def test_patch_versions_are_compared_as_numbers(cyand, new_swarm):
    core = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": core, "platform": 0, "cc3000": "1.9"}])
    swarm.wait_connected(1)
    rest = cyand.rest()
    assert rest.device(core)["requires_deep_update"] is True
    for version, needs_it in [("1.28", False), ("1.27.9", True), ("1.28.0", False), ("1.3", True), ("2.0", False)]:
        swarm.publish(core, PATCH_EVENT, version)
        detail = rest.device(core)
        assert detail["cc3000_patch_version"] == version
        assert detail.get("requires_deep_update", False) is needs_it, version


def test_a_changed_rule_reaches_the_whole_fleet(cyand, new_swarm):
    core = new_device_id()
    new_swarm(cyand, file=[{"id": core, "platform": 0, "cc3000": "1.29"}]).wait_connected(1)
    rest = cyand.rest()
    assert "requires_deep_update" not in rest.device(core)
    cyand.query("""UPDATE transition_rule SET body = '{"fact": "cc3000_patch_version", "below": "1.30"}', rev = rev + 1
                   WHERE code = 'core-cc3000-patch'""")
    wait_until(lambda: rest.device(core).get("requires_deep_update") is True, "the rule reaches a connected device")
