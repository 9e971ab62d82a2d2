"""One simulated device that takes updates: what the server says of them beside what really happened to it."""

import json

from .firmware import ARGON
from .keys import new_device_id
from .waiting import wait_until

# Times of the engine, short.
QUICK = {"update_start_delay_s": 0, "update_describe_again_s": 1, "update_backoff_s": 1, "update_reboot_s": 60,
         "update_offline_s": 60}
OVER = ("succeeded", "already_current", "blocked", "failed", "lost", "cancelled", "superseded")


def truth_of(path, event):
    if not path.exists():
        return []
    return [line for line in map(json.loads, path.read_text().splitlines()) if line["event"] == event]


class Bench:
    """One Argon with system 6200 and bootloader 2700 that connects to a server; its own truth beside it. Fields of device are
    those of --devices-file."""

    def __init__(self, cyand, new_swarm, tmp_path, address=None, **device):
        self.cyand, self.id = cyand, new_device_id()
        self.truth = tmp_path / f"truth-{self.id}"
        described = {"id": self.id, "platform": ARGON, "system_version": 6200,
                     "modules": [{"f": "b", "n": "0", "v": 2700}, {"f": "s", "n": "1", "v": 6200}, {"f": "u", "n": "1", "v": 6},
                                 {"f": "a", "n": "0", "v": 202}, {"f": "c", "n": "0", "v": 5}], **device}
        self.swarm = new_swarm(cyand, file=[described], address=address, truth=self.truth, time_scale=0.1)
        self.swarm.wait_connected(1)
        wait_until(lambda: self.runs("b") is not None, "it is described")
        wait_until(lambda: self.rest.device(self.id)["connected"], "it is known to be connected")

    @property
    def rest(self):
        return self.cyand.rest()

    def runs(self, function):
        modules = self.rest.ok("GET", f"/v1/devices/{self.id}/modules")["modules"]
        return next((m["version"] for m in modules if m["f"] == function and m["store"] == "main"), None)

    def flash(self, data, **options):
        return self.rest.upload(f"/v1/devices/{self.id}", data, method="PUT", **options)

    def begin(self, data):
        answer = self.flash(data)
        assert (answer.status, answer.json) == (200, {"id": self.id, "status": "Update started"}), answer

    def release(self, *binaries):
        """Publishes a release that wants these; its id."""
        targets = []
        for data in binaries:
            answer = self.rest.upload("/v1/firmware", data)
            assert answer.status in (200, 201), answer
            targets.append(answer.json["firmware"]["id"])
        made = self.rest.post("/v1/releases", {"name": f"r{targets[0]}", "targets": targets})
        assert made.status == 201, made
        self.rest.ok("POST", f"/v1/releases/{made.json['release']['id']}/publish", {})
        return made.json["release"]["id"]

    def campaign(self, release, **fields):
        """Runs one of a single stage for this device, approved by somebody else."""
        gate = {"soak_s": 0, "min_resolved": 1}
        made = self.rest.post("/v1/campaigns", {"name": f"c{release}", "release": release, "selector": {"devices": [self.id]},
                                                "stages": [{"name": "all", "percent": 100, "gate": gate}], **fields})
        assert made.status == 201, made
        path, other = f"/v1/campaigns/{made.json['campaign']['id']}", self.cyand.rest("operator", "otto")
        for word, rest in (("plan", self.rest), ("submit", self.rest), ("approve", other), ("start", self.rest)):
            rest.ok("POST", f"{path}/{word}", {"rev": self.rest.ok("GET", path)["campaign"]["rev"]})
        return path

    def update(self):
        return self.rest.ok("GET", f"/v1/devices/{self.id}/updates")["updates"][0]

    def wait_state(self, *states, deadline_s=120):
        def there():
            update = self.update()
            assert update["state"] in states or update["state"] not in OVER, update
            return update if update["state"] in states else None

        return wait_until(there, lambda: f"the update is {states}, it is {self.update()}: {self.cyand.log(20)}", deadline_s)

    def wait_step(self, *states, deadline_s=120):
        def there():
            step = self.update()["steps"][-1]
            return step if step["state"] in states else None

        return wait_until(there, lambda: f"the step is {states}, it is {self.update()}: {self.cyand.log(20)}", deadline_s)

    def told(self):
        rows = self.cyand.query("SELECT convert_from(data, 'UTF8') FROM event WHERE name = 'spark/flash/status' ORDER BY id")
        return [row[0] for row in rows]

    def lines(self, event):
        return truth_of(self.truth, event)

    def count(self, event):
        return len(self.lines(event))
