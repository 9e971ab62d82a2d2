"""Sessions that have said Hello and then been quiet, and what each of them takes of cyand's memory."""

import time

from . import swarm

SETTLE_SECONDS = 150  # how long the server may take to give back what it needed to remember exchanges
FLAT_SECONDS = 20


def hold(room, devices, *words):
    """A fleet at rest, every device having said Hello. The caller closes it."""
    fleet = swarm.Swarm(room.build, room.started, room.swarm_log, ["hold", "--control", "--devices", devices, *words,
                                                                      *room.cyan.fleet()])
    try:
        line = fleet.wait("ramp", 120 + devices / 200)
        room.say(f"{line['online']:,} sessions in {line['seconds']:.0f} s, {line['bytes_per_device']} bytes each in the client")
        return fleet
    except BaseException:
        fleet.close()
        raise


def settled_bytes(room):
    """Resident memory once it stops falling."""
    begin = lowest_at = time.monotonic()
    first = lowest = room.cyan.resident_bytes()
    while time.monotonic() - begin < SETTLE_SECONDS:
        time.sleep(1)
        now = room.cyan.resident_bytes()
        if now < lowest * 0.998:
            lowest, lowest_at = now, time.monotonic()
        if lowest < first * 0.9 and time.monotonic() - lowest_at > FLAT_SECONDS:
            break
    return min(lowest, room.cyan.resident_bytes())


def per_session(devices):
    def measure(lab, server):
        with lab.serving(server):
            before = lab.cyan.resident_bytes()
            fleet = hold(lab.room, devices)
            try:
                return (settled_bytes(lab.room) - before) / devices
            finally:
                fleet.close()

    return measure
