"""The simulated devices do what real ones do and other tests rely on: cold boots, values of their own, sleep in thousands."""

from harness.swarm import Hold, mixed_value
from harness.waiting import wait_until

RESUMED, HANDSHAKE = 253, 22  # record types, device-protocol 2.5


def test_three_cold_boots_use_up_a_session(cyand, new_swarm, new_relay):
    relay = new_relay(cyand)
    swarm = new_swarm(cyand, address=relay.address, keepalive=5,
                      file=[{"id": "e00fce681122334455667788", "platform": "argon"}])
    swarm.wait_connected(1)
    device, = swarm.online()

    def boot():
        """The type of the first record that the device sends after it."""
        before = len(relay.to_server())
        swarm.cold_boot(device)
        wait_until(lambda: len(relay.to_server()) > before, "the device sends something")
        return relay.to_server()[before].data[0]

    relay.mute()
    assert [boot() for _ in range(3)] == [RESUMED] * 3
    relay.mute(False)
    assert boot() == HANDSHAKE
    swarm.wait_notice("online", device, lambda notice: notice["handshakes"] == 2)
    assert cyand.metrics().sum("cyan_sessions") == 1, "the server still held the old one"
    report = swarm.finish()
    assert report["cold_boots"] == 4 and report["nonce_reuse"] == 0 and report["protocol_errors"] == {}, report


def test_answers_belong_to_device_name_and_argument(cyand, new_swarm):
    swarm = new_swarm(cyand, file=[{"id": f"e00fce68112233445566770{n}", "platform": "argon", "system_version": 5501}
                                   for n in range(3)])
    swarm.wait_connected(3)
    rest = cyand.rest()
    for device in swarm.online():
        for name in ("mix", "mixTwo"):
            answer = rest.ok("POST", f"/v1/devices/{device}/{name}", {"arg": "x y"})
            assert answer["return_value"] == mixed_value(device, name, "x y"), answer
        for read, name in enumerate(("anInt", "aBool", "aDouble", "aString"), 1):
            number = mixed_value(device, name, read)
            expected = {"anInt": number, "aBool": bool(number & 1), "aDouble": number / 256, "aString": f"{device}:{read}"}
            value = rest.ok("GET", f"/v1/devices/{device}/{name}")["result"]
            assert value == expected[name], (name, value)
            swarm.wait_notice("variable", device, lambda notice: notice["name"] == name and notice["value"] == value)


def test_a_fleet_at_rest_wakes_also_from_a_file(cyand, tmp_path):
    hold = Hold(cyand, tmp_path / "hold", 200, replay=20)
    try:
        assert hold.wait_line("ramp")["online"] == 200
        wake = hold.phase("wake", count=50, over_s=0.5)
        assert wake["online"] == 50 and wake["handshakes"] == 0, wake
        hold.save(tmp_path / "sessions")
    finally:
        hold.close()
    again = Hold(cyand, tmp_path / "again", 200, seed="hold", enrol=False, resuming=tmp_path / "sessions")
    try:
        assert again.wait_line("ramp")["devices"] == 0, "nobody has to connect"
        wake = again.phase("wake")
        assert wake["online"] == 200 and wake["handshakes"] == 0, wake
        assert wake["nonce_reuse"] == wake["replay_answered"] == 0 and wake["protocol_errors"] == {}, wake
    finally:
        again.close()
