"""Sessions that have said Hello and then been quiet, and what each of them takes of cyand's memory."""

import os
import time

from . import swarm

SETTLE_SECONDS = 150  # how long the server may take to give back what it needed to remember exchanges
FLAT_SECONDS = 20


def hold(lab, devices, *words):
    """A fleet at rest, every device having said Hello. The caller closes it."""
    fleet = swarm.Swarm(lab.build, lab.started, os.path.join(lab.folder, "swarm.log"),
                        ["hold", "--control", "--devices", devices, *words, *lab.cyan.fleet()])
    try:
        line = fleet.wait("ramp", 120 + devices / 200)
        lab.say(f"{line['online']:,} sessions in {line['seconds']:.0f} s, {line['bytes_per_device']} bytes each in the client")
        return fleet
    except BaseException:
        fleet.close()
        raise


def settled_bytes(lab):
    """Resident memory once it stops falling."""
    begin = lowest_at = time.monotonic()
    first = lowest = lab.cyan.resident_bytes()
    while time.monotonic() - begin < SETTLE_SECONDS:
        time.sleep(1)
        now = lab.cyan.resident_bytes()
        if now < lowest * 0.998:
            lowest, lowest_at = now, time.monotonic()
        if lowest < first * 0.9 and time.monotonic() - lowest_at > FLAT_SECONDS:
            break
    return min(lowest, lab.cyan.resident_bytes())


def per_session(devices):
    def measure(lab, server):
        with lab.serving(server):
            before = lab.cyan.resident_bytes()
            fleet = hold(lab, devices)
            try:
                return (settled_bytes(lab) - before) / devices
            finally:
                fleet.close()

    return measure
