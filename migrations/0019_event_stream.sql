-- Events reach people who read them as a stream, and the server has events of its own. Nodes that have readers follow the table:
-- what one transaction after another makes visible, in that order, each row once.

-- --- the table as a stream ---

ALTER TABLE event ADD COLUMN tx xid8;            -- the transaction that stored it; NULL: stored before there were streams
ALTER TABLE event ALTER COLUMN tx SET DEFAULT pg_current_xact_id();
ALTER TABLE event ADD COLUMN product_id integer; -- published to a product: by user_id, or without one by the server
ALTER TABLE event DROP CONSTRAINT event_publisher;
ALTER TABLE event ADD CONSTRAINT event_publisher CHECK (num_nonnulls(device_id, user_id) = 1
                                                        OR num_nonnulls(device_id, user_id) = 0 AND product_id IS NOT NULL) NOT VALID;
CREATE INDEX event_tx ON event (tx, id) WHERE tx IS NOT NULL;

-- Which nodes have readers. What nobody would read is not stored at all (wants_system_events).
CREATE UNLOGGED TABLE event_reader (
    node integer PRIMARY KEY,
    until timestamptz NOT NULL
);

-- The node has readers for another half minute. Returns from where it follows if it does not already.
CREATE FUNCTION follow_events(reader integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event_reader AS r (node, until) VALUES (reader, now() + interval '30 s')
    ON CONFLICT (node) DO UPDATE SET until = excluded.until WHERE r.until < now() + interval '20 s';
    RETURN pg_current_snapshot()::text;
END $$;

-- What has become visible since the snapshot seen: what was running then, and what began later. Transactions of one device's
-- events follow each other, so that their order is the order of its events. At most `most` rows: then the rest is asked for with
-- the snapshot of the first answer as upto, and the last row of it. The first row of an answer says the snapshot as name, and has
-- no id. A database that is not the one of before, whose counter is behind, begins anew.
CREATE FUNCTION events_since(seen text, upto text, past_tx text, past_id bigint, most integer)
    RETURNS TABLE (id bigint, tx text, device bytea, owner bigint, person bigint, product integer, version integer, quarantined boolean,
                   name text, data bytea, content_format integer, ttl_s bigint, is_public boolean, at_ms bigint)
    -- the planner knows neither snapshots nor how few rows are new: by the index, whatever it thinks
    LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    present pg_snapshot := pg_current_snapshot();
    since pg_snapshot := CASE WHEN pg_snapshot_xmax(seen::pg_snapshot) > pg_snapshot_xmax(present) THEN present
                              ELSE seen::pg_snapshot END;
    bound pg_snapshot := coalesce(upto::pg_snapshot, present);
    running xid8[] := ARRAY(SELECT pg_snapshot_xip(since));
    last_tx xid8 := past_tx::xid8;
    -- one bound: of two the index would take the lower
    goes_on boolean := last_tx >= pg_snapshot_xmax(since);
    from_tx xid8 := CASE WHEN goes_on THEN last_tx ELSE pg_snapshot_xmax(since) END;
    from_id bigint := CASE WHEN goes_on THEN past_id ELSE -1 END;
BEGIN
    events_since.name := bound::text;
    RETURN NEXT;
    RETURN QUERY
        SELECT e.id, e.tx::text, e.device_id, CASE WHEN e.device_id IS NULL THEN e.user_id ELSE d.owner_id END, e.user_id,
               coalesce(e.product_id, d.in_product), d.product_version, coalesce(d.quarantined, false), e.name, e.data,
               e.content_format, e.ttl_s, e.is_public, to_ms(e.received_at)
          FROM (SELECT a.* FROM unnest(running) AS r (tx)
                 CROSS JOIN LATERAL (SELECT * FROM event x WHERE x.tx = r.tx OFFSET 0) a
                 WHERE (a.tx, a.id) > (last_tx, past_id) AND pg_visible_in_snapshot(r.tx, bound)
                UNION ALL
                (SELECT * FROM event b WHERE (b.tx, b.id) > (from_tx, from_id) AND pg_visible_in_snapshot(b.tx, bound)
                  ORDER BY b.tx, b.id LIMIT most)) e
          LEFT JOIN device d ON d.id = e.device_id
         ORDER BY e.tx, e.id LIMIT most;
END $$;

-- --- who may read ---

-- A stream of a device, of a product, of a device in a product, or (both NULL) of one's own events. code as find_device has it; what:
-- 'product' when it is the product that is not there or not theirs.
CREATE FUNCTION open_event_stream(reader integer, actor_id bigint, sees_all boolean, product text, device text)
    RETURNS TABLE (code text, what text, product_id integer, device_id bytea, seen text) LANGUAGE plpgsql AS $$
DECLARE
    p record;
    d change_result;
BEGIN
    code := 'ok';
    IF product IS NOT NULL THEN
        SELECT * INTO p FROM find_product(actor_id, sees_all, product, 'view');
        code := p.code;
        what := 'product';
        product_id := p.id;
    END IF;
    IF code = 'ok' AND device IS NOT NULL THEN
        d := find_device(actor_id, sees_all, coalesce(product || '/', '') || device);
        code := d.code;
        what := 'device';
        device_id := d.id;
    END IF;
    IF code = 'ok' THEN
        seen := follow_events(reader);
    END IF;
    RETURN NEXT;
END $$;

-- Which of these streams must end: their place from 1. A stream goes on while its token is valid and its person may see the device,
-- or the product, or the device in the product.
CREATE FUNCTION ended_event_streams(tokens bigint[], products integer[], devices bytea[])
    RETURNS TABLE (place bigint, why text) LANGUAGE sql STABLE AS $$
    SELECT s.ord, CASE WHEN t.id IS NULL THEN 'token' ELSE 'rights' END
      FROM unnest(tokens, products, devices) WITH ORDINALITY AS s (token, product, device, ord)
      LEFT JOIN (access_token t JOIN users u ON u.id = t.user_id)
        ON t.id = s.token AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
      LEFT JOIN device d ON d.id = s.device
     WHERE t.id IS NULL
        OR s.device IS NOT NULL AND d.id IS NULL
        OR s.product IS NOT NULL AND (product_access(u.id, u.role <> 'owner', s.product) IS NULL
                                      OR s.device IS NOT NULL AND d.in_product IS DISTINCT FROM s.product)
        OR s.product IS NULL AND s.device IS NOT NULL AND u.role = 'owner' AND d.owner_id IS DISTINCT FROM u.id
     ORDER BY s.ord
$$;

-- --- people publish to products ---

CREATE FUNCTION publish_to_product(actor_id bigint, sees_all boolean, which text, event_key bytea, event_name text, event_data bytea,
                                   ttl bigint, public boolean)
    RETURNS TABLE (code text, product_id integer) LANGUAGE plpgsql AS $$
DECLARE p record;
BEGIN
    SELECT * INTO p FROM find_product(actor_id, sees_all, which, 'manage');
    code := p.code;
    publish_to_product.product_id := p.id;
    IF code = 'ok' THEN
        INSERT INTO event (key, user_id, product_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
        VALUES (event_key, actor_id, p.id, event_name, event_data, 0, ttl, public, false, now())
        ON CONFLICT (key) DO NOTHING;
    END IF;
    RETURN NEXT;
END $$;

-- As before; and what a person publishes to a product (products) is for its devices that subscribed to their owner's, whoever that is,
-- instead of for those of the person.
DROP FUNCTION find_recipients;
CREATE FUNCTION find_recipients(devices bytea[], users bigint[], products integer[], names text[], formats integer[],
                                publics boolean[], max_count integer)
    RETURNS TABLE (place bigint, recipient bytea) LANGUAGE plpgsql STABLE AS $$
DECLARE
    event_names text[];
    prefixes text[];
BEGIN
    SELECT array_agg(n.name), array_agg(p.prefix) INTO event_names, prefixes
      FROM (SELECT DISTINCT u.name FROM unnest(names) AS u (name)) n, subscribed_prefixes(n.name) AS p (prefix);
    IF event_names IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH e AS MATERIALIZED (
            SELECT u.ord, u.device, u.product, u.name, u.format, u.public,
                   CASE WHEN u.product IS NOT NULL THEN NULL WHEN u.device IS NULL THEN u.person
                        ELSE (SELECT d.owner_id FROM device d WHERE d.id = u.device) END AS owner, m.prefix
              FROM unnest(devices, users, products, names, formats, publics) WITH ORDINALITY
                       AS u (device, person, product, name, format, public, ord)
              JOIN unnest(event_names, prefixes) AS m (name, prefix) ON m.name = u.name
        )
        SELECT DISTINCT e.ord, s.device_id
          FROM e
         CROSS JOIN LATERAL (
              SELECT o.device_id, o.format FROM device_subscription o
               WHERE o.prefix COLLATE "C" = e.prefix AND NOT is_system_name(o.prefix) AND o.scope = 'o'
                 AND o.owner_id = e.owner
              UNION ALL
              SELECT i.device_id, i.format FROM device_subscription i
               WHERE i.device_id = e.device AND i.prefix = e.prefix AND i.scope = 'o'
              UNION ALL
              SELECT t.device_id, t.format FROM device_subscription t JOIN device m ON m.id = t.device_id
               WHERE t.prefix COLLATE "C" = e.prefix AND NOT is_system_name(t.prefix) AND t.scope = 'o'
                 AND m.in_product = e.product
              UNION ALL
              SELECT p.device_id, p.format FROM device_subscription p
               WHERE e.public AND p.prefix COLLATE "C" = e.prefix AND NOT is_system_name(p.prefix) AND p.scope = 'p'
              UNION ALL
              SELECT f.device_id, f.format FROM device_subscription f
               WHERE f.prefix COLLATE "C" = e.prefix AND NOT is_system_name(f.prefix) AND f.scope = 'd'
                 AND f.from_device = e.device AND (e.public OR f.owner_id = e.owner OR f.device_id = e.device)) s
         WHERE is_wanted_format(s.format, e.format)
           AND EXISTS (SELECT FROM device d
                        WHERE d.id = s.device_id AND NOT d.quarantined
                          AND (d.online OR d.last_heard > now() - interval '1 min'))
         ORDER BY e.ord LIMIT max_count;
END $$;

-- --- events of the server itself ---

-- Whether anybody would hear of them.
CREATE FUNCTION wants_system_events() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM event_reader WHERE until > now())
$$;

-- About a device, or to a product (event_device NULL).
CREATE FUNCTION publish_system_event(event_device bytea, event_product integer, event_name text, event_data text)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO event (key, device_id, product_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), event_device, CASE WHEN event_device IS NULL THEN event_product END, event_name,
           convert_to(event_data, 'UTF8'), 0, 60, false, true, clock_timestamp()
     WHERE wants_system_events()
$$;

-- What happens to a product's firmware is the product's event, whoever did it.
CREATE OR REPLACE FUNCTION tell_of_product(product integer, actor_id bigint, called text, said text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO event (key, product_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), product, called, convert_to(said, 'UTF8'), 0, 60, false, true, clock_timestamp()
     WHERE product IS NOT NULL
$$;

-- spark/status says what `connected` of the device says. A device that is back with a new session before it was missed was away. Of
-- those that were online (was_ids) with which session; in one statement, since a herd comes online at once.
CREATE FUNCTION tell_presence(ids bytea[], was_ids bytea[], was_sessions bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
    SELECT uuid_send(gen_random_uuid()), d.id, 'spark/status', convert_to(s.said, 'UTF8'), 0, 60, false, true, clock_timestamp()
      FROM device d
      LEFT JOIN unnest(was_ids, was_sessions) AS w (id, session) ON w.id = d.id
     CROSS JOIN (VALUES (1, 'offline'), (2, 'online')) AS s (step, said)
     WHERE d.id = ANY (ids)
       AND CASE s.said WHEN 'offline' THEN w.id IS NOT NULL AND (NOT d.online OR d.online_session_id <> w.session)
                       ELSE d.online AND (w.id IS NULL OR d.online_session_id <> w.session) END
     ORDER BY d.id, s.step
$$;

ALTER FUNCTION store_presence RENAME TO store_presence_untold;
CREATE FUNCTION store_presence(node integer, ids bytea[], onlines boolean[], heards bigint[], ips text[],
                               sessions bigint[], epochs bigint[], c_ids bytea[], c_sessions bigint[], c_ats bigint[],
                               c_reasons text[], c_ips text[], c_resumed boolean[], c_goodbyes text[])
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted boolean := wants_system_events();
    was_ids bytea[];
    was_sessions bigint[];
BEGIN
    IF wanted THEN
        PERFORM FROM device WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
        SELECT coalesce(array_agg(d.id), '{}'), coalesce(array_agg(d.online_session_id), '{}') INTO was_ids, was_sessions
          FROM device d WHERE d.id = ANY (ids) AND d.online;
    END IF;
    PERFORM store_presence_untold(node, ids, onlines, heards, ips, sessions, epochs, c_ids, c_sessions, c_ats, c_reasons, c_ips,
                                  c_resumed, c_goodbyes);
    IF wanted THEN
        PERFORM tell_presence(ids, was_ids, was_sessions);
    END IF;
END $$;

-- As before, and told.
CREATE OR REPLACE FUNCTION store_node_offline(node integer, why text, max_count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    ids bytea[] := ARRAY(SELECT id FROM device WHERE online AND node_id = node LIMIT max_count);
    was_ids bytea[];
    was_sessions bigint[];
BEGIN
    PERFORM FROM device WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
    SELECT coalesce(array_agg(d.id), '{}'), coalesce(array_agg(d.online_session_id), '{}') INTO was_ids, was_sessions
      FROM device d WHERE d.id = ANY (ids) AND d.online;
    UPDATE device_connection c SET
        ended_at = greatest(c.started_at, coalesce(d.last_heard, c.started_at)),
        duration_ms = greatest(0, to_ms(coalesce(d.last_heard, c.started_at)) - to_ms(c.started_at)),
        reason = why
      FROM device d
     WHERE c.device_id = ANY (ids) AND d.id = c.device_id AND d.online AND c.node_id = node AND c.ended_at IS NULL;
    UPDATE device SET online = false WHERE id = ANY (ids) AND node_id = node;
    IF wants_system_events() THEN
        PERFORM tell_presence(ids, was_ids, was_sessions);
    END IF;
    RETURN cardinality(ids);
END $$;

CREATE FUNCTION on_device_safe_mode() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM publish_system_event(NEW.id, NULL, 'spark/status/safe-mode', (
        SELECT jsonb_build_object('p', NEW.platform_id, 'm', coalesce(jsonb_agg(jsonb_build_object(
                   'f', m.func, 'n', m.idx::text, 'v', m.version, 'vc', m.checked_flags, 'vv', m.passed_flags)
                   ORDER BY m.func, m.idx), '[]'))::text
          FROM device_module m WHERE m.device_id = NEW.id AND m.store = 0));
    RETURN NULL;
END $$;
CREATE TRIGGER device_safe_mode AFTER UPDATE OF status ON device FOR EACH ROW
    WHEN (NEW.status = 'safe_mode' AND OLD.status <> 'safe_mode') EXECUTE FUNCTION on_device_safe_mode();

-- The hash of the application, the user part in the main store, when it is another than before.
CREATE FUNCTION on_application_hash() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.hash IS DISTINCT FROM OLD.hash THEN
        PERFORM publish_system_event(NEW.device_id, NULL, 'spark/device/app-hash', upper(encode(NEW.hash, 'hex')));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER application_hash AFTER INSERT OR UPDATE OF hash ON device_module FOR EACH ROW
    WHEN (NEW.store = 0 AND NEW.func IN (3, 5) AND NEW.hash IS NOT NULL) EXECUTE FUNCTION on_application_hash();

-- An update that no person asked this device for begins.
CREATE FUNCTION on_auto_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM publish_system_event(u.device_id, NULL, 'spark/status', 'auto-update')
       FROM device_update u WHERE u.id = NEW.update_id AND u.kind <> 'flash';
    RETURN NULL;
END $$;
CREATE TRIGGER auto_update AFTER UPDATE OF state ON update_step FOR EACH ROW
    WHEN (NEW.state = 'transferring' AND OLD.started_at IS NULL) EXECUTE FUNCTION on_auto_update();
