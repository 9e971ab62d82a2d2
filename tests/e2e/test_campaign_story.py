"""A campaign over simulated devices: real binaries over real sessions. What counts is what each device runs at the end."""

import json

import pytest

from harness.firmware import ARGON, module
from harness.keys import new_device_id
from harness.waiting import wait_until

QUICK = {"update_start_delay_s": 0, "update_describe_again_s": 1, "update_backoff_s": 1, "update_reboot_s": 60,
         "update_offline_s": 60}
GATE = {"soak_s": 0, "min_resolved": 1}
BOOTLOADER = module(ARGON, "b", 0, 3100, size=30_000)
MODULES = [{"f": "b", "n": "0", "v": 2700}, {"f": "s", "n": "1", "v": 6200}, {"f": "u", "n": "1", "v": 6},
           {"f": "a", "n": "0", "v": 202}, {"f": "c", "n": "0", "v": 5}]


class Fleet:
    """Argons with a server, a release of one bootloader, and who approves what the admin makes."""

    def __init__(self, cyand, new_swarm, tmp_path, count, liars=0):
        self.cyand, self.rest, self.other = cyand, cyand.rest(), cyand.rest("operator", "otto")
        self.ids, self.liars = [new_device_id() for _ in range(count)], liars
        self.truth = tmp_path / "truth"
        devices = [{"id": device, "platform": ARGON, "system_version": 6200, "modules": MODULES,
                    **({"defects": {"lie": True}} if i < liars else {})} for i, device in enumerate(self.ids)]
        self.swarm = new_swarm(cyand, file=devices, truth=self.truth, time_scale=0.1)
        self.swarm.wait_connected(count)
        wait_until(lambda: self.running(2700) == count, "all are described")
        uploaded = self.rest.upload("/v1/firmware", BOOTLOADER)
        assert uploaded.status == 201, uploaded
        made = self.rest.post("/v1/releases", {"name": "boot", "targets": [uploaded.json["firmware"]["id"]]})
        assert made.status == 201, made
        self.rest.ok("POST", f"/v1/releases/{made.json['release']['id']}/publish", {})

    def running(self, version):
        return int(self.cyand.query(f"SELECT count(*) FROM device_module WHERE store = 0 AND func = 2 AND version = {version}")[0][0])

    def begin(self, **fields):
        answer = self.rest.post("/v1/campaigns", {"name": "boots", "release": "boot", "selector": {"platform_id": 12}, **fields})
        assert answer.status == 201, answer
        self.path = f"/v1/campaigns/{answer.json['campaign']['id']}"
        for word, rest in (("plan", self.rest), ("submit", self.rest), ("approve", self.other), ("start", self.rest)):
            self.order(word, rest)

    def order(self, word, rest=None, **fields):
        rest = rest or self.rest
        return rest.ok("POST", f"{self.path}/{word}", {"rev": self.campaign()["rev"], **fields})["campaign"]

    def campaign(self):
        return self.rest.ok("GET", self.path)["campaign"]

    def wait_state(self, state, deadline_s=240):
        return wait_until(lambda: (lambda c: c if c["state"] == state else None)(self.campaign()),
                          lambda: f"{state}: {self.campaign()} {self.cyand.log(20)}", deadline_s)

    def applied(self):
        if not self.truth.exists():
            return []
        return [line["device"] for line in map(json.loads, self.truth.read_text().splitlines()) if line["event"] == "applied"]


def test_every_device_gets_it_once_and_one_goes_first(new_cyand, new_swarm, tmp_path):
    fleet = Fleet(new_cyand(**QUICK), new_swarm, tmp_path, 10)
    fleet.begin(stages=[{"name": "canary", "max_devices": 3, "gate": GATE}, {"name": "all", "percent": 100, "gate": GATE}])
    done = fleet.wait_state("completed")
    assert done["verdict"]["state"] == "succeeded" and done["verdict"]["ok"] == 10
    assert fleet.running(3100) == 10
    assert sorted(fleet.applied()) == sorted(fleet.ids)
    # no second device was sent a bootloader before the first had said that it runs it
    moves = [row[0] for row in fleet.cyand.query("SELECT to_state FROM update_event WHERE kind = 'step' AND to_state IN"
                                                 " ('transferring', 'verified') ORDER BY id LIMIT 2")]
    assert moves == ["transferring", "verified"]
    # nor one of the second stage before the first was through
    assert fleet.cyand.query("SELECT min(u.started_at) >= max(g.ended_at) FROM device_update u, campaign_stage g"
                             " WHERE u.stage_ord = 1 AND g.ord = 0") == [["t"]]


@pytest.mark.long
def test_liars_in_the_canary_stop_it(new_cyand, new_swarm, tmp_path):
    fleet = Fleet(new_cyand(**QUICK), new_swarm, tmp_path, 6, liars=2)
    fleet.begin(selector={"devices": fleet.ids}, stages=[{"name": "canary", "percent": 100, "gate": GATE}])
    # the class waits for its first device; whichever that is, two liars of six fail the stage when its turn comes
    ended = fleet.wait_state("aborted", deadline_s=400)
    assert ended["verdict"]["failed"] in (1, 2) and ended["stages"][0]["state"] == "failed"
    assert "failed" in ended["why"]
    assert not set(fleet.ids[:2]) & set(fleet.applied())
    assert fleet.running(3100) == ended["verdict"]["ok"] == len(fleet.applied())


def test_a_pause_stops_transfers_and_a_resume_goes_on(new_cyand, new_swarm, tmp_path):
    fleet = Fleet(new_cyand(**QUICK), new_swarm, tmp_path, 5)
    fleet.begin(stages=[{"name": "all", "percent": 100, "gate": GATE}])
    wait_until(lambda: fleet.cyand.query("SELECT 1 FROM update_step LIMIT 1"), "one is under way")
    fleet.order("pause", reason="wait")

    def still():
        return fleet.cyand.query("SELECT count(*) FROM update_step WHERE state IN ('claimed', 'starting', 'transferring', 'finishing',"
                                 " 'rebooting', 'describing')") == [["0"]]

    wait_until(still, "what is under way stops, or ends")
    assert fleet.campaign()["state"] == "paused"
    fleet.order("resume")
    assert fleet.wait_state("completed")["verdict"]["ok"] == 5
    assert sorted(fleet.applied()) == sorted(fleet.ids)
