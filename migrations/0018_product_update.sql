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
-- product in its Hello by the version beside it, another one, as one in safe mode, by the hash it describes. names, version: as
-- it would be if that version were released to these as well ('' is the default of the product); '{}': as it is.
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
      LEFT JOIN (
           SELECT g.device_id, max(CASE WHEN g.name = ANY (names) THEN firmware_targets.version ELSE r.version END) AS version
             FROM device_group g
             LEFT JOIN product_release r ON r.product_id = g.product_id AND r.name = g.name
            WHERE g.product_id = firmware_targets.product
            GROUP BY g.device_id) g ON g.device_id = d.id
     CROSS JOIN LATERAL (
           SELECT CASE WHEN d.development OR d.quarantined OR d.denied THEN NULL
                       ELSE coalesce(d.desired_firmware_version, g.version,
                                     CASE WHEN '' = ANY (names) THEN firmware_targets.version ELSE p.version END) END AS target) t
      LEFT JOIN product_firmware f ON f.product_id = d.in_product AND f.version = t.target
     WHERE d.in_product = firmware_targets.product
$$;
-- The same of one device. In plpgsql, which keeps its plan: the question comes with every Hello.
CREATE FUNCTION device_firmware_target(dev bytea) RETURNS TABLE (target integer, runs boolean, module_id bigint)
    LANGUAGE plpgsql STABLE ROWS 1 AS $$
DECLARE
    product integer := (SELECT d.in_product FROM device d WHERE d.id = dev);
BEGIN
    IF product IS NOT NULL THEN
        RETURN QUERY SELECT t.target, t.runs, t.module_id FROM firmware_targets(product, '{}', NULL) t WHERE t.device_id = dev;
    END IF;
END $$;
CREATE OR REPLACE FUNCTION targeted_firmware_version(d device) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT t.target FROM device_firmware_target(d.id) t);
END $$;

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
         CROSS JOIN LATERAL device_firmware_target(x.id) t
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
         WHERE NOT t.runs AND b.status = 'active'
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

-- A Hello says what a device of a product runs; most run what they should.
CREATE FUNCTION on_product_hello() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM device_firmware_target(NEW.id) t WHERE NOT t.runs AND t.target IS NOT NULL)
       OR EXISTS (SELECT FROM device_update u WHERE u.device_id = NEW.id AND u.kind = 'product'
                     AND u.state IN ('pending', 'waiting', 'active', 'verifying')) THEN
        PERFORM product_updates_make(ARRAY[NEW.id], 'handshake', false);
    END IF;
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
    PERFORM updates_settle(ARRAY(SELECT id FROM device_update
                                  WHERE id = ANY (busy) AND reason IS DISTINCT FROM 'busy_in_campaign'),
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
            SELECT x.id FROM unnest(ids) x (id)
             CROSS JOIN LATERAL device_firmware_target(x.id) t WHERE t.target = p.version AND NOT t.runs), p.asked_by, false);
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
