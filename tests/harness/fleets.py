"""Fleets of simulated Argons for tests of updates, and what they themselves say that they run."""

from .firmware import ARGON
from .keys import new_device_id
from .waiting import wait_until


def ncp(version, boot=2700, system=4200):
    """The modules of an Argon with this co-processor."""
    return [{"f": "b", "n": "0", "v": boot}, {"f": "s", "n": "1", "v": system}, {"f": "u", "n": "1", "v": 6},
            {"f": "a", "n": "0", "v": 202}, {"f": "c", "n": "0", "v": version}]


class Argons:
    """defects: of each device, {} for one in order. They are connected and described when this is made."""

    def __init__(self, cyand, new_swarm, defects, modules=None, system_version=6200, time_scale=0.1, address=None, **options):
        self.cyand = cyand
        self.ids = [new_device_id() for _ in defects]
        modules = modules or ncp(5, system=system_version)
        devices = [{"id": device, "platform": ARGON, "system_version": system_version, "modules": modules, "defects": wrong}
                   for device, wrong in zip(self.ids, defects)]
        self.swarm = new_swarm(cyand, file=devices, time_scale=time_scale, address=address, **options)
        self.swarm.wait_connected(len(self.ids))
        wait_until(lambda: self.described() == len(self.ids), "all are described")

    def described(self):
        return int(self.cyand.query("SELECT count(*) FROM device WHERE system_described_at IS NOT NULL")[0][0])

    def runs(self, device, module):
        """By its own truth: runs(device, "b0")."""
        return next(m["v"] for m in self.swarm.truth("runs", device)[-1]["modules"] if m["f"] + str(m["n"]) == module)

    def server_says(self, device, module):
        rows = self.cyand.query(f"SELECT version FROM device_module WHERE device_id = '\\x{device}' AND store = 0 AND"
                                f" func = {'nrbmsu_ca'.index(module[0])} AND idx = {int(module[1:])}")
        return int(rows[0][0])
