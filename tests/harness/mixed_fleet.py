"""A fleet of several platforms and all three versions of the update protocol, a release of several modules for each of them, and
what must be true of every device at the end."""

from .firmware import ARGON, BORON, ELECTRON, P2, PHOTON, module
from .keys import new_device_id
from .truth import check_updates
from .waiting import wait_until

WINDOW_BYTES = 131_072
LOST_BYTES = WINDOW_BYTES + 65_536  # what a transfer that is cut off may send again
LOSSY_PART = 0.1  # of a file, what a network that loses 1 % may make it send again (docs/transfer.md)

# platform, its system version, what it runs, what it gets: (function, index, version, bytes), and what slows it down
_KINDS = {
    "argon": (ARGON, 4200, {"b0": 2700, "s1": 4200, "u1": 6, "a0": 202, "c0": 4},
              [("b", 0, 3100, 40_000), ("s", 1, 6200, 300_000), ("c", 0, 5, 120_000), ("u", 1, 7, 60_000)], {"chunk_ms": 5}),
    "boron": (BORON, 4003, {"b0": 2700, "s1": 4003, "u1": 6, "a0": 202},
              [("b", 0, 3100, 40_000), ("s", 1, 6200, 300_000), ("u", 1, 7, 60_000)], {"chunk_ms": 8}),
    "p2": (P2, 5802, {"b0": 2601, "b1": 1, "b2": 9, "s1": 5802, "u1": 6},
           [("b", 0, 3100, 40_000), ("s", 1, 6200, 250_000), ("u", 1, 7, 40_000)], {"chunk_ms": 3}),
    "photon": (PHOTON, 1406, {"b0": 400, "s1": 1406, "s2": 1406, "u1": 5},  # version 2
               [("b", 0, 501, 12_000), ("u", 1, 7, 60_000)], {}),
    "photon one by one": (PHOTON, 1406, {"b0": 400, "s1": 1406, "s2": 1406, "u1": 5},  # version 1
                          [("b", 0, 501, 12_000), ("u", 1, 7, 60_000)], {"confirm_chunks": True}),
    "electron": (ELECTRON, 1406, {"b0": 400, "s1": 1406, "s2": 1406, "s3": 1406, "u1": 5},  # version 2, slowly
                 [("b", 0, 501, 12_000), ("u", 1, 7, 30_000)], {}),
}
_TEN = ["argon"] * 3 + ["boron"] * 2 + ["p2"] * 2 + ["photon", "photon one by one", "electron"]


def _modules(runs):
    return [{"f": name[0], "n": name[1], "v": version} for name, version in runs.items()]


class MixedFleet:
    """count devices, connected and described when this is made. options: of the swarm, what is wrong with the network."""

    def __init__(self, cyand, new_swarm, count, **options):
        self.cyand = cyand
        self.kind = {new_device_id(): _TEN[i % len(_TEN)] for i in range(count)}
        file = []
        for device, kind in self.kind.items():
            platform, system_version, runs, _, defects = _KINDS[kind]
            file.append({"id": device, "platform": platform, "system_version": system_version, "modules": _modules(runs),
                         "defects": defects})
        self.swarm = new_swarm(cyand, file=file, time_scale=0.05, keepalive=20, **options)
        self.swarm.wait_connected(count)
        described = "SELECT count(*) FROM device WHERE system_described_at IS NOT NULL"
        wait_until(lambda: cyand.query(described) == [[str(count)]], "all are described")

    @property
    def platforms(self):
        return sorted({_KINDS[kind][0] for kind in self.kind.values()})

    def wanted(self):
        """The binaries of a release for all of them."""
        made = {(_KINDS[kind][0], *what): None for kind in self.kind.values() for what in _KINDS[kind][3]}
        return [module(platform, function, index, version, size=size) for platform, function, index, version, size in made]

    def bytes(self):
        """What has to get to devices, all in all."""
        return sum(size for kind in self.kind.values() for *_, size in _KINDS[kind][3])

    def received_bytes(self):
        """So far, what was received twice by one transfer left out."""
        return self.swarm.status()["stats"]["update_bytes"]

    def _listed(self):
        """What the server says that each device runs."""
        rows = self.cyand.query("SELECT encode(device_id, 'hex'), func, idx, version FROM device_module WHERE store = 0")
        listed = {}
        for device, function, index, version in rows:
            listed.setdefault(device, {})["nrbmsu_ca"[int(function)] + index] = int(version)
        return listed

    def check_update_states(self, campaign):
        """Nothing stuck, failed or lost, and each device has one update."""
        rows = self.cyand.query(f"SELECT encode(device_id, 'hex'), state FROM device_update WHERE campaign_id = {campaign}")
        assert sorted(rows) == sorted([device, "succeeded"] for device in self.kind), rows
        others = self.cyand.query(f"SELECT kind, state FROM device_update WHERE campaign_id IS DISTINCT FROM {campaign}")
        assert others == [], others
        # a step that is over is proved, or was given back unproved
        under_way = self.cyand.query("SELECT id, state FROM update_step WHERE state NOT IN ('verified', 'cancelled', 'superseded')")
        assert under_way == [], under_way

    def check_ends(self):
        """Every device runs what it was to get, got each once, and the server lists what it runs. Ends the swarm; its report."""
        report = self.swarm.finish()
        wanted = {device: {function + str(index): version for function, index, version, _ in _KINDS[kind][3]}
                  for device, kind in self.kind.items()}
        ends = check_updates(self.swarm, wanted)
        listed = self._listed()
        for device, kind in self.kind.items():
            runs = {module["f"] + module["n"]: module["v"] for module in ends[device]["modules"]}
            assert runs == {**_KINDS[kind][2], **wanted[device]}, (device, kind, runs)
            assert listed[device] == runs, (device, kind, listed[device])
        return report

    def sent_twice(self, kills_ms):
        """Of each file of each device, once the swarm has ended: (bytes it was sent twice, kills while it was under way).
        kills_ms: of the clock on the wall."""
        under_way = {}  # (device, file): when it began, while it is not all there
        hits = {}
        kills = sorted(kills_ms)
        for line in self.swarm.truth():
            if line["event"] == "update_started":
                key = (line["device"], line["sha256"], line["file_bytes"])
                under_way[line["device"]] = (key, under_way.get(line["device"], (key, line["at_ms"]))[1])
            elif line["event"] in ("update_validated", "end") and line["device"] in under_way:
                key, since = under_way.pop(line["device"])
                hits[key] = hits.get(key, 0) + sum(since <= at <= line["at_ms"] for at in kills)
        found = {}
        for line in self.swarm.truth("end"):
            for file in line["files"]:
                key = (line["device"], file["sha256"], file["file_bytes"])
                found[key] = (file["twice_bytes"], hits.get(key, 0))
        return found
