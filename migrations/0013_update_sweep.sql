-- Updates of devices: what time and others do to them, healing, what devices say meanwhile, and what people ask.

-- --- the sweep: what time, and what others decided, does to steps ---

-- Moves everything that is due, whoever has it, and what this node must not go on with. Returns the steps whose transfer this node has
-- to stop. Every statement is about a set; what somebody else moves at this moment is left to them.
CREATE FUNCTION update_sweep(node integer, settings jsonb) RETURNS TABLE (step_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT stop_steps(node);
    PERFORM sweep_deadlines(node, settings);
    PERFORM sweep_reboots(node, settings);
    PERFORM sweep_updates(node, settings);
END $$;

-- Steps of this node before `finishing` whose campaign stands still, whose module was withdrawn, whose device opened another session
-- or is gone, whose update somebody ended.
CREATE FUNCTION stop_steps(node integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    stopped bigint[];
    aborted bigint[];
    withdrawn bigint[];
BEGIN
    WITH bad AS MATERIALIZED (
        SELECT s.id, u.state NOT IN ('pending', 'waiting', 'active') AS is_over, coalesce(c.state = 'aborting', false) AS aborting,
               b.status = 'withdrawn' AS withdrawn,
               coalesce(step_may_start(s.id), CASE WHEN u.state <> 'active' THEN 'the update is over'
                                                   ELSE 'the device connected anew' END) AS why
          FROM update_step s
          JOIN device_update u ON u.id = s.update_id
          JOIN module_binary b ON b.id = s.module_id
          LEFT JOIN campaign c ON c.id = u.campaign_id
          LEFT JOIN device d ON d.id = u.device_id
         WHERE s.state IN ('claimed', 'starting', 'transferring') AND s.node_id = node
           AND (u.state <> 'active' OR step_may_start(s.id) IS NOT NULL OR d.session_epoch IS DISTINCT FROM s.session_epoch)
           FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE update_step s SET
            state = CASE WHEN bad.is_over OR bad.aborting OR bad.withdrawn THEN 'cancelled' ELSE 'backoff' END,
            rev = s.rev + 1, next_at = now() + interval '1 s', deadline_at = NULL, last_error = bad.why,
            ended_at = CASE WHEN bad.is_over OR bad.aborting OR bad.withdrawn THEN now() END
          FROM bad WHERE s.id = bad.id
        RETURNING s.id, s.update_id, bad.aborting, bad.withdrawn
    )
    SELECT array_agg(m.id), array_agg(m.update_id) FILTER (WHERE m.aborting),
           array_agg(m.update_id) FILTER (WHERE m.withdrawn AND NOT m.aborting)
      INTO stopped, aborted, withdrawn FROM moved m;
    IF stopped IS NULL THEN
        RETURN;
    END IF;
    PERFORM updates_settle(aborted, ARRAY['active'], 'cancelled', 'campaign_aborted', NULL, 'node/' || node);
    PERFORM updates_withdrawn(withdrawn);
    RETURN QUERY SELECT unnest(stopped);
END $$;

-- A binary that these updates were at is withdrawn: a flash has no other. Where it was a target the release cannot be reached any
-- more: their campaign stands still for it (campaign_withdrawn) and plans nothing, so it is said here. The rest is planned anew.
CREATE FUNCTION updates_withdrawn(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update WHERE id = ANY (ids) AND kind = 'flash'), ARRAY['active', 'waiting'],
                           'blocked', 'module_withdrawn', '{"sentence": "The binary was withdrawn."}', 'sweep');
    FOR r IN SELECT w.sentence, w.ids
               FROM (SELECT campaign_withdrawn(u.release_id) AS sentence, array_agg(u.id) AS ids FROM device_update u
                      WHERE u.id = ANY (updates_withdrawn.ids) AND u.release_id IS NOT NULL GROUP BY u.release_id) w
              WHERE w.sentence IS NOT NULL LOOP
        PERFORM updates_settle(r.ids, ARRAY['active', 'waiting'], 'blocked', 'module_withdrawn', jsonb_build_object(
            'sentence', r.sentence, 'unblock', 'A release with another binary in its place.'), 'sweep');
    END LOOP;
    UPDATE device_update SET next_at = now() WHERE id = ANY (ids) AND state = 'active';
END $$;

-- At the start of a node: what it was at when it ended is nobody's now, whom it was looking at is looked at again at once, and whoever
-- could not be heard meanwhile has the whole time once more.
CREATE FUNCTION update_begin(node integer, settings jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE update_step SET deadline_at = now()
     WHERE node_id = node AND state IN ('claimed', 'starting', 'transferring', 'finishing');
    UPDATE update_step s SET
        next_at = least(s.next_at, now()),
        deadline_at = greatest(s.deadline_at, now() + CASE s.state WHEN 'rebooting' THEN reboot_time(b.func, settings)
                                                                   ELSE step_describe_time(b.func, settings) END)
      FROM module_binary b
     WHERE s.node_id = node AND s.state IN ('rebooting', 'describing') AND b.id = s.module_id;
    UPDATE device_update u SET next_at = now() FROM device d
     WHERE u.state = 'active' AND u.next_at > now() AND u.attempts = 0 AND d.id = u.device_id AND d.node_id = node
$$;

CREATE FUNCTION sweep_deadlines(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    failed bigint[];
BEGIN
    -- the node that had them is gone, does not get on, or has the device no more
    WITH late AS MATERIALIZED (
        SELECT s.id FROM update_step s
          JOIN device_update u ON u.id = s.update_id
          LEFT JOIN device d ON d.id = u.device_id
         WHERE s.state IN ('claimed', 'starting', 'transferring')
           AND (s.deadline_at <= now() OR s.node_id <> node AND d.online AND d.node_id = node)
         ORDER BY s.deadline_at LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE update_step s SET state = 'backoff', rev = s.rev + 1, next_at = now(), deadline_at = NULL,
                             breaks = least(s.breaks + 1, 100), last_error = 'no progress before its deadline'
      FROM late WHERE s.id = late.id;
    -- nobody knows whether it took it: its next describe says
    WITH late AS MATERIALIZED (
        SELECT s.id, b.func FROM update_step s
          JOIN module_binary b ON b.id = s.module_id
          JOIN device_update u ON u.id = s.update_id
          LEFT JOIN device d ON d.id = u.device_id
         WHERE s.state = 'finishing'
           AND (s.deadline_at <= now() OR s.node_id <> node AND d.online AND d.node_id = node)
         ORDER BY s.deadline_at LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE update_step s SET state = 'rebooting', rev = s.rev + 1, deadline_at = now() + reboot_time(late.func, settings),
                             unheard = true,
                             last_error = 'it is not known whether the device took it'
      FROM late WHERE s.id = late.id;
    -- came back, and then did not describe itself the same twice
    WITH late AS MATERIALIZED (
        SELECT s.id, s.attempts >= 2 AND d.online AS is_last
          FROM update_step s JOIN device_update u ON u.id = s.update_id LEFT JOIN device d ON d.id = u.device_id
         WHERE s.state = 'describing' AND s.deadline_at <= now()
         ORDER BY s.deadline_at LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE update_step s SET
            state = CASE WHEN late.is_last THEN 'failed' ELSE 'backoff' END, rev = s.rev + 1, deadline_at = NULL,
            attempts = s.attempts + 1, ended_at = CASE WHEN late.is_last THEN now() END,
            next_at = now() + step_backoff(s.attempts + 1, (settings ->> 'backoff_s')::numeric),
            last_error = 'did not describe the same modules twice before the deadline'
          FROM late WHERE s.id = late.id
        RETURNING s.update_id, s.state
    )
    SELECT array_agg(m.update_id) FILTER (WHERE m.state = 'failed') INTO failed FROM moved m;
    PERFORM updates_settle(failed, ARRAY['active'], 'failed', 'no_describe', jsonb_build_object('sentence',
        'The device came back three times without describing the same modules twice.'), 'sweep');
END $$;

CREATE FUNCTION sweep_reboots(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lost_ones bigint[];
BEGIN
    -- Back with a Hello; or without one, when it was heard of well after it should have gone: it may not have applied anything.
    WITH back AS MATERIALIZED (
        SELECT s.id, d.session_epoch, d.hellos, b.func
          FROM update_step s
          JOIN device_update u ON u.id = s.update_id
          JOIN device d ON d.id = u.device_id
          JOIN module_binary b ON b.id = s.module_id
         WHERE s.state = 'rebooting' AND d.online AND d.node_id = node
           AND (d.hellos > s.hellos
                OR now() > s.finished_at + reboot_time(b.func, settings) / 3 AND d.last_heard > s.finished_at + interval '5 s'
                OR s.deadline_at <= now())
         ORDER BY s.id LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE update_step s SET state = 'describing', rev = s.rev + 1, node_id = node, session_epoch = back.session_epoch,
                             reboots = least(s.reboots + greatest(back.hellos - s.hellos, 0), 1000), hellos = back.hellos,
                             seen_modules = NULL, seen_at = NULL, next_at = now(),
                             deadline_at = now() + step_describe_time(back.func, settings)
      FROM back WHERE s.id = back.id;
    -- Not back in time; one that said how long it sleeps has that long more.
    WITH late AS MATERIALIZED (
        SELECT s.id FROM update_step s
          JOIN device_update u ON u.id = s.update_id
          LEFT JOIN device d ON d.id = u.device_id
         WHERE s.state = 'rebooting'
           AND s.deadline_at + make_interval(secs => coalesce((
                   SELECT least(greatest((k.goodbye ->> 'sleep_s')::double precision, 0), 2592000)
                     FROM device_connection k WHERE k.device_id = u.device_id ORDER BY k.started_at DESC LIMIT 1), 0)) <= now()
           AND (d.online IS NOT TRUE OR s.deadline_at + interval '2 min' <= now())
         ORDER BY s.deadline_at LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    ), moved AS (
        UPDATE update_step s SET state = 'lost', rev = s.rev + 1, deadline_at = NULL, ended_at = now(),
                                 last_error = 'never came back'
          FROM late WHERE s.id = late.id
        RETURNING s.update_id
    )
    SELECT array_agg(m.update_id) INTO lost_ones FROM moved m;
    PERFORM updates_settle(lost_ones, ARRAY['active'], 'lost', 'never_came_back', jsonb_build_object('sentence',
        'The device was told to apply a module and was not heard of again.'), 'sweep');
    -- one that was lost and is there again holds no place of the disruption budget any more
    UPDATE device_update u SET disrupts = false FROM device d
     WHERE u.disrupts AND u.state = 'lost' AND d.id = u.device_id AND d.online AND d.last_heard > u.ended_at;
END $$;

CREATE FUNCTION sweep_updates(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
         WHERE u.campaign_id IS NULL AND u.state IN ('pending', 'waiting') AND u.next_at <= now()
           AND d.online AND d.node_id = node
           AND NOT EXISTS (SELECT FROM device_update o WHERE o.device_id = u.device_id AND o.state IN ('active', 'verifying'))
         ORDER BY u.device_id, u.id LIMIT 1000), ARRAY['pending', 'waiting'], 'active', NULL, NULL, 'node/' || node);
END $$;

-- --- healing ---

CREATE INDEX device_module_lacks ON device_module (device_id)
 WHERE store = 0 AND (checked_flags & 4) <> 0 AND (passed_flags & 4) = 0;

-- Devices of this node in safe mode, or that describe a module whose dependencies are not met (device-protocol 4.4, bit 0x04), get an
-- update of their own: the newest published release for their platform that was not tried in the last six hours. Not while any other
-- update has them; at most max_open at once. Returns how many there are more.
CREATE FUNCTION create_heals(node integer, max_open integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    room integer;
    made integer;
BEGIN
    room := max_open - (SELECT count(*) FROM device_update u JOIN device d ON d.id = u.device_id
                         WHERE u.state IN ('active', 'verifying') AND u.kind = 'heal' AND d.node_id = node);
    IF room <= 0 THEN
        RETURN 0;
    END IF;
    WITH ill AS (
        SELECT id FROM device WHERE status = 'safe_mode'
        UNION
        SELECT m.device_id FROM device_module m
         WHERE m.store = 0 AND (m.checked_flags & 4) <> 0 AND (m.passed_flags & 4) = 0
    ), fresh AS (
        INSERT INTO device_update (kind, release_id, device_id, state, requested_by, started_at)
        SELECT 'heal', r.id, d.id, 'active', 'safe mode', now()
          FROM ill JOIN device d USING (id)
         CROSS JOIN LATERAL (
               SELECT r.id FROM release r
                WHERE r.state = 'published'
                  AND EXISTS (SELECT FROM release_module t JOIN module_binary b ON b.id = t.module_id
                               WHERE t.release_id = r.id AND t.role = 'target' AND b.platform_id = d.platform_id)
                  AND NOT EXISTS (SELECT FROM device_update t
                                   WHERE t.device_id = d.id AND t.kind = 'heal' AND t.release_id = r.id
                                     AND t.created_at > now() - interval '6 hours')
                ORDER BY r.published_at DESC, r.id DESC LIMIT 1) r
         WHERE d.online AND d.node_id = node AND NOT d.quarantined AND d.system_described_at >= d.last_handshake
           AND NOT EXISTS (SELECT FROM device_update o
                            WHERE o.device_id = d.id AND o.state IN ('pending', 'waiting', 'active', 'verifying'))
         ORDER BY d.id LIMIT room
        ON CONFLICT (device_id) WHERE state IN ('active', 'verifying') DO NOTHING
        RETURNING id, device_id
    ), told AS (
        INSERT INTO update_event (update_id, device_id, actor, kind, to_state, detail)
        SELECT f.id, f.device_id, 'node/' || node, 'update', 'active', '{"reason": "safe_mode"}' FROM fresh f
    ), published AS (
        INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
        SELECT uuid_send(gen_random_uuid()), f.device_id, 'spark/safe-mode-updater/updating', convert_to(f.id::text, 'UTF8'), 0, 60,
               false, true, clock_timestamp()
          FROM fresh f
    )
    SELECT count(*) INTO made FROM fresh;
    RETURN made;
END $$;

-- --- what devices say meanwhile ---

CREATE FUNCTION on_device_hello() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.hellos := OLD.hellos + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER device_hello BEFORE UPDATE OF hello_flags ON device
    FOR EACH ROW EXECUTE FUNCTION on_device_hello(); -- only a Hello names that column

-- What waits for a device goes on: it is there, it takes updates again, it will take one whatever its application wants. A lost one
-- that is seen gives its place of the disruption budget back. Fleets come online all at once: a device nothing waits for is told by
-- an index, not by an UPDATE of nothing, whose triggers cost more than all the rest.
CREATE FUNCTION on_device_wakes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM device_update WHERE device_id = NEW.id AND state = 'waiting'
                  AND reason IN ('offline_since', 'offline_never_seen', 'updates_disabled')) THEN
        UPDATE device_update SET next_at = now()
         WHERE device_id = NEW.id AND state = 'waiting' AND reason IN ('offline_since', 'offline_never_seen', 'updates_disabled')
           AND next_at > now()
           AND CASE reason WHEN 'updates_disabled' THEN NEW.updates_enabled IS NOT FALSE OR NEW.updates_forced ELSE NEW.online END;
    END IF;
    IF NEW.online AND NOT OLD.online
       AND EXISTS (SELECT FROM device_update WHERE device_id = NEW.id AND state = 'lost' AND disrupts) THEN
        UPDATE device_update SET disrupts = false WHERE device_id = NEW.id AND state = 'lost' AND disrupts;
    END IF;
    IF NEW.updates_forced AND OLD.updates_forced IS NOT TRUE THEN
        UPDATE update_step s SET next_at = now() FROM device_update u
         WHERE u.device_id = NEW.id AND u.state IN ('active', 'verifying') AND s.update_id = u.id AND s.state = 'backoff';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_wakes AFTER UPDATE ON device FOR EACH ROW
    WHEN (NEW.online AND NOT OLD.online OR NEW.updates_enabled IS DISTINCT FROM OLD.updates_enabled
          OR NEW.updates_forced IS DISTINCT FROM OLD.updates_forced)
    EXECUTE FUNCTION on_device_wakes();

-- A device that had every target of a campaign that is still open and describes an older version fell back: what was a success is none.
CREATE FUNCTION on_device_described() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    u device_update;
BEGIN
    SELECT p.* INTO u FROM device_update p JOIN campaign c ON c.id = p.campaign_id
     WHERE p.device_id = NEW.id AND p.state IN ('verifying', 'succeeded') AND c.state IN ('running', 'paused')
     ORDER BY p.id DESC LIMIT 1;
    IF NOT FOUND OR NOT release_has_fallen(NEW.id, u.release_id)
       OR EXISTS (SELECT FROM device_update o WHERE o.device_id = NEW.id AND o.id > u.id AND o.state NOT IN ('pending', 'waiting'))
    THEN
        RETURN NULL;
    END IF;
    PERFORM updates_settle(ARRAY[u.id], ARRAY['succeeded'], 'verifying', NULL, NULL, 'describe');
    PERFORM updates_settle(ARRAY[u.id], ARRAY['verifying'], 'failed', 'regressed',
                           '{"sentence": "The device had every target and fell back to an older version."}', 'describe');
    RETURN NULL;
END $$;
CREATE TRIGGER device_described AFTER UPDATE OF system_described_at ON device
    FOR EACH ROW EXECUTE FUNCTION on_device_described();

-- A device that is deleted, or whose key is taken from it, is not the one that was to be updated. From `finishing` on the device decides.
CREATE FUNCTION updates_cancel_of(dev bytea, why text, more jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT updates_settle(ARRAY(
        SELECT u.id FROM device_update u
         WHERE u.device_id = dev AND u.state IN ('pending', 'waiting', 'active', 'verifying')
           AND (why = 'device_deleted' OR NOT EXISTS (SELECT FROM update_step s WHERE s.update_id = u.id
                                                         AND s.state IN ('finishing', 'rebooting', 'describing')))),
        ARRAY['pending', 'waiting', 'active', 'verifying'], 'cancelled', why, more, 'registry')
$$;
CREATE FUNCTION on_device_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM updates_cancel_of(OLD.id, 'device_deleted', '{"sentence": "The device was deleted."}');
    UPDATE update_step s SET state = 'cancelled', rev = s.rev + 1, deadline_at = NULL, ended_at = now(),
                             last_error = 'the device was deleted'
      FROM device_update u
     WHERE u.device_id = OLD.id AND s.update_id = u.id AND s.state NOT IN ('verified', 'failed', 'lost', 'cancelled');
    RETURN NULL;
END $$;
CREATE TRIGGER device_deleted AFTER DELETE ON device FOR EACH ROW EXECUTE FUNCTION on_device_deleted();

CREATE FUNCTION on_key_retired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM updates_cancel_of(NEW.device_id, 'device_rekeyed', '{"sentence": "A key of the device was retired."}');
    RETURN NULL;
END $$;
CREATE TRIGGER key_retired AFTER UPDATE OF state ON device_key FOR EACH ROW
    WHEN (NEW.state = 'retired' AND OLD.state = 'live') EXECUTE FUNCTION on_key_retired();

-- --- people ---

-- What holds a device, for people; NULL: nothing.
CREATE FUNCTION update_holder(dev bytea) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('kind', u.kind, 'campaign', c.name, 'by', u.requested_by, 'since', to_ms(coalesce(u.started_at, u.created_at)))
      FROM device_update u LEFT JOIN campaign c ON c.id = u.campaign_id
     WHERE u.device_id = dev AND u.state IN ('active', 'verifying')
$$;

-- One binary to one device, at once. code: as change_result, and offline, held (detail: update_holder), invalid (detail: why).
CREATE FUNCTION create_flash(actor_id bigint, actor text, sees_all boolean, which text, module bigint) RETURNS change_result
    LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
    d device;
    b module_binary;
    made bigint;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT * INTO d FROM device WHERE id = r.id;
    SELECT * INTO b FROM module_binary WHERE id = module;
    IF NOT FOUND OR b.status = 'withdrawn' THEN
        RETURN ROW('invalid', r.id, 'This binary was withdrawn.')::change_result;
    ELSIF d.quarantined THEN
        RETURN ROW('invalid', r.id, 'The device is in quarantine.')::change_result;
    ELSIF d.platform_id IS DISTINCT FROM b.platform_id THEN
        RETURN ROW('invalid', r.id, format('This binary is for platform %s, the device is of platform %s.', b.platform_id,
                                           coalesce(d.platform_id::text, 'unknown')))::change_result;
    ELSIF b.size_bytes > d.max_binary_bytes THEN
        RETURN ROW('invalid', r.id, format('This binary has %s bytes, the device takes at most %s.', b.size_bytes,
                                           d.max_binary_bytes))::change_result;
    ELSIF NOT d.online THEN
        RETURN ROW('offline', r.id, NULL)::change_result;
    ELSIF update_holder(r.id) IS NOT NULL THEN
        RETURN ROW('held', r.id, update_holder(r.id))::change_result;
    END IF;
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update WHERE device_id = r.id AND kind = 'flash'
                                    AND state IN ('pending', 'waiting')),
                           ARRAY['pending', 'waiting'], 'superseded', 'flashed_anew', NULL, actor);
    INSERT INTO device_update (kind, device_id, state, requested_by, started_at) VALUES ('flash', r.id, 'active', actor, now())
    RETURNING id INTO made;
    INSERT INTO update_step (update_id, ord, module_id, because, planned_modules)
    VALUES (made, 0, module, '["Asked for."]', step_vector(r.id));
    INSERT INTO update_event (update_id, device_id, actor, kind, to_state) VALUES (made, r.id, actor, 'update', 'active');
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'device.flash', encode(r.id, 'hex'), jsonb_build_object('update', made, 'module', module));
    RETURN ROW('ok', r.id, NULL)::change_result;
EXCEPTION WHEN unique_violation THEN -- somebody else was faster
    RETURN ROW('held', r.id, update_holder(r.id))::change_result;
END $$;

-- Ends an update of a device before it reboots. code: as change_result, and held when it is too late or over.
CREATE FUNCTION cancel_update(actor_id bigint, actor text, sees_all boolean, which text, update bigint) RETURNS change_result
    LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
    u device_update;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT * INTO u FROM device_update WHERE id = update AND device_id = r.id FOR UPDATE; -- as step_finish
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL)::change_result;
    ELSIF u.campaign_id IS NOT NULL AND NOT sees_all THEN
        RETURN ROW('forbidden', NULL, NULL)::change_result;
    ELSIF EXISTS (SELECT FROM update_step s WHERE s.update_id = update AND s.state IN ('finishing', 'rebooting', 'describing'))
          OR updates_settle(ARRAY[update], ARRAY['pending', 'waiting', 'active'], 'cancelled', 'asked', NULL, actor) = 0 THEN
        RETURN ROW('held', r.id, NULL)::change_result;
    END IF;
    INSERT INTO audit (actor, action, target, before)
    VALUES (actor, 'update.cancel', encode(r.id, 'hex'), jsonb_build_object('update', update, 'state', u.state));
    RETURN r;
END $$;

-- The newest updates of a device with their steps, as JSON text; times in milliseconds.
CREATE FUNCTION device_updates(actor_id bigint, sees_all boolean, which text, skip integer, max_count integer)
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
                   'id', u.id, 'kind', u.kind, 'campaign', c.name, 'release', l.name, 'state', u.state, 'reason', u.reason,
                   'sentence', update_sentence(u.reason, u.detail), 'unblock', u.detail -> 'unblock', 'requested_by', u.requested_by,
                   'created_at', to_ms(u.created_at), 'started_at', to_ms(u.started_at), 'ended_at', to_ms(u.ended_at),
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
