"""Random walks of all the machines at once: campaigns, stages, device updates, steps. Whatever happens in whatever order, by
people, by ticks, by devices and by the engine of steps: one live update a device, counters that are counts, no way out of an
end, a deadline for every step that is under way, and an event for every move."""

import concurrent.futures
import os
import random
import subprocess

import pytest

from harness import fleet_rows
from harness.postgres import _program
from harness.waiting import wait_until

WALKS = int(os.environ.get("CYAN_TEST_WALKS", 4))
STEPS = 400
DEVICES = 24

OPEN = ("ready", "claimed", "starting", "transferring", "finishing", "rebooting", "describing", "backoff")
NEXT = {  # of a step: fleet.md's table, both ways out
    "ready": ["claimed"], "claimed": ["starting", "ready"], "starting": ["transferring", "backoff"],
    "transferring": ["finishing", "backoff"], "finishing": ["rebooting", "backoff", "failed"], "rebooting": ["describing", "lost"],
    "describing": ["verified", "backoff", "failed"], "backoff": ["claimed", "ready"],
}
ENDS = ("succeeded", "already_current", "blocked", "failed", "lost", "cancelled", "superseded", "excluded")


class Session:
    """One connection to Postgres that stays open: psql, asked line by line."""

    def __init__(self, conninfo):
        self._psql = subprocess.Popen([_program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", conninfo], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")

    def __call__(self, sql):
        """Rows as lists of text."""
        self._psql.stdin.write(sql.replace("\n", " ") + ";\n\\echo ==\n")
        self._psql.stdin.flush()
        rows = []
        for line in self._psql.stdout:
            if line == "==\n":
                return rows
            rows.append(line.rstrip("\n").split("|"))
        raise AssertionError(f"{sql}: {self._psql.stderr.read()}")

    def close(self):
        self._psql.stdin.close()
        self._psql.wait(30)


@pytest.fixture
def sql(postgres, database):
    session = Session(postgres.conninfo(database))
    try:
        yield session
    finally:
        session.close()


class World:
    def __init__(self, sql, rng):
        self.sql, self.rng = sql, rng
        self.campaigns = []
        self.ends = {}  # update: how it ended
        self.retried = set()

    def pick(self, query):
        rows = self.sql(query)
        return self.rng.choice(rows) if rows else None

    # --- people ---

    def create(self):
        if len(self.campaigns) >= 3:
            return
        stages = ('[{"name": "a", "max_devices": 4, "gate": {"soak_s": 0}}, {"name": "b", "percent": 60, "gate": {"soak_s": 0}},'
                  ' {"name": "c", "percent": 100, "gate": {"soak_s": 0}}]')
        limits = f'{{"transfers": {self.rng.choice([2, 5, 50])}, "disruption": {self.rng.choice([1, 3, 50])}, "tail_s": 0}}'
        which = self.sql(f"SELECT id FROM campaign_create('ann', NULL, NULL, 'c{len(self.campaigns)}', '2026.11', '{{\"all\": true}}',"
                         f" '{stages}', '{limits}', 'soft', {self.rng.choice(['true', 'false'])})")[0][0]
        classes = ("(SELECT jsonb_agg(jsonb_build_object('sig', sig, 'devices', n, 'outcome', 'steps', 'canary', ARRAY[]::bigint[]))"
                   " FROM (SELECT sig, count(*) AS n FROM device GROUP BY sig) k)")
        rev = self.sql(f"SELECT rev FROM campaign_plan_begin({which}, 0, 'ann', {classes})")[0][0]
        past, members = "", ""
        while True:
            last, members = self.sql(f"SELECT encode(last, 'hex'), encode(hash, 'hex') FROM campaign_plan_slice({which}, {rev},"
                                     f" decode('{past}', 'hex'), 7, decode('{members}', 'hex'))")[0]
            if not last:
                break
            past = last
        self.sql(f"SELECT code FROM campaign_plan_finish({which}, {rev}, 'ann', NULL, '{{}}', decode('{members}', 'hex'))")
        self.campaigns.append(which)
        for word, who in (("submit", "ann"), ("approve", "bob"), ("start", "ann"))[:self.rng.choice([0, 2, 3, 3, 3, 3])]:
            code = self.sql(f"SELECT code FROM campaign_act({which}, '{word}', (SELECT rev FROM campaign WHERE id = {which}), '{who}',"
                            " NULL, NULL, false, 100, 0)")
            assert code == [["ok"]], (word, code)

    def word(self):
        if not self.campaigns:
            return
        which = self.rng.choice(self.campaigns)
        word = self.rng.choice(["submit", "approve", "start", "start", "pause", "resume", "resume", "resume", "archive"]
                               + ["abort"] * (self.rng.random() < 0.1))
        stale = self.rng.random() < 0.1
        code = self.sql(f"SELECT code FROM campaign_act({which}, '{word}', (SELECT rev FROM campaign WHERE id = {which})"
                        f" - {int(stale)}, '{self.rng.choice(['ann', 'bob'])}', NULL, NULL, false, 100, {self.rng.choice([0, 0, 0, 50])})")[0][0]
        assert code in ("ok", "stale", "state", "own", "drift") and (code == "stale") == stale, code

    def stage_word(self):
        if not self.campaigns:
            return
        which = self.rng.choice(self.campaigns)
        self.sql(f"SELECT code FROM campaign_stage_act({which}, {self.rng.randrange(3)}, '{self.rng.choice(['resume', 'skip', 'widen'])}',"
                 f" (SELECT rev FROM campaign WHERE id = {which}), 'bob', NULL, NULL, {self.rng.randrange(1, 20)})")

    def retry_or_exclude(self):
        if not self.campaigns:
            return
        which = self.rng.choice(self.campaigns)
        rev = f"(SELECT rev FROM campaign WHERE id = {which})"
        if self.rng.random() < 0.5:
            again = self.sql(f"SELECT id FROM device_update WHERE campaign_id = {which} AND state IN ('failed', 'lost', 'blocked')")
            if self.sql(f"SELECT code FROM campaign_retry({which}, {rev}, 'bob', NULL, '{{failed,lost,blocked}}')") == [["ok"]]:
                for row in again:
                    self.ends.pop(row[0], None)
        else:
            self.sql(f"SELECT code FROM campaign_exclude({which}, {rev}, 'bob', NULL, ARRAY(SELECT id FROM device ORDER BY random() LIMIT 2))")

    # --- ticks, with whatever a gate may say ---

    def tick(self):
        for which in self.campaigns:
            kind = self.rng.choice(["running"] * 6 + ["soaking", "passed", "passed", "held"] + ["failed"] * (self.rng.random() < 0.05))
            self.sql(f"""SELECT campaign_tick({which}, (SELECT coalesce(jsonb_agg(jsonb_build_object('ord', ord, 'rev', rev,
                'kind', '{kind}', 'admits', {self.rng.choice(['true', 'false'])}, 'sentence', 'so it is', 'ok', n_ok, 'failed', n_failed,
                'lost', n_lost, 'open', n_open, 'tail', n_tail, 'gone', n_gone, 'blocked', n_blocked)), '[]') FROM campaign_stage
                WHERE campaign_id = {which} AND state IN ('running', 'soaking', 'held')), {self.rng.choice([1, 3, 100])}, 'node/1')""")

    # --- devices ---

    def toggle(self):
        self.sql(f"UPDATE device SET online = NOT online, last_heard = now() - interval '2 min' WHERE name = 'd{self.rng.randrange(1, DEVICES + 1)}'")

    def hurry(self):
        self.sql("UPDATE device_update SET next_at = now(), started_at = started_at - interval '2 min' WHERE state IN ('waiting', 'active')")

    def flash(self):
        """An update of its own begins, when nothing else is at the device."""
        self.sql("""INSERT INTO device_update (kind, device_id, state, requested_by, started_at)
            SELECT 'flash', id, 'active', 'ann', now() FROM device ORDER BY random() LIMIT 1
            ON CONFLICT (device_id) WHERE state IN ('active', 'verifying') DO NOTHING""")

    # --- the engine of steps ---

    def plan_step(self):
        row = self.pick("SELECT u.id FROM device_update u WHERE u.state = 'active' AND NOT EXISTS (SELECT FROM update_step s WHERE"
                        f" s.update_id = u.id AND s.state IN {OPEN})")
        if row:
            self.sql(f"INSERT INTO update_step (update_id, ord, module_id) SELECT {row[0]}, count(*), 1 FROM update_step"
                     f" WHERE update_id = {row[0]}")

    def move_step(self):
        row = self.pick("SELECT s.id, s.state, s.rev, u.id, u.rev, u.state, coalesce(step_may_start(s.id), ''),"
                        " coalesce(update_may_disrupt(u.id), '') FROM update_step s"
                        f" JOIN device_update u ON u.id = s.update_id WHERE s.state IN {OPEN}")
        if not row:
            return
        step, state, rev, update, update_rev, update_state, held, budget = row
        becomes = self.rng.choice(NEXT[state])
        under_way = state in ("finishing", "rebooting", "describing")
        if held and not under_way:
            if state in ("ready", "backoff"):
                return
            becomes = "backoff"
        if becomes == "finishing":
            if budget:
                return
            self.sql(f"UPDATE device_update SET disrupts = true WHERE id = {update} AND campaign_id IS NOT NULL")
        deadline = "NULL" if becomes not in OPEN or becomes in ("ready", "backoff") else "now() + interval '1 min'"
        self.sql(f"UPDATE update_step SET state = '{becomes}', rev = rev + 1, deadline_at = {deadline} WHERE id = {step}"
                 f" AND state = '{state}' AND rev = {rev}")
        end = {"failed": "failed", "lost": "lost", "verified": self.rng.choice(["succeeded", "verifying", None])}.get(becomes)
        if end:
            assert self.sql(f"SELECT update_move({update}, '{update_state}', {update_rev}, '{end}', NULL, NULL, 'node/1')") == [["t"]]

    def end_verifying(self):
        row = self.pick("SELECT id, rev FROM device_update WHERE state = 'verifying'")
        if row:
            end = self.rng.choice(["succeeded", "failed"])
            self.sql(f"SELECT update_move({row[0]}, 'verifying', {row[1]}, '{end}', 'regressed', NULL, 'node/1')")

    def walk(self):
        moves = [(self.create, 1), (self.word, 4), (self.stage_word, 1), (self.retry_or_exclude, 1), (self.tick, 6), (self.toggle, 3),
                 (self.hurry, 2), (self.flash, 1), (self.plan_step, 8), (self.move_step, 25), (self.end_verifying, 3)]
        self.rng.choices([m for m, _ in moves], [w for _, w in moves])[0]()

    # --- what must hold ---

    def check(self):
        fleet_rows.check_counters(self.sql)
        assert self.sql("SELECT device_id FROM device_update WHERE state IN ('active', 'verifying') GROUP BY device_id"
                        " HAVING count(*) > 1") == []
        assert self.sql(f"SELECT update_id FROM update_step WHERE state IN {OPEN} GROUP BY update_id HAVING count(*) > 1") == []
        assert self.sql("SELECT id, state FROM update_step WHERE state IN ('claimed', 'starting', 'transferring', 'finishing',"
                        " 'rebooting', 'describing') AND deadline_at IS NULL") == []
        assert self.sql("SELECT id FROM campaign WHERE state = 'paused' AND pause_reason IS NULL OR state <> 'paused'"
                        " AND pause_reason IS NOT NULL") == []
        # what has ended has no step under way, and stays as it ended
        assert self.sql(f"SELECT u.id, u.state FROM device_update u JOIN update_step s ON s.update_id = u.id WHERE s.state IN {OPEN}"
                        f" AND u.state IN {ENDS}") == []
        ended = dict(self.sql(f"SELECT id, state FROM device_update WHERE state IN {ENDS}"))
        for update, state in self.ends.items():
            assert ended.get(update) == state, f"update {update} left {state}"
        self.ends = ended
        # an aborted or completed campaign is over
        assert self.sql(f"SELECT c.id FROM campaign c JOIN device_update u ON u.campaign_id = c.id WHERE c.state IN ('aborted',"
                        f" 'completed', 'archived') AND u.state NOT IN {ENDS}") == []
        # the last event of each update tells the state it is in
        assert self.sql("SELECT u.id, u.state, e.to_state FROM device_update u JOIN LATERAL (SELECT to_state FROM update_event e WHERE"
                        " e.update_id = u.id AND e.kind = 'update' ORDER BY e.id DESC LIMIT 1) e ON true WHERE e.to_state <> u.state") == []
        # and of each campaign and its rev, that nothing moved it behind its back
        assert self.sql("SELECT c.id, c.state, e.to_state FROM campaign c JOIN LATERAL (SELECT to_state FROM update_event e WHERE"
                        " e.campaign_id = c.id AND e.kind = 'campaign' ORDER BY e.id DESC LIMIT 1) e ON true WHERE e.to_state <> c.state") == []


@pytest.mark.parametrize("seed", range(WALKS))
def test_no_walk_breaks_what_must_hold(sql, seed):
    fleet_rows.seed(lambda text: [sql(one) for one in text.split(";") if one.strip()])
    fleet_rows.add_devices(lambda text: [sql(one) for one in text.split(";\n") if one.strip()], 1, DEVICES)
    world = World(sql, random.Random(seed))
    for _ in range(STEPS):
        world.walk()
        world.check()
    # ended by everybody, all of it comes to an end
    for which in world.campaigns:
        sql(f"SELECT campaign_act({which}, 'abort', (SELECT rev FROM campaign WHERE id = {which}), 'bob', NULL, NULL, false, 100, 0)")
    for _ in range(100):
        for _ in range(20):
            world.move_step()
            world.end_verifying()
        world.tick()
        world.check()
        if sql("SELECT id FROM campaign WHERE state NOT IN ('aborted', 'completed', 'archived')") == []:
            break
    assert sql("SELECT id, state FROM campaign WHERE state NOT IN ('aborted', 'completed', 'archived')") == []
    moves = {tuple(row) for row in sql("SELECT DISTINCT kind, from_state, to_state FROM update_event")}
    assert {("update", "pending", "active"), ("campaign", "approved", "running"), ("stage", "pending", "running")} <= moves
    assert len(moves) >= 15, sorted(moves)  # it went somewhere


@pytest.mark.parametrize("first", ["cancel", "finish"])
def test_of_a_cancel_and_a_finish_the_first_counts(postgres, database, sql, first):
    """The second waits for the first, and finds that it is too late: nothing is cancelled that is applied."""
    fleet_rows.seed(lambda text: [sql(one) for one in text.split(";") if one.strip()])
    fleet_rows.add_devices(lambda text: [sql(one) for one in text.split(";\n") if one.strip()], 1, 1)
    device = fleet_rows.device_id(1)
    assert sql(f"SELECT code FROM create_flash(NULL, 'ann', true, '{device}', 1)") == [["ok"]]
    assert sql(f"SELECT job FROM update_claim({fleet_rows.NODE}, 1, 1, 60)") == [["start"]]
    assert sql(f"SELECT said FROM step_check(1, 1, {fleet_rows.NODE})") == [["start"]]
    assert sql(f"SELECT said FROM step_transfer(1, 2, {fleet_rows.NODE}, 0)") == [["ok"]]
    orders = {"cancel": (f"SELECT code FROM cancel_update(NULL, 'ann', true, '{device}', 1)", [["ok"]], "cancelled"),
              "finish": (f"SELECT said FROM step_finish(1, 3, {fleet_rows.NODE}, 1, 1)", [["finish"]], "active")}
    early = orders.pop(first)
    late, = orders.values()
    one, other = Session(postgres.conninfo(database)), Session(postgres.conninfo(database))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        one("BEGIN")
        assert one(early[0]) == early[1]
        waiting = pool.submit(other, late[0])
        wait_until(lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                               " AND wait_event_type = 'Lock'") == [["1"]], "the second waits")
        one("COMMIT")
        assert waiting.result() == [["held"]]
    one.close()
    other.close()
    assert sql("SELECT state FROM device_update") == [[early[2]]]
