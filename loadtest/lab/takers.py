"""Simulated devices that take updates, and what Postgres and cyan-swarm have of their transfers."""

import json
import os
import random
import signal
import sys

from .processes import CLIENT_CORE, ROOT, Refused, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests"))

from harness.firmware import ARGON, PHOTON, module  # noqa: E402

FILE_BYTES = 260_000  # a Photon takes 262,144 at most
VERSION = 6300
# What devices run before, and the module that they get: Device OS below 3.0 speaks version 2 of the protocol.
KINDS = {
    "v3": {"platform": ARGON, "function": "s", "index": 1, "system_version": 6200,
           "modules": {"b0": 3100, "s1": 6200, "u1": 6, "a0": 202, "c0": 5}},
    "v2": {"platform": PHOTON, "function": "s", "index": 2, "system_version": 2302,
           "modules": {"b0": 1005, "s1": 2302, "s2": 2302, "u1": 5}},
}

# When each step began to transfer, had all acknowledged, and was over.
STEPS = """
SELECT coalesce(json_agg(found), '[]') FROM (
    SELECT encode(u.device_id, 'hex') AS device, s.state, s.sent_bytes, s.attempts,
           extract(epoch FROM t.finishing - t.transferring) AS transfer_s, extract(epoch FROM s.ended_at - s.started_at) AS step_s,
           EXISTS (SELECT FROM device_module m WHERE m.device_id = u.device_id AND m.store = 0 AND m.version = {version}) AS proved
      FROM device_update u
      JOIN update_step s ON s.update_id = u.id
      LEFT JOIN LATERAL (SELECT min(at) FILTER (WHERE to_state = 'transferring') AS transferring,
                                max(at) FILTER (WHERE to_state = 'finishing') AS finishing
                           FROM update_event WHERE step_id = s.id) t ON true
     WHERE u.device_id = ANY ('{ids}')) found
"""


def binary(kind):
    """What they get."""
    chosen = KINDS[kind]
    return module(chosen["platform"], chosen["function"], chosen["index"], VERSION, size=FILE_BYTES)


def as_array(ids):
    """A bytea[] in the words of psql."""
    return "{" + ",".join(f'"\\\\x{device}"' for device in ids) + "}"


class Takers:
    """count devices of each of these kinds, connected. options: of cyan-swarm; defects: of every device."""

    def __init__(self, lab, operator, name, count, kinds, options=(), defects=None):
        chosen = random.Random(name)
        self.lab, self.count = lab, count
        self.ids = {kind: ["00c1a0" + chosen.randbytes(9).hex() for _ in range(count)] for kind in kinds}
        folder = os.path.join(lab.folder, name)
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, "devices.json"), "w", encoding="utf-8") as out:
            json.dump([self._device(kind, device, defects or {}) for kind in kinds for device in self.ids[kind]], out)
        with open(os.path.join(folder, "token"), "w", encoding="utf-8") as out:
            out.write(operator.token + "\n")
        self.report = os.path.join(folder, "report.json")
        self.process = lab.started.start([
            os.path.join(lab.build, "cyan-swarm"), "run", "--server", lab.cyan.address,
            "--server-key", os.path.join(lab.cyan.keys, "server_key.der"), "--state-dir", os.path.join(folder, "state"),
            "--devices", "0", "--devices-file", os.path.join(folder, "devices.json"), "--api", lab.cyan.url,
            "--token-file", os.path.join(folder, "token"), "--ramp", "200", "--report", self.report,
            *map(str, options)], lab.swarm_log, CLIENT_CORE)

    @staticmethod
    def _device(kind, device, defects):
        modules = [{"f": name[0], "n": name[1:], "v": version} for name, version in KINDS[kind]["modules"].items()]
        return {"id": device, "platform": KINDS[kind]["platform"], "system_version": KINDS[kind]["system_version"],
                "modules": modules, "defects": {"reboot_s": 1, **defects}}

    @property
    def all_ids(self):
        return [device for ids in self.ids.values() for device in ids]

    def wait_described(self, seconds=120):
        """All are connected and have said what they run."""
        sql = ("SELECT count(*) FROM device WHERE system_described_at IS NOT NULL AND online"
               f" AND id = ANY ('{as_array(self.all_ids)}')")

        def there():
            if self.process.poll() is not None:
                raise Refused(f"cyan-swarm ended: {self.said()}")
            return int(self.lab.cyan.psql(sql)) == len(self.all_ids)

        wait_for(there, "the last description of a device", seconds, 0.5)

    def said(self):
        with open(self.lab.swarm_log, encoding="utf-8", errors="replace") as log:
            return log.read()[-300:].strip()

    def still_open(self):
        """How many of their updates are not over."""
        return int(self.lab.cyan.psql("SELECT count(*) FROM device_update WHERE ended_at IS NULL"
                                      f" AND device_id = ANY ('{as_array(self.all_ids)}')"))

    def steps(self, kind):
        return json.loads(self.lab.cyan.psql(STEPS.format(version=VERSION, ids=as_array(self.ids[kind]))))

    def close(self):
        """What they report."""
        self.lab.started.stop(self.process, signal.SIGTERM)
        with open(self.report, encoding="utf-8") as file:
            return json.load(file)
