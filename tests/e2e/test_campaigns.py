"""Campaigns as operators run them: planned, approved by somebody else, started, steered, ended; each refusal in words."""

import json

import pytest

from harness import fleet_rows
from harness.fleet_rows import add_devices, check_counters, device_id, finish
from harness.waiting import hold_for, wait_until

QUICK = {"soak_s": 0, "min_resolved": 1}


class Story:
    """A server with rows for devices, two operators, and one campaign at a time."""

    def __init__(self, cyand):
        self.cyand, self.query = cyand, cyand.query
        self.opal, self.otto = cyand.rest("operator", "opal"), cyand.rest("operator", "otto")
        fleet_rows.seed(self.query)

    def create(self, name="first", **fields):
        body = {"name": name, "release": "2026.11", "selector": {"all": True}, "stages": [{"name": "all", "percent": 100, "gate": QUICK}]}
        body.update(fields)
        answer = self.opal.post("/v1/campaigns", body)
        assert answer.status == 201, answer
        return answer.json["campaign"]

    def read(self, campaign):
        return self.opal.ok("GET", f"/v1/campaigns/{campaign['id']}")["campaign"]

    def order(self, campaign, word, rest=None, **fields):
        """The answer; by default with the current rev."""
        fields.setdefault("rev", self.read(campaign)["rev"])
        return (rest or self.opal).post(f"/v1/campaigns/{campaign['id']}/{word}", fields)

    def do(self, campaign, word, rest=None, **fields):
        answer = self.order(campaign, word, rest, **fields)
        assert answer.status == 200, answer
        return answer.json["campaign"]

    def begin(self, **fields):
        campaign = self.create(**fields)
        self.do(campaign, "plan")
        self.do(campaign, "submit")
        self.do(campaign, "approve", self.otto)
        return self.do(campaign, "start")

    def wait_state(self, campaign, state):
        return wait_until(lambda: (lambda c: c if c["state"] == state else None)(self.read(campaign)),
                          lambda: f"{state}: {self.read(campaign)}")

    def stage(self, campaign, n=0):
        return self.read(campaign)["stages"][n]

    def wait_stage(self, campaign, n, state):
        return wait_until(lambda: (lambda g: g if g["state"] == state else None)(self.stage(campaign, n)),
                          lambda: f"stage {n} {state}: {self.read(campaign)}")

    def count(self, campaign, state):
        return int(self.query(f"SELECT count(*) FROM device_update WHERE campaign_id = {campaign['id']} AND state = '{state}'")[0][0])

    def wait_count(self, campaign, state, count):
        wait_until(lambda: self.count(campaign, state) == count,
                   lambda: f"{count} {state}, {self.count(campaign, state)} are: {self.read(campaign)}")

    def audit(self, campaign):
        return [row[0] for row in self.query(f"SELECT action FROM audit WHERE target = 'campaign/{campaign['id']}' ORDER BY id")]


@pytest.fixture
def story(cyand):
    return Story(cyand)


def test_from_the_draft_to_the_verdict(story):
    add_devices(story.query, 1, 30)
    add_devices(story.query, 31, 34, system=5600)  # have it already
    add_devices(story.query, 35, 39, online=False)
    campaign = story.create(stages=[{"name": "canary", "max_devices": 10, "gate": QUICK}, {"name": "rest", "percent": 100, "gate": QUICK}],
                            limits={"transfers": 5, "tail_s": 0})
    assert campaign["state"] == "draft" and campaign["created_by"] == "opal"
    planned = story.do(campaign, "plan", reason="let us see")
    assert planned["state"] == "planned" and len(planned["plan_hash"]) == 64
    assert planned["plan"]["devices"] == 39
    assert [stage["counts"]["total"] for stage in planned["stages"]] == [10, 29]
    assert "cannot prove" in planned["plan"]["proves"][0]["sentence"]
    canary = int(story.query("SELECT count(*) FROM device_update WHERE stage_ord = 0 AND state = 'pending'")[0][0])
    assert story.do(campaign, "submit")["state"] == "awaiting_approval"
    assert story.do(campaign, "approve", story.otto, plan_hash=planned["plan_hash"])["approved_by"] == "otto"
    assert story.do(campaign, "start")["state"] == "running"
    story.wait_count(campaign, "active", min(5, canary))
    assert story.stage(campaign, 1)["state"] == "pending"
    hold_for(2, lambda: story.count(campaign, "active") <= 5)  # no more places
    progress = story.opal.ok("GET", f"/v1/campaigns/{campaign['id']}/progress")["progress"]
    assert progress["campaign"]["state"] == "running" and len(progress["stages"]) == 2
    wait_until(lambda: finish(story.query, campaign["id"]) is not None and story.read(campaign)["state"] == "completed",
               lambda: story.read(campaign))
    done = story.read(campaign)
    assert done["verdict"]["ok"] == 30 and done["verdict"]["current"] == 4 and done["verdict"]["blocked"] == 5
    assert done["verdict"]["state"] == "with_gaps"
    assert "too few devices" in done["stages"][0]["verdict"]["sentence"]
    check_counters(story.query)
    assert story.audit(campaign) == ["campaign." + word for word in
                                     ("create", "plan", "submit", "approve", "start", "completed")]
    devices = story.opal.ok("GET", f"/v1/campaigns/{campaign['id']}/devices?state=blocked&per_page=2")
    assert len(devices["devices"]) == 2 and devices["meta"]["total"] == 5
    assert devices["devices"][0]["reason"] == "offline_since"
    assert story.do(campaign, "archive")["state"] == "archived"
    assert story.opal.ok("GET", "/v1/campaigns")["campaigns"] == []
    assert len(story.opal.ok("GET", "/v1/campaigns?state=archived")["campaigns"]) == 1


def test_nobody_approves_their_own(story):
    add_devices(story.query, 1, 3)
    campaign = story.create()
    story.do(campaign, "plan")
    story.do(campaign, "submit")
    answer = story.order(campaign, "approve")
    assert answer.status == 403 and "somebody else" in answer.json["error"]
    assert story.order(campaign, "start").status == 409
    assert story.read(campaign)["state"] == "awaiting_approval"


def test_a_single_operator_needs_nobody(new_cyand):
    story = Story(new_cyand(campaign_single_operator="yes"))
    add_devices(story.query, 1, 3)
    campaign = story.create()
    story.do(campaign, "plan")
    assert story.do(campaign, "start")["approved_by"] == "opal"
    story.wait_count(campaign, "active", 3)


def test_what_is_stale_is_refused(story):
    add_devices(story.query, 1, 50)
    campaign = story.create()
    old = story.read(campaign)["rev"]
    first = story.do(campaign, "plan")
    answer = story.order(campaign, "submit", rev=old)
    assert answer.status == 409 and answer.json["rev"] == first["rev"]
    add_devices(story.query, 51, 51)
    second = story.do(campaign, "plan")  # of other members
    assert second["plan_hash"] != first["plan_hash"]
    story.do(campaign, "submit")
    answer = story.order(campaign, "approve", story.otto, plan_hash=first["plan_hash"])
    assert answer.status == 409 and answer.json["code"] == "hash"
    story.do(campaign, "approve", story.otto, plan_hash=second["plan_hash"])
    # 2 of 51 devices run something else by now
    story.query("UPDATE device_module SET version = 3100 WHERE func = 4 AND device_id IN (SELECT id FROM device ORDER BY id LIMIT 2);"
                " SELECT refresh_class(id) FROM (SELECT id FROM device ORDER BY id LIMIT 2) d")
    answer = story.order(campaign, "start")
    assert answer.status == 409 and "2 of 51" in answer.json["error"]
    story.do(campaign, "plan")
    story.do(campaign, "submit")
    story.do(campaign, "approve", story.otto)
    story.query("UPDATE transition_rule SET enabled = false, rev = rev + 1 WHERE code = 'argon-ncp-5'")
    answer = story.order(campaign, "start")
    assert answer.status == 409 and answer.json["code"] == "rules"
    assert story.read(campaign)["state"] == "approved"


def test_the_same_key_makes_one_campaign(story):
    body = {"name": "once", "release": "2026.11", "selector": {"all": True}}
    key = {"Idempotency-Key": "k1"}
    first = story.opal.post("/v1/campaigns", body, headers=key)
    again = story.opal.post("/v1/campaigns", body, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json["campaign"]["id"] == again.json["campaign"]["id"]
    answer = story.opal.post("/v1/campaigns", {**body, "mode": "forced"}, headers=key)
    assert answer.status == 422, answer
    assert story.otto.post("/v1/campaigns", body, headers=key).status == 409  # his key, but the name is taken
    assert story.query("SELECT count(*) FROM campaign") == [["1"]]


@pytest.mark.parametrize("change, words", [
    ({"selector": {}}, "selector"),
    ({"release": "nowhere"}, "release"),
    ({"mode": "loud"}, "soft, forced or consent"),
    ({"stages": []}, "stages"),
    ({"stages": [{"name": "a"}]}, "stages[0] must have either percent or max_devices"),
    ({"stages": [{"percent": 20}, {"percent": 10}]}, "stages[1].percent must be more"),
    ({"stages": [{"percent": 100, "gate": {"max_failures": 3}}]}, "max_failures"),
    ({"stages": [{"percent": 100, "gate": {"soak_s": -1}}]}, "stages[0].gate.soak_s"),
    ({"limits": {"transfers": 0}}, "limits.transfers"),
    ({"limits": {"window": {"from": "25:00", "to": "06:00", "tz": "UTC"}}}, "limits.window.from"),
    ({"limits": {"window": {"from": "22:00", "to": "06:00", "tz": "Mars/Olympus"}}}, "Mars/Olympus"),
    ({"limits": {"window": {"from": "22:00", "to": "06:00", "tz": "UTC", "days": [8]}}}, "days[0]"),
    ({"name": ""}, "name"),
])
def test_what_makes_no_sense_is_refused_in_words(story, change, words):
    body = {"name": "odd", "release": "2026.11", "selector": {"all": True}, **change}
    answer = story.opal.post("/v1/campaigns", body)
    assert answer.status == 400 and words in answer.json["error"], answer
    assert story.query("SELECT count(*) FROM campaign") == [["0"]]
    assert story.cyand.rest("owner", "olive").post("/v1/campaigns", body).status == 403


def test_too_many_failures_stop_it(story):
    add_devices(story.query, 1, 100)
    campaign = story.begin(limits={"transfers": 10})
    story.wait_count(campaign, "active", 10)
    finish(story.query, campaign["id"], "failed", 3)
    ended = story.wait_state(campaign, "aborting")
    assert "failed" in ended["why"] and ended["stages"][0]["state"] == "failed"
    finish(story.query, campaign["id"])  # what was under way runs to its end
    ended = story.wait_state(campaign, "aborted")
    assert ended["verdict"]["state"] == "aborted" and ended["verdict"]["failed"] == 3
    check_counters(story.query)


def test_an_unhealthy_stage_is_held_until_someone_decides(story):
    add_devices(story.query, 1, 40)
    campaign = story.begin(stages=[{"name": "canary", "max_devices": 30, "gate": QUICK}, {"name": "rest", "percent": 100, "gate": QUICK}])
    story.wait_count(campaign, "active", 30)
    finish(story.query, campaign["id"], limit=29)
    finish(story.query, campaign["id"], "failed")  # the last one: of few, one failure would stop it
    held = story.wait_stage(campaign, 0, "held")
    assert "as high as" in held["verdict"]["sentence"]
    assert story.read(campaign)["why"] == held["verdict"]["sentence"]
    hold_for(2, lambda: story.stage(campaign, 1)["state"] == "pending")
    assert story.order(campaign, "stages/1/resume").status == 409
    assert story.order(campaign, "stages/7/resume").status == 404
    # more devices could show more
    answer = story.order(campaign, "stages/0/widen", max_devices=20)
    assert answer.status == 400
    widened = story.do(campaign, "stages/0/widen", max_devices=35)
    assert [g["counts"]["total"] for g in widened["stages"]] == [35, 5]
    story.wait_count(campaign, "active", 5)
    finish(story.query, campaign["id"])
    story.wait_stage(campaign, 0, "held")
    story.do(campaign, "stages/0/resume", reason="the battery was empty")
    story.wait_stage(campaign, 1, "running")
    assert "battery" in story.stage(campaign, 0)["verdict"]["sentence"]
    # the failed one once more
    story.do(campaign, "retry", reasons=["failed"])
    story.wait_count(campaign, "active", 6)
    finish(story.query, campaign["id"])
    done = story.wait_state(campaign, "completed")
    assert done["verdict"]["let_pass"] is True and done["verdict"]["ok"] == 40
    check_counters(story.query)


def test_pause_skip_and_exclude(story):
    add_devices(story.query, 1, 20)
    campaign = story.begin(stages=[{"name": "one", "max_devices": 5, "gate": QUICK}, {"name": "rest", "percent": 100, "gate": QUICK}],
                           limits={"transfers": 2})
    story.wait_count(campaign, "active", 2)
    paused = story.do(campaign, "pause", reason="lunch")
    assert paused["state"] == "paused" and paused["pause_reason"] == "operator" and paused["why"] == "lunch"
    finish(story.query, campaign["id"])
    hold_for(2, lambda: story.count(campaign, "active") == 0)
    rest = story.query("SELECT encode(device_id, 'hex') FROM device_update WHERE state = 'pending' ORDER BY id LIMIT 2")
    excluded = story.do(campaign, "exclude", devices=[row[0] for row in rest])
    assert sum(g["counts"]["gone"] for g in excluded["stages"]) == 2
    assert story.order(campaign, "exclude", devices=["nonsense"]).status == 400
    story.do(campaign, "resume")
    story.do(campaign, "stages/0/skip", reason="seen enough")
    story.wait_stage(campaign, 1, "running")
    wait_until(lambda: finish(story.query, campaign["id"]) is not None and story.read(campaign)["state"] == "completed",
               lambda: story.read(campaign))  # those of the skipped stage too
    assert story.read(campaign)["verdict"]["ok"] == 18
    check_counters(story.query)


def test_offline_devices_hold_up_nobody_and_come_later(story):
    add_devices(story.query, 1, 10)
    add_devices(story.query, 11, 14, online=False)
    campaign = story.begin(stages=[{"name": "half", "percent": 60, "gate": QUICK}, {"name": "all", "percent": 100, "gate": QUICK}])

    def both_passed():
        finish(story.query, campaign["id"])
        return story.stage(campaign, 1)["state"] == "passed"

    wait_until(both_passed, lambda: story.read(campaign))
    assert story.read(campaign)["state"] == "running" and story.count(campaign, "waiting") == 4
    story.query(f"UPDATE device SET online = true WHERE id = decode('{device_id(11)}', 'hex')")
    story.wait_count(campaign, "active", 1)
    finish(story.query, campaign["id"])
    check_counters(story.query)


def test_a_number_is_a_number_before_it_is_a_name(story):
    add_devices(story.query, 1, 1)
    story.query("INSERT INTO release (name, state, created_by, published_at) VALUES ('1', 'published', 'seed', now())")
    campaign = story.create(release="1")
    assert campaign["release"] == {"id": 1, "name": "2026.11"}
    story.create(name=str(campaign["id"]))
    assert story.read(campaign)["name"] == "first"


def test_a_tail_that_fails_stops_it(story):
    add_devices(story.query, 1, 10)
    add_devices(story.query, 11, 14, online=False)
    campaign = story.begin(stages=[{"percent": 100, "gate": {**QUICK, "max_lost": 1}}])
    story.wait_count(campaign, "active", 10)
    finish(story.query, campaign["id"])
    story.wait_stage(campaign, 0, "passed")
    story.query(f"UPDATE device SET online = true WHERE id = decode('{device_id(11)}', 'hex')")
    story.wait_count(campaign, "active", 1)
    finish(story.query, campaign["id"], "lost")
    ended = story.wait_state(campaign, "aborted")
    assert "never came back" in ended["why"] and ended["stages"][0]["state"] == "failed"
    assert story.count(campaign, "cancelled") == 3  # the others of the tail are spared
    check_counters(story.query)


def test_what_postgres_refuses_of_one_campaign_stops_no_other(story):
    add_devices(story.query, 1, 2)
    one = story.begin(name="one", selector={"names": ["d1"]}, stages=[{"percent": 100, "gate": {**QUICK, "allow_small_canary": True}}])
    story.wait_count(one, "active", 1)
    story.query(f"UPDATE campaign SET limits = '{{\"transfers\": \"many\"}}' WHERE id = {one['id']}")
    two = story.begin(name="two", selector={"names": ["d2"]})
    story.wait_count(two, "active", 1)


def test_a_device_is_in_one_campaign_at_a_time(story):
    add_devices(story.query, 1, 4)
    one = story.begin(name="one")
    story.wait_count(one, "active", 4)
    two = story.begin(name="two")
    wait_until(lambda: story.query(f"SELECT count(*) FROM device_update WHERE campaign_id = {two['id']} AND state = 'waiting'"
                                   " AND reason = 'busy_in_campaign'") == [["4"]], "they wait for the other")
    finish(story.query, one["id"])
    story.wait_state(one, "completed")
    story.query("UPDATE device_update SET next_at = now() WHERE state = 'waiting'")
    story.wait_count(two, "active", 4)


def test_a_bootloader_goes_to_one_of_a_class_first(story):
    add_devices(story.query, 1, 120)
    add_devices(story.query, 121, 125, system=3100)
    campaign = story.begin(release="boot")
    story.wait_count(campaign, "active", 2)  # 1 % of the one class, and one of the other
    hold_for(2, lambda: story.count(campaign, "active") == 2)
    story.query(f"""
        INSERT INTO update_step (update_id, ord, module_id) SELECT u.id, 0, m.id FROM device_update u, module_binary m
         WHERE u.campaign_id = {campaign['id']} AND u.state = 'active' AND m.func = 2
           AND u.sig = (SELECT sig FROM device WHERE name = 'd1');
        UPDATE update_step SET state = 'verified'""")
    story.wait_count(campaign, "active", 100)  # as many as there are places; the other class still waits
    assert story.query("SELECT count(*) FROM device_update u JOIN device d ON d.id = u.device_id WHERE u.state = 'active'"
                       " AND d.sig = (SELECT sig FROM device WHERE name = 'd121')") == [["1"]]


def test_devices_that_join_later(story):
    add_devices(story.query, 1, 3)
    campaign = story.begin(dynamic=True, limits={"transfers": 1})
    story.wait_count(campaign, "active", 1)
    add_devices(story.query, 4, 6)
    story.query("UPDATE campaign_pace SET joined_at = NULL")
    wait_until(lambda: story.stage(campaign)["counts"]["total"] == 6, lambda: story.read(campaign))
    check_counters(story.query)


def test_outside_its_window_it_rests(story):
    add_devices(story.query, 1, 3)
    zone = "Etc/GMT+12"
    hour = story.query(f"SELECT to_char(now() AT TIME ZONE '{zone}' + interval '2 hours', 'HH24:MI'),"
                       f" to_char(now() AT TIME ZONE '{zone}' + interval '3 hours', 'HH24:MI')")[0]
    campaign = story.begin(limits={"window": {"from": hour[0], "to": hour[1], "tz": zone}})
    paused = story.wait_state(campaign, "paused")
    assert paused["pause_reason"] == "window" and paused["window_opens_at"] in paused["why"]
    answer = story.order(campaign, "resume")
    assert answer.status == 409 and paused["window_opens_at"] in answer.json["error"]
    assert story.count(campaign, "active") == 0
    story.query("UPDATE campaign SET limits = limits - 'window'")
    story.wait_state(campaign, "running")


def test_windows_over_a_change_of_clocks(story):
    """Berlin: 29 March 2026, 02:00 becomes 03:00; 25 October 2026, 03:00 becomes 02:00."""
    def is_open(at, window):
        return story.query(f"SELECT window_is_open('{window}', '{at}')")[0][0] == "t"

    def opens(at, window):
        return story.query(f"SELECT iso_time(window_next_opening('{window}', '{at}'))")[0][0]

    night = '{"from": "22:00", "to": "06:00", "tz": "Europe/Berlin"}'
    assert opens("2026-03-28T12:00Z", night) == "2026-03-28T21:00:00.000Z"
    assert is_open("2026-03-29T03:59Z", night) and not is_open("2026-03-29T04:00Z", night)  # 7 hours long
    assert opens("2026-03-29T12:00Z", night) == "2026-03-29T20:00:00.000Z"
    assert is_open("2026-10-25T04:59Z", night) and not is_open("2026-10-25T05:00Z", night)  # 9 hours long
    gap = '{"from": "02:30", "to": "04:00", "tz": "Europe/Berlin"}'
    assert opens("2026-03-28T12:00Z", gap) == "2026-03-29T01:30:00.000Z"  # 03:30, since there is no 02:30
    assert opens("2026-10-24T12:00Z", gap) == "2026-10-25T01:30:00.000Z"  # the second 02:30
    assert not is_open("2026-10-25T00:40Z", gap) and is_open("2026-10-25T01:40Z", gap)
    lost = '{"from": "02:15", "to": "02:45", "tz": "Europe/Berlin", "days": [7]}'
    assert is_open("2026-03-29T01:20Z", lost)  # moved behind the gap, not left out
    monday = '{"from": "22:00", "to": "06:00", "tz": "Europe/Berlin", "days": [1]}'
    assert is_open("2026-06-01T21:00Z", monday) and is_open("2026-06-02T03:00Z", monday)
    assert not is_open("2026-06-02T21:00Z", monday)
    assert opens("2026-06-02T12:00Z", monday) == "2026-06-08T20:00:00.000Z"
    whole = '{"from": "00:00", "to": "00:00", "tz": "UTC"}'
    assert is_open("2026-06-02T00:00Z", whole) and is_open("2026-06-02T23:59Z", whole)


def test_what_is_withdrawn_stops_it(story):
    add_devices(story.query, 1, 3)
    campaign = story.begin(limits={"transfers": 1})
    story.wait_count(campaign, "active", 1)
    story.query("UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = 'bricks Argons' WHERE func = 4")
    paused = story.wait_state(campaign, "paused")
    assert paused["pause_reason"] == "safety" and "bricks Argons" in paused["why"]


def test_lost_devices_hold_the_disruption_budget(story):
    add_devices(story.query, 1, 20)
    campaign = story.begin(limits={"transfers": 1, "disruption": 1},
                           stages=[{"percent": 100, "gate": {**QUICK, "max_lost": 100, "max_failure_percent": 99}}])
    story.wait_count(campaign, "active", 1)
    story.query("UPDATE device_update SET disrupts = true WHERE state = 'active'")
    lost = story.query("SELECT encode(device_id, 'hex') FROM device_update WHERE state = 'active'")
    finish(story.query, campaign["id"], "lost")
    hold_for(2, lambda: story.count(campaign, "active") == 0)  # its place is held
    story.do(campaign, "exclude", devices=[lost[0][0]], reason="seen on the bench")
    story.wait_count(campaign, "active", 1)
    story.query("UPDATE device_update SET disrupts = true WHERE state = 'active'")
    lost = story.query("SELECT encode(device_id, 'hex') FROM device_update WHERE state = 'active'")
    story.query(f"UPDATE device SET online = false WHERE id = decode('{lost[0][0]}', 'hex')")
    finish(story.query, campaign["id"], "lost")
    hold_for(2, lambda: story.count(campaign, "active") == 0)
    story.query(f"UPDATE device SET online = true WHERE id = decode('{lost[0][0]}', 'hex')")  # there it is again
    story.wait_count(campaign, "active", 1)
    check_counters(story.query)


def test_two_nodes_are_one_tick(story, new_cyand):
    """Both tick; together they let no more go than there are places."""
    new_cyand(node_id=1)
    add_devices(story.query, 1, 60)
    campaign = story.begin(limits={"transfers": 4})

    def over():
        assert story.count(campaign, "active") <= 4
        finish(story.query, campaign["id"])
        return story.read(campaign)["state"] == "completed"

    wait_until(over, lambda: story.read(campaign))
    assert story.query("SELECT count(*) FROM update_event WHERE kind = 'update' AND to_state = 'active'") == [["60"]]
    assert story.query("SELECT count(*) FROM update_event WHERE kind = 'stage' AND to_state = 'passed'") == [["1"]]
    check_counters(story.query)


def test_events_and_export(story):
    add_devices(story.query, 1, 2500)
    campaign = story.begin(limits={"transfers": 3})
    story.wait_count(campaign, "active", 3)
    path = f"/v1/campaigns/{campaign['id']}"

    def events(after, wait_s=0):
        answer = story.opal.get(f"{path}/events?after={after}&wait_s={wait_s}")
        assert answer.status == 200, answer
        return [json.loads(line) for line in answer.text.splitlines()]

    seen = wait_until(lambda: (lambda e: e if len(e) >= 9 else None)(events(0)), "the events are there")
    assert [e["to"] for e in seen if e["kind"] == "campaign"] == ["draft", "planned", "awaiting_approval", "approved", "running"]
    assert [e["id"] for e in seen] == sorted(e["id"] for e in seen)
    assert events(seen[-1]["id"]) == []
    finish(story.query, campaign["id"], limit=1)
    more = events(seen[-1]["id"], wait_s=20)  # waits until they can be told
    assert more[0]["to"] == "succeeded" and more[0]["device"]
    lines, after = [], "0"
    while after is not None:
        answer = story.opal.get(f"{path}/export?after={after}", headers={"Accept": "text/csv"})
        lines += answer.text.splitlines()
        after = answer.headers.get("X-Next-After")
    assert len(lines) == 2501 and lines[0].startswith("id,name,stage,state")
    assert len(set(lines)) == 2501
    assert story.opal.get("/v1/campaigns/nowhere/events").status == 404
    assert story.opal.get("/v1/campaigns/nowhere/export").status == 404
    assert story.opal.get("/v1/campaigns/nowhere").status == 404
    assert story.opal.get("/v1/campaigns/nowhere/devices").status == 404
