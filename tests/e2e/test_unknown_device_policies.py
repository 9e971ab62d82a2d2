"""What a device gets that nobody enrolled: refused, put in quarantine, or enrolled; and keys are bound to ids."""

import json
import subprocess

import pytest

from harness import paths
from harness.keys import Key, new_device_id
from harness.waiting import hold_for, wait_until


def secret_of(key):
    """The 32 bytes of a P-256 private key, as the swarm's files take them."""
    sec1 = subprocess.run(["openssl", "ec", "-in", key.path, "-outform", "DER"], check=True, capture_output=True).stdout
    assert sec1[:7] == b"\x30\x77\x02\x01\x01\x04\x20"
    return sec1[7:39].hex()


def device_with(key, device=None, **more):
    return {"id": device or new_device_id(), "platform": "argon", "private_key": secret_of(key), **more}


def refusals(cyand, reason):
    return cyand.metrics().sum("cyan_device_refused_total", reason=reason)


def outcome(cyand, name):
    return cyand.metrics().sum("cyan_handshakes_total", outcome=name)


def test_refuse_is_the_default(cyand, new_swarm):
    swarm = new_swarm(cyand, devices=2, enrol=False)
    wait_until(lambda: outcome(cyand, "unknown_key") >= 2, "both are refused with the reason")
    assert refusals(cyand, "unknown_key") >= 2
    assert outcome(cyand, "ok") == 0 and swarm.online() == []
    wait_until(lambda: cyand.metrics().sum("cyan_sessions") == 0, "no session is left")

    def not_back_at_once():
        assert outcome(cyand, "unknown_key") == 2, "refused in silence, a device waits for its Hello's answer first"

    hold_for(3, not_back_at_once)
    assert cyand.rest().devices() == []
    wait_until(lambda: cyand.query("SELECT DISTINCT outcome, profile, key_sha256 IS NOT NULL FROM handshake_attempt")
               == [["unknown_key", "device_os", "t"]], "the attempts are kept with the key's fingerprint")
    assert cyand.query("SELECT count(*) FROM event") == [["0"]]


def test_an_unknown_psk_identity_is_refused(cyand, new_swarm):
    swarm = new_swarm(cyand, devices=1, enrol=False, profile="psk")
    wait_until(lambda: outcome(cyand, "unknown_identity") >= 1, "the refusal is counted")
    assert outcome(cyand, "ok") == 0 and swarm.online() == []


def test_quarantine_admits_to_be_looked_at(new_cyand, new_swarm):
    cyand = new_cyand(devices_unknown="quarantine")
    swarm = new_swarm(cyand, devices=1, enrol=False)
    rest = cyand.rest()
    wait_until(lambda: rest.devices(quarantined="true"), "the device is shown in quarantine")
    (row,) = rest.devices()
    assert row["quarantined"] is True and row["platform_id"] is not None
    wait_until(lambda: outcome(cyand, "quarantined") >= 1, "the attempt has its outcome")
    assert outcome(cyand, "ok") == 0
    owner = cyand.rest("owner", "ann")
    assert owner.post("/v1/devices", {"id": row["id"]}).status == 403, "nobody claims a device in quarantine"

    # what it publishes goes nowhere
    user_events = "SELECT count(*) FROM event WHERE NOT is_system"
    wait_until(lambda: swarm.status()["devices"][0]["state"] in ("settling", "online"), "it may talk")
    swarm.command("event", row["id"], name="door", data="open")
    swarm.wait_notice("rejected", row["id"], lambda n: n["name"] == "door")
    assert cyand.query(user_events) == [["0"]]

    # an admin gives it its key: it is a device like any other
    (listed,) = models_of(swarm)
    rest.ok("POST", f"/v1/provisioning/{row['id']}", {"publicKey": listed["public_key"], "algorithm": "ecc"})
    first = len(swarm.notices)
    swarm.command("reboot", row["id"])
    swarm.wait_notice("online", row["id"], first=first)
    assert "quarantined" not in rest.device(row["id"])
    swarm.publish(row["id"], "door", "open")
    assert cyand.query(user_events) == [["1"]]


def models_of(swarm):
    """What the swarm knows of its devices."""
    listed = subprocess.run([paths.SWARM, "list", "--state-dir", swarm.folder / "state"], check=True,
                            capture_output=True, text=True).stdout
    return [json.loads(line) for line in listed.splitlines()]


def test_enrol_trusts_the_first_key_and_no_other(new_cyand, new_swarm, tmp_path):
    cyand = new_cyand(devices_unknown="enrol")
    device, first, second = new_device_id(), Key(tmp_path, "first"), Key(tmp_path, "second")
    swarm = new_swarm(cyand, enrol=False, file=[device_with(first, device)])
    swarm.wait_connected(1)
    rest = cyand.rest()
    wait_until(lambda: rest.device(device)["connected"] is True, "it is listed as connected")
    assert "quarantined" not in rest.device(device)
    assert cyand.query("SELECT encode(data, 'hex') FROM device_key") == [[first.public_der.hex()]]
    swarm.finish()

    # it comes back with the key it had
    swarm = new_swarm(cyand, enrol=False, file=[device_with(first, device)]).wait_connected(1)
    swarm.finish()

    # whoever else says it is that device is not believed
    thief = new_swarm(cyand, enrol=False, file=[device_with(second, device)])
    thief.wait_notice("failed", device)
    wait_until(lambda: refusals(cyand, "hello_rejected") + refusals(cyand, "key_id_mismatch") >= 1,
               "the refusal is counted")
    assert thief.online() == []
    assert cyand.query("SELECT count(*) FROM device_key") == [["1"]]


def test_a_hello_that_names_another_device_ends_the_session(cyand, new_swarm, tmp_path):
    mine, other = new_device_id(), new_device_id()
    key, other_key = Key(tmp_path, "mine"), Key(tmp_path, "other")
    rest = cyand.rest()
    for device, its in ((mine, key), (other, other_key)):
        rest.ok("POST", f"/v1/provisioning/{device}", {"publicKey": its.public_pem, "algorithm": "ecc"})
    victim = new_swarm(cyand, enrol=False, file=[device_with(other_key, other)]).wait_connected(1)

    impostor = new_swarm(cyand, enrol=False, file=[device_with(key, other)])
    impostor.wait_notice("failed", other)
    wait_until(lambda: outcome(cyand, "key_id_mismatch") >= 1, "the mismatch is the outcome")
    assert refusals(cyand, "key_id_mismatch") >= 1
    assert impostor.online() == []
    impostor.close()
    wait_until(lambda: cyand.metrics().sum("cyan_sessions") == 1, "its session is over")

    # the device whose name was taken in vain did not notice
    assert victim.online() == [other] and victim.handshakes() == 1
    victim.publish(other, "still", "here")
    wait_until(lambda: rest.device(other)["connected"] is True, "it is listed as connected")
    assert rest.device(mine)["connected"] is False


def test_two_keys_while_rotating_and_the_third_retires_the_first(cyand, new_swarm, tmp_path):
    device, rest = new_device_id(), cyand.rest()
    keys = [Key(tmp_path, f"key{i}") for i in range(3)]

    def provision(key):
        rest.ok("POST", f"/v1/provisioning/{device}", {"publicKey": key.public_pem, "algorithm": "ecc"})

    def connect(key):
        return new_swarm(cyand, enrol=False, file=[device_with(key, device)])

    provision(keys[0])
    connect(keys[0]).wait_connected(1).finish()
    provision(keys[1])
    connect(keys[0]).wait_connected(1).finish()  # both live
    connect(keys[1]).wait_connected(1).finish()
    old = connect(keys[0]).wait_connected(1)
    provision(keys[2])  # retires the first, and the session made with it
    old.wait_notice("offline", device)
    wait_until(lambda: outcome(cyand, "unknown_key") >= 1, "the retired key is refused")
    assert old.online() == []
    old.close()
    connect(keys[1]).wait_connected(1).finish()
    connect(keys[2]).wait_connected(1).finish()
    assert cyand.query("SELECT count(*) FILTER (WHERE state = 'live'), count(*) FROM device_key") == [["2", "3"]]


def test_two_shared_keys_while_rotating(cyand, new_swarm):
    device, rest = new_device_id(), cyand.rest()
    old, new = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
    for psk in (old, new):
        rest.ok("POST", f"/v1/provisioning/{device}", {"algorithm": "psk", "psk": psk})
    for psk in (new, old):  # a handshake with a key that is not the first tried is tried again by the device
        swarm = new_swarm(cyand, enrol=False, time_scale=0.2,
                          file=[{"id": device, "platform": "boron", "profile": "psk", "psk": psk}])
        swarm.wait_connected(1).finish()


def test_a_policy_changes_on_reload(new_cyand, new_swarm):
    cyand = new_cyand()
    swarm = new_swarm(cyand, devices=1, enrol=False, time_scale=0.1)  # refused in silence, it waits for its Hello
    wait_until(lambda: outcome(cyand, "unknown_key") >= 1, "it is refused")
    cyand.config.write_text("[devices]\nunknown = enrol\n")
    cyand.reload()
    swarm.wait_connected(1)
    wait_until(lambda: cyand.rest().devices()[0]["connected"] is True, "it is listed as connected")


@pytest.mark.parametrize("profile", ["deviceos", "psk"])
def test_a_new_handshake_replaces_the_old_session_only_when_it_named_its_device(cyand, new_swarm, profile):
    device = new_device_id()
    swarm = new_swarm(cyand, file=[{"id": device, "platform": "boron", "profile": profile}]).wait_connected(1)
    assert cyand.metrics().sum("cyan_sessions") == 1
    first = len(swarm.notices)
    swarm.command("reboot", device)  # forgets its session without a word
    swarm.wait_notice("online", device, first=first)
    wait_until(lambda: cyand.metrics().sum("cyan_sessions") == 1, "the old session gives way")
    wait_until(lambda: cyand.rest().device(device)["connected"] is True, "it is listed as connected")
    wait_until(lambda: cyand.query("SELECT count(*) FROM device_connection WHERE reason = 'replaced'") == [["1"]],
               "its end has its reason")
    hold_for(0.5, lambda: swarm.online() == [device])
