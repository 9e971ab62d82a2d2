-- Firmware of products on its way to their devices: what is released to whom, which devices have to get it, and their updates,
-- which go the way of all others (0010 to 0015) as kind 'product'.

ALTER TABLE device_update
    ADD COLUMN product_id integer,       -- of kind product
    ADD COLUMN product_version integer,  -- which the device must run, and say in its Hello, in the end
    DROP CONSTRAINT device_update_kind_check,
    ADD CONSTRAINT device_update_kind_check CHECK (kind IN ('campaign', 'flash', 'heal', 'product')),
    ADD CHECK ((kind = 'product') = (product_id IS NOT NULL) AND (kind = 'product') = (product_version IS NOT NULL));
CREATE UNIQUE INDEX device_update_one_product ON device_update (device_id)
 WHERE kind = 'product' AND state IN ('pending', 'waiting', 'active', 'verifying');
CREATE INDEX device_update_tries ON device_update (device_id, product_id, product_version) WHERE kind = 'product';

-- Releases that are to reach devices at once: past is how far the walk over those online has come.
CREATE TABLE product_push (
    product_id integer NOT NULL REFERENCES product ON DELETE CASCADE,
    version integer NOT NULL,
    past bytea NOT NULL DEFAULT '',
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (product_id, version)
);
CREATE INDEX device_product_online ON device (in_product, id) WHERE online AND in_product IS NOT NULL;
CREATE INDEX device_product_runs ON device (in_product, product_version) WHERE in_product IS NOT NULL;
CREATE INDEX device_locked ON device (in_product, desired_firmware_version) WHERE desired_firmware_version IS NOT NULL;

-- A device that is to take updates whatever its application wants; NULL: nobody has said. What it has heard of that is what it
-- echoes (updates_forced).
ALTER TABLE device
    ADD COLUMN force_updates boolean,
    ADD COLUMN force_next_at timestamptz, -- told again, unless it has echoed it
    ADD COLUMN force_tells integer NOT NULL DEFAULT 0;
CREATE INDEX device_force ON device (node_id, force_next_at)
 WHERE force_updates IS NOT NULL AND online AND force_updates IS DISTINCT FROM coalesce(updates_forced, false);

-- --- events the server publishes; the only places it does for products and updates ---

CREATE FUNCTION tell_of_device(dev bytea, called text, said text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    VALUES (uuid_send(gen_random_uuid()), dev, called, convert_to(said, 'UTF8'), 0, 60, false, true, clock_timestamp())
$$;
CREATE FUNCTION tell_of_product(product integer, actor_id bigint, called text, said text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO event (key, user_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), actor_id, called, convert_to(said, 'UTF8'), 0, 60, false, true, clock_timestamp()
     WHERE actor_id IS NOT NULL AND product IS NOT NULL
$$;

-- --- which device gets which version ---

-- The devices of a product with the version each should run (NULL: it is left alone), and whether it does: a device that says the
-- product in its Hello by the version beside it, another one, as one in safe mode, by the hash it describes. names, version: as it
-- would be if that version were released to these as well ('' is the default of the product); '{}': as it is.
-- Every question of this kind is answered here.
CREATE FUNCTION firmware_targets(product integer, names text[], version integer)
    RETURNS TABLE (device_id bytea, says integer, target integer, runs boolean, module_id bigint) LANGUAGE sql STABLE AS $$
    SELECT d.id, nullif(d.product_version, 65535), t.target,
           CASE WHEN d.product_id = d.in_product THEN d.product_version IS NOT DISTINCT FROM t.target
                ELSE EXISTS (SELECT FROM device_module m JOIN module_binary b ON b.suffix_sha256 = m.hash
                              WHERE m.device_id = d.id AND m.store = 0 AND m.func = 5 AND b.id = f.module_id) END,
           f.module_id
      FROM device d
      LEFT JOIN product_release p ON p.product_id = d.in_product AND p.name = ''
      LEFT JOIN LATERAL (
           SELECT max(CASE WHEN g.name = ANY (names) THEN firmware_targets.version ELSE r.version END) AS version
             FROM device_group g
             LEFT JOIN product_release r ON r.product_id = d.in_product AND r.name = g.name
            WHERE g.device_id = d.id) g ON true
     CROSS JOIN LATERAL (
           SELECT CASE WHEN d.development OR d.quarantined OR d.denied THEN NULL
                       ELSE coalesce(d.desired_firmware_version, g.version,
                                     CASE WHEN '' = ANY (names) THEN firmware_targets.version ELSE p.version END) END AS target) t
      LEFT JOIN product_firmware f ON f.product_id = d.in_product AND f.version = t.target
     WHERE d.in_product = firmware_targets.product
$$;
CREATE OR REPLACE FUNCTION targeted_firmware_version(d device) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT t.target FROM firmware_targets(d.in_product, '{}', NULL) t WHERE t.device_id = d.id
$$;

-- How many devices a release would bring from which version to this one.
CREATE FUNCTION firmware_impact(product integer, of_version integer, names text[]) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('devices', json_build_object('firmware_update', json_build_object(
               'total', coalesce(sum(n.total), 0),
               'by_version', coalesce(json_agg(json_build_object('version', n.says, 'total', n.total) ORDER BY n.says), '[]'))))
      FROM (SELECT t.says, count(*) AS total FROM firmware_targets(product, names, of_version) t
             WHERE t.target = of_version AND NOT t.runs GROUP BY t.says) n
$$;

-- --- updates of kind product ---

CREATE FUNCTION product_tries_max() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 3;

-- Those of these devices that should run another version get an update, unless they have it already; one for another version that
-- has not begun is superseded. A device that had this version sent and came back without it is put off (attempts says how often;
-- product_updates_begin looks after the time), and left alone after product_tries_max, until it is released, or pushed (anew),
-- again. Returns how many were made.
CREATE FUNCTION product_updates_make(devs bytea[], who text, anew boolean) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    made integer;
BEGIN
    PERFORM updates_settle(ARRAY(
        SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.device_id = ANY (devs) AND u.kind = 'product' AND u.state IN ('pending', 'waiting')
           AND (u.product_id IS DISTINCT FROM d.in_product OR u.product_version IS DISTINCT FROM targeted_firmware_version(d))
         ORDER BY u.id), ARRAY['pending', 'waiting'], 'superseded', 'released_anew', NULL, who);
    WITH due AS MATERIALIZED (
        SELECT d.id, d.in_product, t.target, b.id AS module_id, h.tries, h.is_blocked,
               CASE WHEN b.platform_id IS DISTINCT FROM d.platform_id
                    THEN format('Firmware %s is for platform %s, the device is of platform %s.', t.target, b.platform_id,
                                coalesce(d.platform_id::text, 'unknown'))
                    WHEN b.size_bytes > d.max_binary_bytes
                    THEN format('Firmware %s has %s bytes, the device takes at most %s.', t.target, b.size_bytes,
                                d.max_binary_bytes)
                    WHEN h.tries >= product_tries_max()
                    THEN format('Firmware %s was sent to the device %s times, and it came back without it each time.', t.target,
                                h.tries) END AS flaw
          FROM unnest(devs) x (id) JOIN device d USING (id)
         CROSS JOIN LATERAL firmware_targets(d.in_product, '{}', NULL) t
          JOIN product_firmware f ON f.product_id = d.in_product AND f.version = t.target
          JOIN module_binary b ON b.id = f.module_id
         CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE u.state IN ('succeeded', 'failed', 'lost')) AS tries,
                      coalesce(bool_or(u.state = 'blocked'), false) AS is_blocked
                 FROM device_update u
                WHERE u.device_id = d.id AND u.kind = 'product' AND u.product_id = d.in_product
                  AND u.product_version = t.target AND NOT anew
                  AND u.created_at >= coalesce((SELECT max(r.released_at) FROM product_release r
                                                 WHERE r.product_id = d.in_product AND r.version = t.target), f.uploaded_at)) h
         WHERE t.device_id = d.id AND NOT t.runs AND b.status = 'active'
    ), fresh AS (
        INSERT INTO device_update (kind, product_id, product_version, device_id, state, reason, detail, attempts, requested_by,
                                   ended_at)
        SELECT 'product', w.in_product, w.target, w.id,
               CASE WHEN w.flaw IS NOT NULL THEN 'blocked' WHEN w.tries > 0 THEN 'waiting' ELSE 'pending' END,
               CASE WHEN w.flaw IS NOT NULL AND w.tries > 0 THEN 'tried_too_often' WHEN w.flaw IS NOT NULL THEN 'no_path'
                    WHEN w.tries > 0 THEN 'tried_before' END,
               CASE WHEN w.flaw IS NOT NULL THEN jsonb_build_object('sentence', w.flaw, 'unblock',
                         'Another binary; or this one released once more, or pushed to this device.') END,
               w.tries, who, CASE WHEN w.flaw IS NOT NULL THEN now() END
          FROM due w WHERE NOT w.is_blocked ORDER BY w.id
        ON CONFLICT (device_id) WHERE kind = 'product' AND state IN ('pending', 'waiting', 'active', 'verifying') DO NOTHING
        RETURNING id, device_id, state, reason
    ), steps AS (
        INSERT INTO update_step (update_id, ord, module_id, because, planned_modules, is_held)
        SELECT f.id, 0, w.module_id,
               jsonb_build_array(format('The device should run version %s of its product''s firmware.', w.target)),
               step_vector(w.id), true
          FROM fresh f JOIN due w ON w.id = f.device_id WHERE f.state <> 'blocked'
    ), told AS (
        INSERT INTO update_event (update_id, device_id, actor, kind, to_state, detail)
        SELECT f.id, f.device_id, who, 'update', f.state, jsonb_strip_nulls(jsonb_build_object('reason', f.reason)) FROM fresh f
    )
    SELECT count(*) INTO made FROM fresh WHERE state <> 'blocked';
    RETURN made;
END $$;

-- A Hello says what a device of a product runs.
CREATE FUNCTION on_product_hello() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM product_updates_make(ARRAY[NEW.id], 'handshake', false);
    RETURN NULL;
END $$;
CREATE TRIGGER product_hello AFTER UPDATE OF hello_flags ON device FOR EACH ROW -- only a Hello names that column
    WHEN (NEW.in_product IS NOT NULL) EXECUTE FUNCTION on_product_hello();

-- What a person pushes to one device now, whatever was tried before. Says ok; current (it runs what it should, or should run
-- nothing); offline (it gets it when it connects); held (another update has it: it gets it after that).
CREATE FUNCTION product_push_device(dev bytea, who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d device;
BEGIN
    SELECT * INTO d FROM device WHERE id = dev;
    PERFORM product_updates_make(ARRAY[dev], who, true);
    UPDATE device_update SET next_at = now(), attempts = 0
     WHERE device_id = dev AND kind = 'product' AND state IN ('pending', 'waiting');
    RETURN CASE WHEN NOT EXISTS (SELECT FROM device_update u WHERE u.device_id = dev AND u.kind = 'product'
                                    AND u.state IN ('pending', 'waiting', 'active')) THEN 'current'
                WHEN NOT d.online THEN 'offline'
                WHEN EXISTS (SELECT FROM device_update u WHERE u.device_id = dev AND u.kind <> 'product'
                                AND u.state IN ('active', 'verifying')) THEN 'held'
                ELSE 'ok' END;
END $$;

-- Whether a campaign goes first: it runs, its stage has begun, and it is not done with the device.
CREATE FUNCTION campaign_wants(dev bytea) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM device_update u
          JOIN campaign c ON c.id = u.campaign_id
          JOIN campaign_stage g ON g.campaign_id = u.campaign_id AND g.ord = u.stage_ord
         WHERE u.device_id = dev AND u.state IN ('pending', 'waiting', 'active', 'verifying') AND c.state = 'running'
           AND g.state IN ('running', 'soaking', 'held', 'passed', 'skipped'))
$$;

-- Of those that are due on this node: what is not wanted any more is superseded by what is; a device that something else has
-- waits, and so does one that failed before; the rest begins.
CREATE FUNCTION product_updates_begin(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    who text := 'node/' || node;
    stale bigint[];
    stale_devices bytea[];
    withdrawn bigint[];
    tried bigint[];
    busy bigint[];
    ready bigint[];
BEGIN
    WITH due AS MATERIALIZED (
        SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.campaign_id IS NULL AND u.kind = 'product' AND u.state IN ('pending', 'waiting') AND u.next_at <= now()
           AND d.online AND d.node_id = node
         ORDER BY u.next_at, u.id LIMIT 1000 FOR UPDATE OF u SKIP LOCKED
    ), looked AS (
        SELECT u.id, u.device_id, CASE
                   WHEN u.product_id IS DISTINCT FROM d.in_product
                        OR u.product_version IS DISTINCT FROM targeted_firmware_version(d) THEN 'stale'
                   WHEN EXISTS (SELECT FROM update_step s JOIN module_binary b ON b.id = s.module_id
                                 WHERE s.update_id = u.id AND b.status = 'withdrawn') THEN 'withdrawn'
                   WHEN u.reason = 'tried_before' AND u.detail IS NULL AND u.attempts > 0 THEN 'tried'
                   WHEN campaign_wants(d.id)
                        OR EXISTS (SELECT FROM device_update o WHERE o.device_id = d.id AND o.state IN ('active', 'verifying'))
                   THEN 'busy' ELSE 'ready' END AS verdict
          FROM due JOIN device_update u USING (id) JOIN device d ON d.id = u.device_id
    )
    SELECT array_agg(id) FILTER (WHERE verdict = 'stale'), array_agg(device_id) FILTER (WHERE verdict = 'stale'),
           array_agg(id) FILTER (WHERE verdict = 'withdrawn'), array_agg(id) FILTER (WHERE verdict = 'tried'),
           array_agg(id) FILTER (WHERE verdict = 'busy'), array_agg(id) FILTER (WHERE verdict = 'ready')
      INTO stale, stale_devices, withdrawn, tried, busy, ready FROM looked;
    PERFORM updates_settle(stale, ARRAY['pending', 'waiting'], 'superseded', 'released_anew', NULL, who);
    PERFORM product_updates_make(stale_devices, who, false);
    PERFORM updates_settle(withdrawn, ARRAY['pending', 'waiting'], 'blocked', 'module_withdrawn',
                           '{"sentence": "The binary was withdrawn."}', who);
    UPDATE device_update u SET next_at = t.at, detail = jsonb_build_object('sentence',
               format('The device came back without it %s times of %s; the next try is at %s.', u.attempts, product_tries_max(),
                      iso_time(t.at)))
      FROM device_update v CROSS JOIN LATERAL (
           SELECT max(o.ended_at) + step_backoff(v.attempts, 10 * (settings ->> 'backoff_s')::numeric) AS at FROM device_update o
            WHERE o.device_id = v.device_id AND o.kind = 'product' AND o.product_id = v.product_id
              AND o.product_version = v.product_version AND o.state IN ('succeeded', 'failed', 'lost')) t
     WHERE u.id = ANY (tried) AND v.id = u.id;
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update WHERE id = ANY (busy) AND reason IS DISTINCT FROM 'busy_in_campaign'),
                           ARRAY['pending', 'waiting'], 'waiting', 'busy_in_campaign', NULL, who);
    UPDATE device_update SET next_at = now() + interval '10 s' WHERE id = ANY (busy);
    BEGIN
        PERFORM updates_settle(ready, ARRAY['pending', 'waiting'], 'active', NULL, NULL, who);
    EXCEPTION WHEN unique_violation THEN -- another update began on one of them this moment: seen next time
        NULL;
    END;
    -- not connected any more: they are looked at again when they are
    stale := ARRAY(
        SELECT u.id FROM device_update u LEFT JOIN device d ON d.id = u.device_id
         WHERE u.campaign_id IS NULL AND u.kind = 'product' AND u.state IN ('pending', 'waiting') AND u.next_at <= now()
           AND u.created_at < now() - interval '60 s' AND d.online IS NOT TRUE
         ORDER BY u.id LIMIT 1000 FOR UPDATE OF u SKIP LOCKED);
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update WHERE id = ANY (stale) AND reason IS DISTINCT FROM 'offline_since'),
                           ARRAY['pending', 'waiting'], 'waiting', 'offline_since', NULL, who);
    UPDATE device_update SET next_at = now() + interval '1 hour' WHERE id = ANY (stale);
END $$;

-- The second of product updates on a node: the next slice of a release that goes out at once; what is not wanted any more ends;
-- what is due begins, or is put off with its reason.
CREATE FUNCTION sweep_products(node integer, settings jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p product_push;
    begun bigint[];
    ids bytea[];
    slice constant integer := 500;
BEGIN
    SELECT * INTO p FROM product_push ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        ids := ARRAY(SELECT d.id FROM device d WHERE d.in_product = p.product_id AND d.online AND d.id > p.past
                      ORDER BY d.id LIMIT slice);
        PERFORM product_updates_make(ARRAY(
            SELECT t.device_id FROM unnest(ids) x (id)
             CROSS JOIN LATERAL firmware_targets(p.product_id, '{}', NULL) t
             WHERE t.device_id = x.id AND t.target = p.version AND NOT t.runs), p.asked_by, false);
        IF cardinality(ids) < slice THEN
            DELETE FROM product_push WHERE product_id = p.product_id AND version = p.version;
        ELSE
            UPDATE product_push SET past = ids[slice] WHERE product_id = p.product_id AND version = p.version;
        END IF;
    END IF;
    -- begun, at no byte now, and for a version that is not wanted any more
    SELECT array_agg(x.id), array_agg(x.device_id) INTO begun, ids FROM (
        SELECT u.id, u.device_id FROM update_step s JOIN device_update u ON u.id = s.update_id JOIN device d ON d.id = u.device_id
         WHERE s.state IN ('ready', 'backoff') AND NOT s.is_held AND s.next_at <= now() AND u.kind = 'product'
           AND u.state = 'active' AND d.online AND d.node_id = node
           AND u.product_version IS DISTINCT FROM targeted_firmware_version(d)
         ORDER BY u.id LIMIT 1000 FOR UPDATE OF u SKIP LOCKED) x;
    PERFORM updates_settle(begun, ARRAY['active'], 'superseded', 'released_anew', NULL, 'node/' || node);
    PERFORM product_updates_make(ids, 'node/' || node, false);
    PERFORM product_updates_begin(node, settings);
END $$;

-- --- what the engine does (0012, 0013, 0015), as before; and: an update of kind product is one binary, told by its hash as a
-- flash is, and the Hello has to say the product's version as well ---

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
                           ARRAY['active', 'waiting'], 'blocked', 'module_withdrawn', '{"sentence": "The binary was withdrawn."}', 'sweep');
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

CREATE OR REPLACE FUNCTION on_steps_moved() RETURNS trigger LANGUAGE plpgsql AS $$
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
    PERFORM tell_of_device(u.device_id, 'spark/status', 'auto-update') -- nobody flashed it
      FROM is_now n JOIN was_before o USING (id) JOIN device_update u ON u.id = n.update_id
     WHERE n.state = 'transferring' AND o.state <> 'transferring' AND o.started_at IS NULL AND u.kind <> 'flash';
    RETURN NULL;
END $$;

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

-- Devices of this node that did not echo what they are to know, each given out once in a while: after 30 s, then twice as long, up
-- to six hours. A device forgets it at a reset and says so after its Hello. Those that do not know the event are not told.
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
