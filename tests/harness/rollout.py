"""A fleet brought up to date: binaries, a release, a campaign from its draft to its end, and what the devices know of it."""

import collections
import json
import uuid

from .waiting import wait_until

ENDED = ("completed", "aborted")
# Times of the engine and the campaigns in tests: what takes minutes in the field takes seconds here.
QUICK = {"update_start_delay_s": 0, "update_describe_again_s": 1, "update_backoff_s": 1, "update_reboot_s": 30,
         "update_ncp_reboot_s": 30}


def multipart(name, file_name, data):
    """Body and Content-Type of a form with one file."""
    boundary = uuid.uuid4().hex
    head = (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n").encode()
    return head + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Rollout:
    """What an operator does over REST. The author of a campaign is not who approves it."""

    def __init__(self, cyand):
        self.cyand = cyand
        self.author = cyand.rest("operator", "author")
        self.approver = cyand.rest("operator", "approver")

    # --- binaries and releases ---

    def upload(self, data, file_name="module.bin"):
        body, content_type = multipart("file", file_name, data)
        answer = self.author.upload("POST", "/v1/firmware", body, content_type)
        assert answer.status in (200, 201), answer
        return answer.json["firmware"]["id"]

    def release(self, name, targets, stepping_stones=()):
        """Published; targets and stones are the bytes of binaries."""
        made = self.author.ok2("POST", "/v1/releases", {
            "name": name, "targets": [self.upload(data) for data in targets],
            "stepping_stones": [self.upload(data) for data in stepping_stones]})["release"]
        self.author.ok2("POST", f"/v1/releases/{made['id']}/publish", {})
        return name

    # --- campaigns ---

    def create(self, name, release, selector, stages=None, **fields):
        stages = stages or [{"name": "all", "percent": 100, "gate": {"soak_s": 0, "min_resolved": 1,
                                                                      "allow_small_canary": True}}]
        made = self.author.ok2("POST", "/v1/campaigns", {"name": name, "release": release, "selector": selector,
                                                         "stages": stages, **fields})
        return made["campaign"]["id"]

    def read(self, campaign):
        return self.author.ok("GET", f"/v1/campaigns/{campaign}")["campaign"]

    def act(self, campaign, action, who=None, **fields):
        rev = self.read(campaign)["rev"]
        return (who or self.author).ok2("POST", f"/v1/campaigns/{campaign}/{action}", {"rev": rev, **fields})

    def start(self, name, release, selector, stages=None, **fields):
        """Created, planned, approved, started."""
        campaign = self.create(name, release, selector, stages, **fields)
        self.act(campaign, "plan")
        wait_until(lambda: self.read(campaign)["state"] == "planned", lambda: f"planned: {self.read(campaign)}")
        self.act(campaign, "submit")
        self.act(campaign, "approve", self.approver)
        self.act(campaign, "start")
        return campaign

    def wait(self, campaign, *states, deadline_s=120):
        states = states or ENDED

        def there():
            found = self.read(campaign)
            assert found["state"] in states or found["state"] not in ENDED, found
            return found if found["state"] in states else None

        return wait_until(there, lambda: f"{states}: {json.dumps(self.read(campaign))[:1500]} {self.devices(campaign)[:5]}"
                                         f" {self.cyand.log(20)}", deadline_s, every_s=0.2)

    def devices(self, campaign, **filters):
        query = "&".join(f"{key}={value}" for key, value in {"per_page": 1000, **filters}.items())
        return self.author.ok("GET", f"/v1/campaigns/{campaign}/devices?{query}")["devices"]

    def states(self, campaign):
        """How many devices are in which state."""
        return collections.Counter(row["state"] for row in self.devices(campaign))

    def of(self, campaign, device):
        (row,) = [row for row in self.devices(campaign) if row["id"] == device]
        return row

    # --- what no test may find broken ---

    def check_books(self):
        """The counters of every stage say what its rows say; no device has two updates under way; open steps have a deadline."""
        wrong = self.cyand.query("""
            SELECT g.campaign_id, g.ord FROM campaign_stage g
              LEFT JOIN LATERAL (SELECT
                   count(*) FILTER (WHERE state IN ('active', 'verifying')) AS open,
                   count(*) FILTER (WHERE state IN ('succeeded', 'already_current')) AS ok,
                   count(*) FILTER (WHERE state = 'failed') AS failed,
                   count(*) FILTER (WHERE state = 'lost') AS lost,
                   count(*) FILTER (WHERE state = 'blocked') AS blocked
                   FROM device_update u WHERE u.campaign_id = g.campaign_id AND u.stage_ord = g.ord) n ON true
             WHERE (g.n_open, g.n_ok, g.n_failed, g.n_lost, g.n_blocked) <> (n.open, n.ok, n.failed, n.lost, n.blocked)""")
        assert not wrong, f"counters of stages {wrong}"
        twice = self.cyand.query("""SELECT encode(device_id, 'hex') FROM device_update WHERE state IN ('active', 'verifying')
                                     GROUP BY device_id HAVING count(*) > 1""")
        assert not twice, twice
        endless = self.cyand.query("""SELECT id, state FROM update_step WHERE deadline_at IS NULL AND state IN
                                      ('claimed', 'starting', 'transferring', 'finishing', 'rebooting', 'describing')""")
        assert not endless, endless
