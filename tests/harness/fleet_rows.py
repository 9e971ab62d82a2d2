"""A fleet as rows: devices with what they described, module binaries and a release, for tests of what happens in Postgres
alone. The devices belong to a node that does not exist, so that no node looks for them."""

NODE = 77  # whose devices these are

SEED = f"""
INSERT INTO module_content (sha256, data) SELECT sha256(x::text::bytea), x::text::bytea FROM generate_series(1, 9) x;
INSERT INTO module_binary (platform_id, func, idx, version, sha256, size_bytes, uploaded_by)
VALUES (13, 4, 1, 5600, sha256('1'), 300000, 'seed'), (13, 2, 0, 2000, sha256('2'), 50000, 'seed');
INSERT INTO release (name, state, created_by, published_at) VALUES ('2026.11', 'published', 'seed', now()),
                                                                   ('boot', 'published', 'seed', now());
INSERT INTO release_module SELECT r.id, m.id, 'target' FROM release r, module_binary m
 WHERE r.name = '2026.11' AND m.func = 4 OR r.name = 'boot';
"""

DEVICES = """
INSERT INTO device (id, name, platform_id, online, node_id, last_heard, last_handshake)
SELECT decode(lpad(to_hex(i), 24, '0'), 'hex'), 'd' || i, 13, {online}, {node}, now(), now()
  FROM generate_series({first}, {last}) i;
INSERT INTO device_module (device_id, store, func, idx, version, last_known, valid, max_size_bytes, checked_flags, passed_flags,
                           dependencies, seen_at)
SELECT decode(lpad(to_hex(i), 24, '0'), 'hex'), 0, m.func, m.idx, m.version, m.version, true, 1000000, 0, 0, '[]', now()
  FROM generate_series({first}, {last}) i, (VALUES (4, 1, {system}), (2, 0, 1000), (5, 1, 6)) AS m (func, idx, version);
SELECT refresh_class(decode(lpad(to_hex(i), 24, '0'), 'hex')) FROM generate_series({first}, {last}) i;
"""


def seed(query):
    """Binaries and two releases: `2026.11` with a system part, `boot` with a bootloader besides."""
    query(SEED)


def add_devices(query, first, last, online=True, system=3000):
    query(DEVICES.format(first=first, last=last, online=str(online).lower(), node=NODE, system=system))


def device_id(i):
    return f"{i:024x}"


def finish(query, campaign, becomes="succeeded", limit=1000000):
    """What the engine of steps would do: active updates come to an end. How many."""
    return len(query(f"SELECT update_move(id, 'active', rev, '{becomes}', NULL, NULL, 'test') FROM (SELECT id, rev FROM"
                     f" device_update WHERE campaign_id = {campaign} AND state = 'active' ORDER BY id LIMIT {limit}) u"))


def check_counters(query):
    """The counters of every stage are what its updates are."""
    wrong = query("""
        SELECT g.campaign_id, g.ord, g.n_total, g.n_open, g.n_ok, g.n_current, g.n_failed, g.n_lost, g.n_blocked, g.n_gone, g.n_tail,
               c.*
          FROM campaign_stage g CROSS JOIN LATERAL (
               SELECT count(*) AS total, count(*) FILTER (WHERE state IN ('active', 'verifying')) AS open,
                      count(*) FILTER (WHERE state IN ('succeeded', 'already_current')) AS ok,
                      count(*) FILTER (WHERE state = 'already_current') AS current,
                      count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'lost') AS lost,
                      count(*) FILTER (WHERE state = 'blocked') AS blocked,
                      count(*) FILTER (WHERE state IN ('cancelled', 'superseded', 'excluded')) AS gone,
                      count(*) FILTER (WHERE state = 'waiting' AND reason LIKE 'offline%') AS tail
                 FROM device_update u WHERE u.campaign_id = g.campaign_id AND u.stage_ord = g.ord) c
         WHERE (g.n_total, g.n_open, g.n_ok, g.n_current, g.n_failed, g.n_lost, g.n_blocked, g.n_gone, g.n_tail)
               <> (c.total, c.open, c.ok, c.current, c.failed, c.lost, c.blocked, c.gone, c.tail)""")
    assert wrong == [], wrong
