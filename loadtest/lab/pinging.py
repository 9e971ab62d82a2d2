"""Devices that ping once a second: what a load does to those who have nothing to do with it."""

from . import swarm


def pinging_devices(lab, count):
    lab.cyan.enrol("deviceos", count, "pinging")
    devices = swarm.Swarm(lab.build, lab.started, lab.swarm_log,
                          ["run", "--control", "--derive-keys", "--devices", count, "--keepalive", 1, "--shared-sockets", 16,
                           "--ramp", 200, *lab.cyan.fleet("pinging")])
    for _ in range(count):
        devices.wait("online", 120)
    return devices


def round_trips(devices):
    devices.command("status")
    return devices.wait("status", 30)["stats"]["ping_rtt_ms"]
