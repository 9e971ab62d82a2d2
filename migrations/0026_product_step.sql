-- The engine of updates (0012, 0013, 0015), as before; and: an update of kind product is one binary, told by its hash as a flash
-- is, and the Hello has to say the product's version as well. Devices may be forced to take updates.

-- A device that is to take updates whatever its application wants; NULL: nobody has said. What it has heard of that is what it
-- echoes (updates_forced).
ALTER TABLE device
    ADD COLUMN force_updates boolean,
    ADD COLUMN force_next_at timestamptz, -- told again, unless it has echoed it
    ADD COLUMN force_tells integer NOT NULL DEFAULT 0;
CREATE INDEX device_force ON device (node_id, force_next_at)
 WHERE force_updates IS NOT NULL AND online AND force_updates IS DISTINCT FROM coalesce(updates_forced, false);

-- --- steps ---

-- Whether a device runs what a step of this update brings, as module_state.
CREATE FUNCTION update_state(u device_update, module bigint, before jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN u.kind = 'product' AND s.said = 'met'
                     AND (SELECT d.product_version FROM device d WHERE d.id = u.device_id) IS DISTINCT FROM u.product_version
                THEN 'unmet' ELSE s.said END
      FROM module_state(u.device_id, module, u.kind IN ('flash', 'product'), before) AS s (said)
$$;

CREATE OR REPLACE FUNCTION step_check(which bigint, was_rev integer, node integer) RETURNS step_answer LANGUAGE plpgsql AS $$
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
    ELSIF update_state(u, s.module_id, NULL) = 'met' THEN
        UPDATE update_step SET state = 'verified', rev = rev + 1, deadline_at = NULL, ended_at = now(), last_error = NULL,
                               seen_modules = step_vector(u.device_id), seen_at = now()
         WHERE id = which;
        PERFORM step_was_verified(s, u, node);
        RETURN ROW('verified', s.rev + 1)::step_answer;
    ELSIF step_versions(s.planned_modules) <> step_versions(step_vector(u.device_id)) AND u.kind NOT IN ('flash', 'product') THEN
        UPDATE update_step SET state = 'cancelled', rev = rev + 1, deadline_at = NULL, ended_at = now(),
                               last_error = 'the device runs other modules than when it was planned'
         WHERE id = which;
        UPDATE device_update SET next_at = now() WHERE id = u.id;
        RETURN ROW('changed', s.rev + 1)::step_answer;
    ELSIF d.updates_enabled = false AND d.updates_forced IS NOT TRUE THEN
        forced := (SELECT c.mode = 'forced' FROM campaign c WHERE c.id = u.campaign_id);
        IF forced IS NOT TRUE AND d.force_updates IS NOT TRUE THEN
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

CREATE OR REPLACE FUNCTION step_look(which bigint, was_rev integer, node integer, settings jsonb) RETURNS step_answer
    LANGUAGE plpgsql AS $$
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
    state_now := update_state(u, s.module_id, s.planned_modules);
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

CREATE OR REPLACE FUNCTION step_was_verified(s update_step, u device_update, node integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fallen jsonb := '[]';
BEGIN
    UPDATE device_update SET disrupts = false, next_at = now() WHERE id = u.id;
    IF u.kind IN ('flash', 'product') THEN
        PERFORM updates_settle(ARRAY[u.id], ARRAY['active'], 'succeeded', NULL, NULL, 'node/' || node);
        IF u.kind = 'product' THEN -- another version may have been released meanwhile
            PERFORM product_updates_make(ARRAY[u.device_id], 'node/' || node, false);
        END IF;
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

CREATE OR REPLACE FUNCTION step_wait_enabled(s update_step, node integer) RETURNS step_answer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE update_step SET state = 'backoff', rev = rev + 1, next_at = now(), deadline_at = NULL, last_error = 'updates disabled'
     WHERE id = s.id;
    PERFORM updates_settle(ARRAY[s.update_id], ARRAY['active'], 'waiting', 'updates_disabled',
                           '{"sentence": "The application on the device does not want updates now.",
                             "unblock": "It takes them once it enables updates."}', 'node/' || node);
    UPDATE device_update SET next_at = now() + interval '1 hour', disrupts = false WHERE id = s.update_id;
    PERFORM tell_of_device(u.device_id, 'particle/device/updates/pending', 'true') FROM device_update u WHERE u.id = s.update_id;
    RETURN ROW('disabled', s.rev + 1)::step_answer;
END $$;

CREATE OR REPLACE FUNCTION updates_withdrawn(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update WHERE id = ANY (ids) AND kind IN ('flash', 'product')),
                           ARRAY['active', 'waiting'], 'blocked', 'module_withdrawn',
                           '{"sentence": "The binary was withdrawn."}', 'sweep');
    FOR r IN SELECT w.sentence, w.ids
               FROM (SELECT campaign_withdrawn(u.release_id) AS sentence, array_agg(u.id) AS ids FROM device_update u
                      WHERE u.id = ANY (updates_withdrawn.ids) AND u.release_id IS NOT NULL GROUP BY u.release_id) w
              WHERE w.sentence IS NOT NULL LOOP
        PERFORM updates_settle(r.ids, ARRAY['active', 'waiting'], 'blocked', 'module_withdrawn', jsonb_build_object(
            'sentence', r.sentence, 'unblock', 'A release with another binary in its place.'), 'sweep');
    END LOOP;
    UPDATE device_update SET next_at = now() WHERE id = ANY (ids) AND state = 'active';
END $$;

CREATE OR REPLACE FUNCTION sweep_updates(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    -- steps that nobody is at, of updates that are over or whose binary was withdrawn
    WITH looked AS MATERIALIZED (
        (SELECT s.id FROM update_step s JOIN device_update u ON u.id = s.update_id
          WHERE s.state IN ('ready', 'backoff') AND NOT s.is_held AND u.state NOT IN ('pending', 'waiting', 'active') LIMIT 1000)
        UNION
        (SELECT n.id FROM module_binary b CROSS JOIN LATERAL ( -- binary by binary: most have no step
                SELECT s.id FROM update_step s JOIN device_update u ON u.id = s.update_id
                 WHERE s.module_id = b.id AND s.state IN ('ready', 'backoff') AND u.state IN ('active', 'waiting') LIMIT 1000) n
          WHERE b.status = 'withdrawn' LIMIT 1000)
    ), stale AS MATERIALIZED (
        SELECT s.id, u.state IN ('active', 'waiting') AS withdrawn
          FROM looked JOIN update_step s USING (id) JOIN device_update u ON u.id = s.update_id
         WHERE s.state IN ('ready', 'backoff')
         ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE update_step s SET state = 'cancelled', rev = s.rev + 1, ended_at = now(),
                                 last_error = CASE WHEN stale.withdrawn THEN 'module_withdrawn' ELSE 'the update is over' END
          FROM stale WHERE s.id = stale.id
        RETURNING s.update_id, stale.withdrawn
    )
    SELECT array_agg(m.update_id) FILTER (WHERE m.withdrawn) INTO ids FROM moved m;
    PERFORM updates_withdrawn(ids);
    -- between two steps when it was withdrawn
    PERFORM updates_withdrawn(ARRAY(
        SELECT u.id FROM campaign c JOIN device_update u ON u.campaign_id = c.id
         WHERE c.state = 'paused' AND c.pause_reason = 'safety' AND u.state = 'active'
           AND campaign_withdrawn(c.release_id) IS NOT NULL
           AND NOT EXISTS (SELECT FROM update_step o WHERE o.update_id = u.id
                              AND o.state NOT IN ('verified', 'failed', 'lost', 'cancelled'))
         ORDER BY u.id LIMIT 1000));
    -- between two steps when the campaign was aborted
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u JOIN campaign c ON c.id = u.campaign_id
         WHERE u.state = 'active' AND c.state = 'aborting'
           AND NOT EXISTS (SELECT FROM update_step o WHERE o.update_id = u.id
                              AND o.state NOT IN ('verified', 'failed', 'lost', 'cancelled'))
         ORDER BY u.id LIMIT 1000), ARRAY['active'], 'cancelled', 'campaign_aborted', NULL, 'sweep');
    -- a device that is away holds no place for others: it goes on when it is back
    ids := ARRAY(
        SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.state = 'active' AND NOT d.online
           AND u.started_at < now() - make_interval(secs => (settings ->> 'offline_s')::double precision)
           AND coalesce(d.last_heard, '-infinity') < now() - make_interval(secs => (settings ->> 'offline_s')::double precision)
           AND NOT EXISTS (SELECT FROM update_step o WHERE o.update_id = u.id
                              AND o.state NOT IN ('ready', 'backoff', 'verified', 'failed', 'lost', 'cancelled'))
         ORDER BY u.id LIMIT 1000 FOR UPDATE OF u SKIP LOCKED);
    PERFORM updates_settle(ids, ARRAY['active'], 'waiting', 'offline_since',
                           '{"sentence": "The device is offline.", "unblock": "It goes on when it connects."}', 'sweep');
    UPDATE device_update SET next_at = now() + interval '15 min' WHERE id = ANY (ids);
    -- nothing waits, or is tried, for ever
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u
         WHERE u.campaign_id IS NULL AND u.state IN ('pending', 'waiting') AND u.created_at < now() - interval '7 days'
         ORDER BY u.id LIMIT 1000), ARRAY['pending', 'waiting'], 'cancelled', 'too_late',
        '{"sentence": "The device did not take it within seven days."}', 'sweep');
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u JOIN update_step s ON s.update_id = u.id
         WHERE u.state = 'active' AND s.state = 'backoff' AND s.started_at < now() - interval '7 days'
         ORDER BY u.id LIMIT 1000), ARRAY['active'], 'failed', 'transport',
        '{"sentence": "The device did not get the whole file within seven days."}', 'sweep');
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u JOIN update_step s ON s.update_id = u.id
         WHERE u.state = 'active' AND s.state = 'backoff' AND s.breaks >= 40
         ORDER BY u.id LIMIT 1000), ARRAY['active'], 'failed', 'transport',
        '{"sentence": "The way to the device broke 40 times in a row without a byte getting through."}', 'sweep');
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u
         WHERE u.state = 'verifying' AND u.verify_until < now() - interval '7 days'
         ORDER BY u.id LIMIT 1000), ARRAY['verifying'], 'failed', 'no_describe',
        '{"sentence": "The device had every target, and did not describe itself once more within seven days."}', 'sweep');
    -- strangers are sent nothing
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.state = 'active' AND d.quarantined ORDER BY u.id LIMIT 1000), ARRAY['active'], 'blocked', 'quarantined',
        '{"sentence": "The device is in quarantine.", "unblock": "Someone who gives it a key of its own."}', 'sweep');
    -- updates without a campaign begin as soon as their device is there and has no other
    PERFORM updates_settle(ARRAY(
        SELECT DISTINCT ON (u.device_id) u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.campaign_id IS NULL AND u.kind <> 'product' AND u.state IN ('pending', 'waiting') AND u.next_at <= now()
           AND d.online AND d.node_id = node
           AND NOT EXISTS (SELECT FROM device_update o WHERE o.device_id = u.device_id AND o.state IN ('active', 'verifying'))
         ORDER BY u.device_id, u.id LIMIT 1000), ARRAY['pending', 'waiting'], 'active', NULL, NULL, 'node/' || node);
END $$;

CREATE OR REPLACE FUNCTION update_sweep(node integer, settings jsonb) RETURNS TABLE (step_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT stop_steps(node);
    PERFORM sweep_deadlines(node, settings);
    PERFORM sweep_reboots(node, settings);
    PERFORM sweep_updates(node, settings);
    PERFORM sweep_products(node, settings);
END $$;

CREATE OR REPLACE FUNCTION step_may_start(which bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.status = 'withdrawn' THEN 'module_withdrawn'
                WHEN u.state <> 'active' THEN 'stage_not_open'
                WHEN u.kind = 'product' AND u.product_version IS DISTINCT FROM
                     (SELECT targeted_firmware_version(d) FROM device d WHERE d.id = u.device_id) THEN 'released_anew'
                WHEN c.id IS NULL THEN NULL
                WHEN c.state <> 'running' THEN 'stage_not_open'
                WHEN g.state NOT IN ('running', 'soaking', 'held', 'passed', 'skipped') THEN 'stage_not_open'
                WHEN s.state = 'backoff' AND c.limits ? 'transfers' AND (c.limits ->> 'transfers')::bigint <= (
                     SELECT count(*) FROM device_update o JOIN update_step t ON t.update_id = o.id
                      WHERE o.campaign_id = c.id AND o.state = 'active'
                        AND t.state IN ('claimed', 'starting', 'transferring', 'finishing')) THEN 'rate_limited'
                WHEN s.state IN ('ready', 'backoff') AND m.func IN (2, 7)
                     AND NOT EXISTS (SELECT FROM class_proof p WHERE p.sig = u.sig AND p.module_id = s.module_id)
                     AND greatest(1, k.devices / 100) <= (
                     SELECT count(*) FROM device_update o JOIN update_step t ON t.update_id = o.id LEFT JOIN device d ON d.id = o.device_id
                      WHERE o.campaign_id = c.id AND o.sig = u.sig AND o.state IN ('active', 'verifying', 'failed', 'lost')
                        AND t.module_id = s.module_id AND t.id <> s.id
                        AND (t.state NOT IN ('ready', 'backoff', 'cancelled')
                             OR t.state <> 'cancelled' AND t.id < s.id AND t.next_at <= now() AND d.online))
                     THEN 'rate_limited' END
      FROM update_step s JOIN device_update u ON u.id = s.update_id JOIN module_binary m ON m.id = s.module_id
      LEFT JOIN campaign c ON c.id = u.campaign_id
      LEFT JOIN campaign_stage g ON g.campaign_id = u.campaign_id AND g.ord = u.stage_ord
      LEFT JOIN campaign_class k ON k.campaign_id = u.campaign_id AND k.sig = u.sig
     WHERE s.id = which
$$;

CREATE OR REPLACE FUNCTION update_sentence(reason text, detail jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(detail ->> 'sentence', CASE reason
        WHEN 'offline_never_seen' THEN 'The device was never seen.'
        WHEN 'offline_since' THEN 'The device is offline; it goes on when it connects.'
        WHEN 'unreachable_version' THEN 'A device with these versions cannot connect; it has to be updated over USB.'
        WHEN 'no_path' THEN 'No order of the binaries of the release leads there.'
        WHEN 'updates_disabled' THEN 'The application on the device does not want updates now.'
        WHEN 'outside_window' THEN 'It is outside the time window of the campaign.'
        WHEN 'awaiting_consent' THEN 'The owner of the device has not agreed yet.'
        WHEN 'busy_in_campaign' THEN 'Another update has the device.'
        WHEN 'release_lacks_platform' THEN 'The release has nothing for this platform.'
        WHEN 'module_withdrawn' THEN 'A binary it needs was withdrawn.'
        WHEN 'downgrade_refused' THEN 'It would be a step back to an older version.'
        WHEN 'development_device' THEN 'The device is marked as one for development.'
        WHEN 'locked_version' THEN 'The device is locked to a version.'
        WHEN 'quarantined' THEN 'The device is in quarantine.'
        WHEN 'disruption_budget' THEN 'As many devices as may be are rebooting or lost.'
        WHEN 'rate_limited' THEN 'Devices are started at the rate of the campaign; its turn comes.'
        WHEN 'stage_not_open' THEN 'Its stage has not begun.'
        WHEN 'unknown_inventory' THEN 'It is not known what the device runs; it has not described itself.'
        WHEN 'no_effect' THEN 'The device took it and came back as it was.'
        WHEN 'never_came_back' THEN 'The device did not come back from its reboot.'
        WHEN 'released_anew' THEN 'Another version is to run on the device now.'
        WHEN 'tried_before' THEN 'The device had it sent before and came back without it.'
        WHEN 'tried_too_often' THEN 'The device had it sent too often and came back without it.'
        WHEN 'regressed' THEN 'The device had every target and fell back to an older version.' END);

CREATE OR REPLACE FUNCTION device_updates(actor_id bigint, sees_all boolean, which text, skip integer, max_count integer)
    RETURNS TABLE (code text, updates text, total bigint) LANGUAGE plpgsql STABLE AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
BEGIN
    IF r.code <> 'ok' THEN
        RETURN QUERY SELECT r.code, NULL::text, 0::bigint;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'ok', coalesce(jsonb_agg(jsonb_build_object(
                   'id', u.id, 'kind', u.kind, 'campaign', c.name, 'release', l.name,
                   'product_id', u.product_id, 'firmware_version', u.product_version, 'attempts', u.attempts,
                   'state', u.state, 'reason', u.reason,
                   'sentence', update_sentence(u.reason, u.detail), 'unblock', u.detail -> 'unblock', 'requested_by', u.requested_by,
                   'created_at', to_ms(u.created_at),
                   'next_at', CASE WHEN u.state IN ('pending', 'waiting') THEN to_ms(u.next_at) END,
                   'started_at', to_ms(u.started_at), 'ended_at', to_ms(u.ended_at),
                   'steps', coalesce((SELECT jsonb_agg(jsonb_build_object(
                       'id', s.id, 'module_id', s.module_id, 'func', b.func, 'index', b.idx, 'version', b.version,
                       'state', s.state, 'acked_bytes', s.acked_bytes, 'sent_bytes', s.sent_bytes, 'size_bytes', b.size_bytes,
                       'attempts', s.attempts, 'reboots', s.reboots, 'error', s.last_error, 'because', s.because,
                       'started_at', to_ms(s.started_at), 'ended_at', to_ms(s.ended_at)) ORDER BY s.ord)
                     FROM update_step s JOIN module_binary b ON b.id = s.module_id WHERE s.update_id = u.id), '[]'))
                   ORDER BY u.id DESC), '[]')::text,
               (SELECT count(*) FROM device_update n WHERE n.device_id = r.id)
          FROM (SELECT * FROM device_update p WHERE p.device_id = r.id ORDER BY p.id DESC OFFSET skip LIMIT max_count) u
          LEFT JOIN campaign c ON c.id = u.campaign_id
          LEFT JOIN release l ON l.id = u.release_id;
END $$;

-- --- devices that are to take updates whatever their application wants (device-protocol 5.6) ---

-- code: as change_result.
CREATE FUNCTION force_device_updates(actor_id bigint, actor text, sees_all boolean, which text, wanted boolean)
    RETURNS change_result LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
    was boolean;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT force_updates INTO was FROM device WHERE id = r.id FOR UPDATE;
    UPDATE device SET force_updates = wanted, force_next_at = now(), force_tells = 0 WHERE id = r.id;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'device.force_updates', encode(r.id, 'hex'), jsonb_build_object('firmware_updates_forced', was),
            jsonb_build_object('firmware_updates_forced', wanted));
    RETURN r;
END $$;

-- Devices of this node that did not echo what they are to know, each given out once in a while: after 30 s, then twice as long,
-- up to six hours. A device forgets it at a reset and says so after its Hello. Those that do not know the event are not told.
CREATE FUNCTION update_force(node integer, most integer) RETURNS TABLE (device_id bytea, forced boolean) LANGUAGE sql AS $$
    WITH due AS MATERIALIZED (
        SELECT d.id FROM device d
         WHERE d.force_updates IS NOT NULL AND d.online AND d.force_updates IS DISTINCT FROM coalesce(d.updates_forced, false)
           AND d.node_id = node AND d.force_next_at <= now() AND d.hello_flags & 4 <> 0 AND NOT d.quarantined
         ORDER BY d.force_next_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE device d SET force_tells = least(force_tells + 1, 100), force_next_at = now() + step_backoff(force_tells + 1, 30)
      FROM due WHERE d.id = due.id
    RETURNING d.id, d.force_updates
$$;
-- It was reset, or changed its mind: it is told anew.
CREATE FUNCTION on_forced_echo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.force_next_at := now();
    NEW.force_tells := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER forced_echo BEFORE UPDATE OF updates_forced ON device FOR EACH ROW
    WHEN (NEW.force_updates IS NOT NULL AND NEW.updates_forced IS DISTINCT FROM OLD.updates_forced
          AND NEW.updates_forced IS DISTINCT FROM NEW.force_updates)
    EXECUTE FUNCTION on_forced_echo();
