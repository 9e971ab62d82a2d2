-- Updates of devices, step by step: what the engine asks and writes. Each function is one transaction of its own; what is called
-- once more because its answer was lost finds what it did and answers the same.
--
-- settings: {"again_s", "reboot_s", "ncp_reboot_s", "backoff_s", "describe_s", "offline_s"}, of the node that asks.

ALTER TABLE device ADD COLUMN hellos bigint NOT NULL DEFAULT 0; -- stored: what was described before one says nothing of after it

ALTER TABLE update_step ADD COLUMN planned_modules jsonb;              -- step_vector when it was planned
ALTER TABLE update_step ADD COLUMN hellos bigint;                      -- of the device when it was last looked at
ALTER TABLE update_step ADD COLUMN breaks smallint NOT NULL DEFAULT 0; -- times in a row that the way to it broke
ALTER TABLE update_step ADD COLUMN finished_at timestamptz;            -- it was told to apply
ALTER TABLE update_step ADD COLUMN unheard boolean NOT NULL DEFAULT false; -- the node that told it ended before its answer

ALTER TABLE device_update ADD COLUMN verify_until timestamptz;         -- of verifying
ALTER TABLE device_update ADD COLUMN falls smallint NOT NULL DEFAULT 0; -- times another module fell while a step was done
ALTER TABLE device_update ADD COLUMN silences smallint NOT NULL DEFAULT 0; -- times in a row that it was asked to describe itself, and did not

CREATE INDEX update_step_looked_at ON update_step (next_at, id) WHERE state = 'describing';
CREATE INDEX device_update_disrupts ON device_update (campaign_id) WHERE disrupts;
CREATE INDEX device_update_own_due ON device_update (next_at) WHERE campaign_id IS NULL AND state IN ('pending', 'waiting');
CREATE INDEX device_update_wakes ON device_update (device_id)
 WHERE state = 'waiting' AND reason IN ('offline_since', 'offline_never_seen', 'updates_disabled');
CREATE INDEX device_update_lost ON device_update (device_id) WHERE state = 'lost' AND disrupts;
CREATE INDEX device_safe_mode ON device (id) WHERE status = 'safe_mode';

-- --- what of a device is compared ---

-- What a device runs, as it is planned from (device_vector), with the hashes it states.
CREATE FUNCTION device_runs(dev bytea) RETURNS TABLE (func smallint, idx smallint, version integer, hash bytea)
    LANGUAGE sql STABLE AS $$
    SELECT v.f, v.n, v.v, m.hash
      FROM device d
     CROSS JOIN jsonb_to_recordset(device_vector(d.id, d.platform_id, d.cc3000_patch_version))
                AS v (f smallint, n smallint, v integer)
      LEFT JOIN device_module m ON m.device_id = dev AND m.store = 0 AND m.func = v.f AND m.idx = v.n
     WHERE d.id = dev
$$;

-- The version of each module by `func.idx`, with what else tells one state of a device from another: the hashes of its modules, and the
-- version of its application.
CREATE FUNCTION step_vector(dev bytea) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_object_agg(r.func || '.' || r.idx, r.version) FILTER (WHERE r.func IS NOT NULL), '{}')
           || jsonb_strip_nulls(jsonb_build_object(
                  'hash', md5(string_agg(encode(r.hash, 'hex'), ',' ORDER BY r.func, r.idx)),
                  'product', min(d.product_version)))
      FROM device d LEFT JOIN device_runs(dev) r ON true
     WHERE d.id = dev
     GROUP BY d.id
$$;
CREATE FUNCTION step_versions(vector jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN vector - ARRAY['hash', 'product'];

-- Whether a device runs what this binary brings: met, unmet, or unknown. exactly: this very binary, not a newer one. A binary of
-- before modules has no version to look for: it is met when what the device says of itself is not what it said before.
CREATE FUNCTION module_state(dev bytea, module bigint, exactly boolean, before jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN b.version = 0 THEN CASE WHEN before <> step_vector(dev) THEN 'met' ELSE 'unmet' END
                WHEN bool_or(w.func = 7 AND coalesce(r.version, 0) = 0) THEN 'unknown'
                WHEN bool_and(coalesce(CASE WHEN exactly THEN r.version = w.version ELSE r.version >= w.version END, false)
                              AND coalesce(NOT exactly OR r.hash = w.hash, true)) THEN 'met'
                ELSE 'unmet' END
      FROM module_binary b
     CROSS JOIN LATERAL (
           SELECT b.func, b.idx, b.version, b.suffix_sha256 AS hash
            UNION ALL
           SELECT c.func, c.index, c.version, NULL
             FROM jsonb_to_recordset(b.combined) AS c (func smallint, index smallint, version integer)) w
      LEFT JOIN device_runs(dev) r ON r.func = w.func AND r.idx = w.idx
     WHERE b.id = module
     GROUP BY b.version
$$;

-- Whether a target of the release is not on the device any more. What is unknown has not fallen.
CREATE FUNCTION release_has_fallen(dev bytea, release bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM release_module t
          JOIN module_binary b ON b.id = t.module_id
          JOIN device d ON d.id = dev AND d.platform_id = b.platform_id
          JOIN device_runs(dev) r ON r.func = b.func AND r.idx = b.idx
         WHERE t.release_id = release AND t.role = 'target' AND r.version < b.version AND NOT (r.func = 7 AND r.version = 0))
$$;

-- Whether a rule says that a step of the first module may move the second.
CREATE FUNCTION step_may_move(platform integer, func smallint, idx smallint, other_func smallint, other_idx smallint)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM transition_rule r
         WHERE r.enabled AND r.kind = 'collateral' AND r.platform_id = platform
           AND module_function_number(r.body -> 'step' ->> 'module') = func
           AND coalesce((r.body -> 'step' ->> 'index')::smallint, 0) = idx
           AND EXISTS (SELECT FROM jsonb_array_elements(r.body -> 'moves') AS m (moves)
                        WHERE module_function_number(m.moves ->> 'module') = other_func
                          AND coalesce((m.moves ->> 'index')::smallint, 0) = other_idx))
$$;

-- Modules that are below what they were, but for this binary's own and those a rule of kind collateral lets it move.
CREATE FUNCTION modules_fallen(dev bytea, before jsonb, module bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('func', r.func, 'index', r.idx,
                                                 'from', (before ->> (r.func || '.' || r.idx))::integer, 'to', r.version)
                              ORDER BY r.func, r.idx), '[]')
      FROM device_runs(dev) r JOIN device d ON d.id = dev JOIN module_binary b ON b.id = module
     WHERE r.version < (before ->> (r.func || '.' || r.idx))::integer AND NOT (r.func = 7 AND r.version = 0)
       AND (r.func, r.idx) <> (b.func, b.idx)
       AND NOT step_may_move(d.platform_id, b.func, b.idx, r.func, r.idx)
$$;

-- --- moves ---

-- Moves of many updates at once, as update_move does one. Returns how many there were.
CREATE FUNCTION updates_settle(ids bigint[], froms text[], becomes text, why text, more jsonb, who text)
    RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    IF coalesce(cardinality(ids), 0) = 0 THEN
        RETURN 0;
    END IF;
    WITH old AS (
        SELECT id, state FROM device_update WHERE id = ANY (ids) AND state = ANY (froms) ORDER BY id FOR UPDATE
    ), fresh AS (
        UPDATE device_update u SET
            state = becomes, rev = u.rev + 1, reason = why, detail = more, next_at = now(),
            started_at = coalesce(u.started_at, CASE WHEN becomes = 'active' THEN now() END),
            ended_at = CASE WHEN becomes NOT IN ('pending', 'waiting', 'active', 'verifying') THEN now() END,
            disrupts = u.disrupts AND becomes IN ('active', 'verifying', 'lost')
          FROM old WHERE u.id = old.id
        RETURNING u.id, u.campaign_id, u.device_id, old.state AS was
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
        SELECT f.campaign_id, f.id, f.device_id, who, 'update', f.was, becomes,
               coalesce(more, '{}') || jsonb_strip_nulls(jsonb_build_object('reason', why))
          FROM fresh f ORDER BY f.id
    )
    SELECT count(*) INTO moved FROM fresh;
    RETURN moved;
END $$;

-- Each move of a step is told, whoever makes it. What its owner sees of it are the events of old: a success only when the device
-- has described it.
CREATE FUNCTION on_steps_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO update_event (campaign_id, update_id, step_id, device_id, actor, kind, from_state, to_state, detail)
    SELECT u.campaign_id, u.id, n.id, u.device_id, coalesce('node/' || n.node_id, 'sweep'), 'step', o.state, n.state,
           jsonb_strip_nulls(jsonb_build_object(
               'module_id', n.module_id, 'acked_bytes', nullif(n.acked_bytes, 0),
               'error', CASE WHEN n.state IN ('backoff', 'failed', 'lost', 'cancelled', 'rebooting') THEN n.last_error END,
               'seen', CASE WHEN n.state IN ('verified', 'backoff', 'failed') AND o.state = 'describing' THEN n.seen_modules END))
      FROM is_now n JOIN was_before o USING (id) JOIN device_update u ON u.id = n.update_id
     WHERE n.state <> o.state ORDER BY n.id;
    INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), u.device_id, 'spark/flash/status', convert_to(t.said, 'UTF8'), 0, 60, false, true,
           clock_timestamp()
      FROM is_now n JOIN was_before o USING (id) JOIN device_update u ON u.id = n.update_id
     CROSS JOIN LATERAL (
           SELECT CASE WHEN n.state = 'transferring' AND o.started_at IS NULL THEN 'started '
                       WHEN n.state = 'verified' AND (n.started_at IS NOT NULL OR u.kind = 'flash') THEN 'success '
                       WHEN n.state IN ('failed', 'lost', 'cancelled') AND (n.started_at IS NOT NULL OR u.kind = 'flash')
                       THEN 'failed ' END AS said) t
     WHERE n.state <> o.state AND t.said IS NOT NULL ORDER BY n.id;
    RETURN NULL;
END $$;
CREATE TRIGGER steps_moved AFTER UPDATE ON update_step REFERENCING OLD TABLE AS was_before NEW TABLE AS is_now
    FOR EACH STATEMENT EXECUTE FUNCTION on_steps_moved();

-- Grows with each failure, and is never the same for two devices. At most six hours.
CREATE FUNCTION step_backoff(failures integer, base_s numeric) RETURNS interval LANGUAGE sql VOLATILE AS $$
    SELECT make_interval(secs => least(21600, base_s * 2 ^ least(greatest(failures - 1, 0), 16))::double precision
                                 * (0.75 + random() / 2))
$$;
CREATE FUNCTION reboot_time(func smallint, settings jsonb) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_interval(secs => (settings ->> CASE WHEN func = 7 THEN 'ncp_reboot_s' ELSE 'reboot_s' END)::double precision);

-- A refusal that says nothing of the file: busy, cancelled, aborted, timed out, in no state to (device-protocol 5.4).
CREATE FUNCTION step_code_passes(code integer) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN code IN (-110, -140, -150, -160, -210);

-- said: what the engine does next; rev: of the step from now on.
CREATE TYPE step_answer AS (said text, rev integer);

-- --- work for a node ---

-- What there is to do for devices of this node, each piece given out once: job is
--   plan    an active update without an open step: describe, plan, update_planned
--   start   a step that is claimed now: describe, step_check
--   look    a device that came back: describe, step_look
--   verify  an update whose time to be looked at again has come: describe, update_verify
CREATE FUNCTION update_claim(node integer, max_starts integer, max_looks integer, lease_s integer)
    RETURNS TABLE (job text, update_id bigint, update_rev integer, step_id bigint, step_rev integer, device_id bytea,
                   release_id bigint, func smallint, module_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT s.id FROM update_step s
              JOIN device_update u ON u.id = s.update_id
              JOIN device d ON d.id = u.device_id
             WHERE s.state = 'describing' AND s.next_at <= now() AND d.online AND d.node_id = node
             ORDER BY s.next_at, s.id LIMIT max_looks FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE update_step s SET next_at = now() + make_interval(secs => lease_s)
          FROM due, device_update u WHERE s.id = due.id AND u.id = s.update_id
        RETURNING 'look', u.id, u.rev, s.id, s.rev, u.device_id, u.release_id, NULL::smallint, s.module_id;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
             WHERE u.state = 'verifying' AND u.next_at <= now() AND d.online AND d.node_id = node
             ORDER BY u.next_at, u.id LIMIT max_looks FOR UPDATE OF u SKIP LOCKED
        )
        UPDATE device_update u SET next_at = now() + make_interval(secs => lease_s) FROM due WHERE u.id = due.id
        RETURNING 'verify', u.id, u.rev, NULL::bigint, NULL::integer, u.device_id, u.release_id, NULL::smallint, NULL::bigint;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT s.id, d.session_epoch FROM update_step s
              JOIN device_update u ON u.id = s.update_id
              JOIN device d ON d.id = u.device_id
             WHERE s.state IN ('ready', 'backoff') AND NOT s.is_held AND s.next_at <= now() AND u.state = 'active'
               AND d.online AND d.node_id = node AND step_may_start(s.id) IS NULL
             ORDER BY s.next_at, s.id LIMIT max_starts FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE update_step s SET state = 'claimed', rev = s.rev + 1, node_id = node, session_epoch = due.session_epoch,
                                 deadline_at = now() + make_interval(secs => lease_s)
          FROM due, device_update u, module_binary b WHERE s.id = due.id AND u.id = s.update_id AND b.id = s.module_id
        RETURNING 'start', u.id, u.rev, s.id, s.rev, u.device_id, u.release_id, b.func, b.id;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT u.id FROM device_update u
              JOIN device d ON d.id = u.device_id
              LEFT JOIN campaign c ON c.id = u.campaign_id
             WHERE u.state = 'active' AND u.release_id IS NOT NULL AND u.next_at <= now() AND d.online AND d.node_id = node
               AND coalesce(c.state = 'running', true)
               AND NOT EXISTS (SELECT FROM update_step o
                                WHERE o.update_id = u.id AND o.state IN ('ready', 'claimed', 'starting', 'transferring',
                                      'finishing', 'rebooting', 'describing', 'backoff'))
             ORDER BY u.next_at, u.id LIMIT max_starts FOR UPDATE OF u SKIP LOCKED
        )
        UPDATE device_update u SET next_at = now() + make_interval(secs => lease_s) FROM due WHERE u.id = due.id
        RETURNING 'plan', u.id, u.rev, NULL::bigint, NULL::integer, u.device_id, u.release_id, NULL::smallint, NULL::bigint;
END $$;

-- --- planning ---

-- What planning came to. outcome: current, steps, or blocked with why. planned_sig: the inventory class it was planned for, or NULL; when the
-- device has described another one meanwhile, the plan is worth nothing. module, reasons: of the first step. Says what became of it.
CREATE FUNCTION update_planned(which bigint, was_rev integer, outcome text, why text, more jsonb, steps jsonb, module bigint,
                               reasons jsonb, planned_sig bigint, settings jsonb, who text)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u device_update;
    vector jsonb;
    verify_s double precision;
BEGIN
    SELECT * INTO u FROM device_update WHERE id = which AND rev = was_rev AND state = 'active' FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM update_step o WHERE o.update_id = which AND o.state NOT IN
                            ('verified', 'failed', 'lost', 'cancelled')) THEN
        RETURN 'gone';
    END IF;
    vector := step_vector(u.device_id);
    IF planned_sig <> (SELECT d.sig FROM device d WHERE d.id = u.device_id) THEN
        UPDATE device_update SET next_at = now() WHERE id = which;
        RETURN 'changed';
    END IF;
    UPDATE device_update SET plan = steps, before_modules = coalesce(before_modules, vector), silences = 0 WHERE id = which;
    IF outcome = 'steps' AND (SELECT count(*) FROM update_step o WHERE o.update_id = which) >= 40 THEN
        PERFORM updates_settle(ARRAY[which], ARRAY['active'], 'failed', 'regressed',
                               '{"sentence": "After 40 steps the device is not where it should be."}', who);
        RETURN 'failed';
    ELSIF outcome = 'steps' THEN
        INSERT INTO update_step (update_id, ord, module_id, because, planned_modules)
        SELECT which, (SELECT count(*) FROM update_step o WHERE o.update_id = which), module,
               coalesce(reasons, '[]'), vector;
        RETURN 'step';
    ELSIF outcome = 'current' AND NOT EXISTS (SELECT FROM update_step o WHERE o.update_id = which AND o.state = 'verified') THEN
        PERFORM updates_settle(ARRAY[which], ARRAY['active'], 'already_current', NULL, NULL, who);
        RETURN 'already_current';
    ELSIF outcome = 'current' THEN
        verify_s := (SELECT (c.limits ->> 'verify_s')::double precision FROM campaign c WHERE c.id = u.campaign_id);
        IF verify_s > 0 THEN
            PERFORM updates_settle(ARRAY[which], ARRAY['active'], 'verifying', NULL, NULL, who);
            UPDATE device_update SET verify_until = now() + make_interval(secs => verify_s),
                                     next_at = now() + make_interval(secs => verify_s) WHERE id = which;
            RETURN 'verifying';
        END IF;
        PERFORM updates_settle(ARRAY[which], ARRAY['active'], 'succeeded', NULL, NULL, who);
        RETURN 'succeeded';
    ELSIF why = 'unknown_inventory' AND u.attempts < 5 THEN -- a network co-processor that says 0 is asked again
        UPDATE device_update SET attempts = attempts + 1,
                                 next_at = now() + make_interval(secs => (settings ->> 'again_s')::double precision)
         WHERE id = which;
        RETURN 'again';
    END IF;
    PERFORM updates_settle(ARRAY[which], ARRAY['active'], 'blocked', why, more, who);
    RETURN 'blocked';
END $$;

-- --- steps ---

-- An update waits until its device wants updates: on_device_changed wakes it.
CREATE FUNCTION step_wait_enabled(s update_step, node integer) RETURNS step_answer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE update_step SET state = 'backoff', rev = rev + 1, next_at = now(), deadline_at = NULL, last_error = 'updates disabled'
     WHERE id = s.id;
    PERFORM updates_settle(ARRAY[s.update_id], ARRAY['active'], 'waiting', 'updates_disabled',
                           '{"sentence": "The application on the device does not want updates now.",
                             "unblock": "It takes them once it enables updates."}', 'node/' || node);
    UPDATE device_update SET next_at = now() + interval '1 hour', disrupts = false WHERE id = s.update_id;
    RETURN ROW('disabled', s.rev + 1)::step_answer;
END $$;

-- A claimed step whose device has just been described. Says start (the row is `starting` now), verified, changed (planned anew),
-- force (it is to be told, and its echo waited for), disabled, held, gone.
CREATE FUNCTION step_check(which bigint, was_rev integer, node integer) RETURNS step_answer LANGUAGE plpgsql AS $$
DECLARE
    s update_step;
    u device_update;
    d device;
    forced boolean;
BEGIN
    SELECT * INTO s FROM update_step WHERE id = which AND node_id = node AND (rev, state) IN ((was_rev, 'claimed'),
                                                                                             (was_rev + 1, 'starting')) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('gone', NULL)::step_answer;
    ELSIF s.state = 'starting' THEN
        RETURN ROW('start', s.rev)::step_answer;
    END IF;
    SELECT * INTO u FROM device_update WHERE id = s.update_id;
    SELECT * INTO d FROM device WHERE id = u.device_id;
    IF NOT FOUND OR u.state <> 'active' OR d.session_epoch <> s.session_epoch OR step_may_start(which) IS NOT NULL THEN
        UPDATE update_step SET state = 'backoff', rev = rev + 1, next_at = now() + interval '1 s', deadline_at = NULL,
                               last_error = coalesce(step_may_start(which), 'the device connected anew')
         WHERE id = which;
        RETURN ROW('held', s.rev + 1)::step_answer;
    ELSIF module_state(u.device_id, s.module_id, u.kind = 'flash', NULL) = 'met' THEN
        UPDATE update_step SET state = 'verified', rev = rev + 1, deadline_at = NULL, ended_at = now(), last_error = NULL,
                               seen_modules = step_vector(u.device_id), seen_at = now()
         WHERE id = which;
        PERFORM step_was_verified(s, u, node);
        RETURN ROW('verified', s.rev + 1)::step_answer;
    ELSIF step_versions(s.planned_modules) <> step_versions(step_vector(u.device_id)) AND u.kind <> 'flash' THEN
        UPDATE update_step SET state = 'cancelled', rev = rev + 1, deadline_at = NULL, ended_at = now(),
                               last_error = 'the device runs other modules than when it was planned'
         WHERE id = which;
        UPDATE device_update SET next_at = now() WHERE id = u.id;
        RETURN ROW('changed', s.rev + 1)::step_answer;
    ELSIF d.updates_enabled = false AND d.updates_forced IS NOT TRUE THEN
        forced := (SELECT c.mode = 'forced' FROM campaign c WHERE c.id = u.campaign_id);
        IF forced IS NOT TRUE THEN
            RETURN step_wait_enabled(s, node);
        END IF;
        UPDATE update_step SET state = 'backoff', rev = rev + 1, next_at = now() + interval '60 s', deadline_at = NULL,
                               breaks = least(breaks + 1, 100), last_error = 'updates disabled: told to take them, its echo is waited for'
         WHERE id = which;
        RETURN ROW('force', s.rev + 1)::step_answer;
    END IF;
    UPDATE update_step SET state = 'starting', rev = rev + 1, deadline_at = now() + interval '120 s', last_error = NULL
     WHERE id = which;
    UPDATE device_update SET before_modules = coalesce(before_modules, step_vector(device_id)) WHERE id = u.id;
    RETURN ROW('start', s.rev + 1)::step_answer;
END $$;

-- The device said from where on it wants the file.
CREATE FUNCTION step_transfer(which bigint, was_rev integer, node integer, start_bytes integer) RETURNS step_answer
    LANGUAGE plpgsql AS $$
DECLARE
    s update_step;
BEGIN
    UPDATE update_step SET state = 'transferring', rev = rev + 1, acked_bytes = start_bytes, deadline_at = now() + interval '120 s',
                           started_at = coalesce(started_at, now())
     WHERE id = which AND node_id = node AND rev = was_rev AND state = 'starting' RETURNING * INTO s;
    IF NOT FOUND THEN
        SELECT * INTO s FROM update_step WHERE id = which AND node_id = node AND rev = was_rev + 1 AND state = 'transferring';
    END IF;
    RETURN ROW(CASE WHEN FOUND THEN 'ok' ELSE 'gone' END, s.rev)::step_answer;
END $$;

-- Where the transfers of a node are; each has another two minutes. Returns those that are not theirs any more.
CREATE FUNCTION steps_checkpoint(node integer, ids bigint[], revs integer[], acked bigint[], sent bigint[])
    RETURNS TABLE (step_id bigint, step_rev integer) LANGUAGE plpgsql AS $$
BEGIN
    WITH moved AS (
        UPDATE update_step s SET
            deadline_at = now() + interval '120 s', acked_bytes = greatest(s.acked_bytes, c.acked), sent_bytes = c.sent,
            breaks = CASE WHEN c.acked > s.acked_bytes THEN 0 ELSE s.breaks END
          FROM unnest(ids, revs, acked, sent) AS c (id, rev, acked, sent)
         WHERE s.id = c.id AND s.rev = c.rev AND s.node_id = node AND s.state IN ('claimed', 'starting', 'transferring')
        RETURNING s.id, s.update_id, s.acked_bytes, s.module_id
    )
    INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), u.device_id, 'spark/flash/progress',
           convert_to(format('%s/%s', m.acked_bytes, b.size_bytes), 'UTF8'), 0, 60, false, true, clock_timestamp()
      FROM moved m JOIN device_update u ON u.id = m.update_id JOIN module_binary b ON b.id = m.module_id
     WHERE u.kind = 'flash';
    RETURN QUERY
        SELECT c.id, c.rev FROM unnest(ids, revs) AS c (id, rev)
         WHERE NOT EXISTS (SELECT FROM update_step s
                            WHERE s.id = c.id AND s.rev = c.rev AND s.node_id = node
                              AND s.state IN ('claimed', 'starting', 'transferring'));
END $$;

-- All is acknowledged: intent before effect. Says finish (the row is `finishing` now), wait (no room in the disruption budget),
-- held, gone.
CREATE FUNCTION step_finish(which bigint, was_rev integer, node integer, acked bigint, sent bigint) RETURNS step_answer
    LANGUAGE plpgsql AS $$
DECLARE
    s update_step;
    u device_update;
    d device;
BEGIN
    SELECT p.* INTO u FROM update_step o JOIN device_update p ON p.id = o.update_id WHERE o.id = which;
    IF u.campaign_id IS NOT NULL THEN -- so that two do not take the last place
        PERFORM pg_advisory_xact_lock(3012, (u.campaign_id % 2147483647)::integer);
    END IF;
    SELECT * INTO s FROM update_step WHERE id = which AND node_id = node AND (rev, state) IN ((was_rev, 'transferring'),
                                                                                             (was_rev + 1, 'finishing')) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('gone', NULL)::step_answer;
    ELSIF s.state = 'finishing' THEN
        RETURN ROW('finish', s.rev)::step_answer;
    END IF;
    SELECT * INTO u FROM device_update WHERE id = s.update_id FOR UPDATE; -- who cancels it comes before or after, not between
    SELECT * INTO d FROM device WHERE id = u.device_id;
    IF NOT FOUND OR d.session_epoch <> s.session_epoch OR u.state <> 'active' OR step_may_start(which) IS NOT NULL THEN
        RETURN ROW('held', s.rev)::step_answer;
    ELSIF update_may_disrupt(u.id) IS NOT NULL THEN
        UPDATE update_step SET deadline_at = now() + interval '120 s', acked_bytes = acked, sent_bytes = sent WHERE id = which;
        RETURN ROW('wait', s.rev)::step_answer;
    END IF;
    UPDATE update_step SET state = 'finishing', rev = rev + 1, deadline_at = now() + interval '150 s', acked_bytes = acked,
                           sent_bytes = sent, finished_at = now(), hellos = d.hellos, breaks = 0, unheard = false
     WHERE id = which;
    UPDATE device_update SET disrupts = true WHERE id = u.id;
    RETURN ROW('finish', s.rev + 1)::step_answer;
END $$;

-- It ended on the way. how: validated, unknown, refused, disabled, or what broke: no_start, stalled, gone, stopped, not_here,
-- no_describe, no_file, unfit. code, message: the device's; final: trying again does not help.
CREATE FUNCTION step_ended(which bigint, was_rev integer, node integer, how text, code integer, message text, final boolean,
                           acked bigint, sent bigint, settings jsonb) RETURNS step_answer LANGUAGE plpgsql AS $$
DECLARE
    s update_step;
    b module_binary;
    error text := how || coalesce(': ' || nullif(message, ''), '') || CASE WHEN code <> 0 THEN format(' (%s)', code) ELSE '' END;
    who text := 'node/' || node;
    base_s numeric := (settings ->> 'backoff_s')::numeric;
    sentence text;
BEGIN
    IF how = 'disabled' OR code = -1380 THEN -- devices are locked before their updates, as by what they say
        UPDATE device d SET updates_enabled = false FROM update_step o JOIN device_update u ON u.id = o.update_id
         WHERE o.id = which AND d.id = u.device_id AND d.updates_enabled IS DISTINCT FROM false;
    END IF;
    SELECT * INTO s FROM update_step
     WHERE id = which AND node_id = node AND rev = was_rev AND state IN ('claimed', 'starting', 'transferring', 'finishing')
       FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('gone', NULL)::step_answer;
    END IF;
    SELECT * INTO b FROM module_binary WHERE id = s.module_id;
    UPDATE update_step SET acked_bytes = greatest(acked_bytes, acked), sent_bytes = greatest(sent_bytes, sent) WHERE id = which;
    IF how IN ('validated', 'unknown') THEN
        UPDATE update_step SET state = 'rebooting', rev = rev + 1, deadline_at = now() + reboot_time(b.func, settings),
                               last_error = CASE WHEN how = 'unknown' THEN 'the device did not say whether it took it' END
         WHERE id = which;
        RETURN ROW('rebooting', s.rev + 1)::step_answer;
    END IF;
    UPDATE device_update SET disrupts = false WHERE id = s.update_id AND disrupts;
    IF how = 'disabled' OR code = -1380 THEN
        RETURN step_wait_enabled(s, node);
    ELSIF how = 'refused' AND final OR how = 'unfit' THEN
        sentence := format('The device does not take module %s.%s version %s: %s', b.func, b.idx, b.version, error);
        UPDATE update_step SET state = 'failed', rev = rev + 1, deadline_at = NULL, ended_at = now(), last_error = error
         WHERE id = which;
        PERFORM updates_settle(ARRAY[s.update_id], ARRAY['active'], 'blocked', 'no_path',
                               jsonb_build_object('sentence', sentence, 'unblock', 'Another binary of this module.'), who);
        RETURN ROW('blocked', s.rev + 1)::step_answer;
    ELSIF how = 'refused' AND NOT step_code_passes(code) AND s.attempts >= 2 THEN
        sentence := format('The device failed three times to take module %s.%s version %s: %s', b.func, b.idx, b.version, error);
        UPDATE update_step SET state = 'failed', rev = rev + 1, deadline_at = NULL, ended_at = now(), last_error = error,
                               attempts = attempts + 1
         WHERE id = which;
        PERFORM updates_settle(ARRAY[s.update_id], ARRAY['active'], 'failed', 'device_error',
                               jsonb_build_object('sentence', sentence), who);
        RETURN ROW('failed', s.rev + 1)::step_answer;
    END IF;
    UPDATE update_step SET
        state = 'backoff', rev = rev + 1, deadline_at = NULL, last_error = error,
        attempts = attempts + CASE WHEN how = 'refused' AND NOT step_code_passes(code) THEN 1 ELSE 0 END,
        breaks = breaks + CASE WHEN how IN ('stopped', 'not_here') OR breaks >= 100 THEN 0 ELSE 1 END,
        next_at = now() + CASE WHEN how IN ('stopped', 'not_here') THEN interval '1 s'
                               WHEN how = 'gone' AND s.breaks < 3 THEN interval '1 s' -- it goes on where it stopped
                               ELSE step_backoff(greatest(s.attempts, s.breaks) + 1, base_s) END
     WHERE id = which;
    RETURN ROW('backoff', s.rev + 1)::step_answer;
END $$;

-- A step is done: what of it concerns its update.
CREATE FUNCTION step_was_verified(s update_step, u device_update, node integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fallen jsonb := '[]';
BEGIN
    UPDATE device_update SET disrupts = false, next_at = now() WHERE id = u.id;
    IF u.kind = 'flash' THEN
        PERFORM updates_settle(ARRAY[u.id], ARRAY['active'], 'succeeded', NULL, NULL, 'node/' || node);
        RETURN;
    ELSIF s.planned_modules IS NOT NULL THEN
        fallen := modules_fallen(u.device_id, s.planned_modules, s.module_id);
    END IF;
    IF fallen = '[]' THEN
        RETURN;
    END IF;
    -- no rule says that this step may do that: planned anew from where it is, but not for ever
    INSERT INTO update_event (campaign_id, update_id, step_id, device_id, actor, kind, detail)
    VALUES (u.campaign_id, u.id, s.id, u.device_id, 'node/' || node, 'fallen', jsonb_build_object('modules', fallen));
    UPDATE device_update SET falls = falls + 1 WHERE id = u.id;
    IF u.falls >= 2 THEN
        PERFORM updates_settle(ARRAY[u.id], ARRAY['active'], 'failed', 'regressed', jsonb_build_object(
            'sentence', 'Other modules fell to older versions three times while this device was updated.', 'modules', fallen),
            'node/' || node);
    END IF;
END $$;

-- A device that came back has described itself, because it was asked. Says again, verified, backoff, failed, gone.
CREATE FUNCTION step_look(which bigint, was_rev integer, node integer, settings jsonb) RETURNS step_answer LANGUAGE plpgsql AS $$
DECLARE
    s update_step;
    u device_update;
    d device;
    b module_binary;
    vector jsonb;
    state_now text;
    again interval := make_interval(secs => (settings ->> 'again_s')::double precision);
BEGIN
    SELECT * INTO s FROM update_step WHERE id = which AND rev = was_rev AND state = 'describing' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('gone', NULL)::step_answer;
    END IF;
    SELECT * INTO u FROM device_update WHERE id = s.update_id;
    SELECT * INTO d FROM device WHERE id = u.device_id;
    SELECT * INTO b FROM module_binary WHERE id = s.module_id;
    vector := step_vector(u.device_id);
    IF vector IS NULL THEN
        RETURN ROW('gone', NULL)::step_answer;
    ELSIF s.seen_modules IS DISTINCT FROM vector OR s.hellos IS DISTINCT FROM d.hellos THEN
        UPDATE update_step SET
            seen_modules = vector, seen_at = now(), next_at = now() + again, node_id = node,
            reboots = least(reboots + greatest(d.hellos - hellos, 0), 1000), hellos = d.hellos,
            deadline_at = CASE WHEN s.hellos < d.hellos AND s.reboots < CASE WHEN b.func = 7 THEN 8 ELSE 4 END
                               THEN now() + step_describe_time(b.func, settings) ELSE deadline_at END
         WHERE id = which;
        RETURN ROW('again', s.rev)::step_answer;
    END IF;
    state_now := module_state(u.device_id, s.module_id, u.kind = 'flash', s.planned_modules);
    IF b.version = 0 AND s.reboots > 0 AND d.hello_flags & 1 = 1 THEN
        state_now := 'met'; -- its Hello says that an update was applied, and said so of no earlier one: ours clears that
    END IF;
    IF now() < s.seen_at + again OR state_now = 'unknown' THEN
        UPDATE update_step SET next_at = greatest(now() + interval '1 s', s.seen_at + again) WHERE id = which;
        RETURN ROW('again', s.rev)::step_answer;
    ELSIF state_now = 'met' THEN
        UPDATE update_step SET state = 'verified', rev = rev + 1, node_id = node, deadline_at = NULL, ended_at = now(),
                               last_error = NULL
         WHERE id = which;
        PERFORM step_was_verified(s, u, node);
        RETURN ROW('verified', s.rev + 1)::step_answer;
    ELSIF s.no_effects >= 1 AND NOT s.unheard THEN
        UPDATE update_step SET state = 'failed', rev = rev + 1, node_id = node, deadline_at = NULL, ended_at = now(),
                               no_effects = no_effects + 1, last_error = 'no effect: the device came back as it was'
         WHERE id = which;
        PERFORM updates_settle(ARRAY[s.update_id], ARRAY['active'], 'failed', 'no_effect', jsonb_build_object('sentence', format(
            'The device took module %s.%s version %s twice and came back without it.', b.func, b.idx, b.version)), 'node/' || node);
        RETURN ROW('failed', s.rev + 1)::step_answer;
    END IF;
    -- when nobody heard its answer it may never have been told, which is nothing that it did
    UPDATE update_step SET state = 'backoff', rev = rev + 1, node_id = node, deadline_at = NULL,
                           no_effects = no_effects + (NOT unheard)::integer, acked_bytes = 0,
                           last_error = CASE WHEN unheard THEN 'it is not known whether the device was told to apply it'
                                             ELSE 'mismatch: the device came back as it was' END,
                           next_at = now() + step_backoff(no_effects + 1, (settings ->> 'backoff_s')::numeric)
     WHERE id = which;
    UPDATE device_update SET disrupts = false WHERE id = s.update_id;
    RETURN ROW('backoff', s.rev + 1)::step_answer;
END $$;
CREATE FUNCTION step_describe_time(func smallint, settings jsonb) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN make_interval(secs => (settings ->> CASE WHEN func = 7 THEN 'ncp_reboot_s' ELSE 'describe_s' END)::double precision);

-- Whether what an update reached is still there. Says succeeded, failed, verifying, gone.
CREATE FUNCTION update_verify(which bigint, who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u device_update;
BEGIN
    SELECT * INTO u FROM device_update WHERE id = which AND state = 'verifying' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'gone';
    ELSIF release_has_fallen(u.device_id, u.release_id) THEN
        PERFORM updates_settle(ARRAY[which], ARRAY['verifying'], 'failed', 'regressed',
                               '{"sentence": "The device had every target and fell back to an older version."}', who);
        RETURN 'failed';
    ELSIF now() >= u.verify_until THEN
        PERFORM updates_settle(ARRAY[which], ARRAY['verifying'], 'succeeded', NULL, NULL, who);
        RETURN 'succeeded';
    END IF;
    UPDATE device_update SET next_at = u.verify_until, silences = 0 WHERE id = which;
    RETURN 'verifying';
END $$;

-- A device that is connected was asked to describe itself, to be planned for or looked at, and did not. It is asked again when its
-- lease has run out, but not for ever: others wait for it. Says active, verifying, failed, gone.
CREATE FUNCTION update_silent(which bigint, was_rev integer, who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    u device_update;
BEGIN
    UPDATE device_update SET silences = silences + 1
     WHERE id = which AND rev = was_rev AND state IN ('active', 'verifying') RETURNING * INTO u;
    IF NOT FOUND THEN
        RETURN 'gone';
    ELSIF u.silences < 30 THEN
        RETURN u.state;
    END IF;
    PERFORM updates_settle(ARRAY[which], ARRAY[u.state], 'failed', 'no_describe',
                           '{"sentence": "The device was asked 30 times in a row to describe itself and did not."}', who);
    RETURN 'failed';
END $$;
