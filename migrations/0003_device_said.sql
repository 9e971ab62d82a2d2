-- What devices say, each stored by one call, which is one transaction. Doing any of it twice is doing it once.

-- Hello. mode: 'known' (the key is enrolled for this device), 'enrol' (trust on first use), 'quarantine' (unknown, admitted
-- to be looked at). spki: the key proved in the handshake, NULL when it is not to be bound. Returns 'stored', or why not.
CREATE FUNCTION store_hello(dev bytea, mode text, session bigint, spki bytea, ip text, hello jsonb)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d device;
    is_new boolean;
    key_sha bytea := sha256(spki);
    has_keys boolean := false;
    has_this boolean := false;
BEGIN
    PERFORM deep_update_lock_facts();
    SELECT * INTO d FROM device WHERE id = dev FOR UPDATE;
    is_new := NOT FOUND;
    IF is_new AND mode = 'known' THEN
        RETURN 'unknown device';
    ELSIF is_new AND mode = 'quarantine'
          AND (SELECT count(*) FROM (SELECT FROM device WHERE quarantined LIMIT 10000) q) = 10000 THEN
        RETURN 'too many devices in quarantine';
    ELSIF mode = 'enrol' AND spki IS NULL THEN
        RETURN 'no key to enrol';
    ELSIF NOT is_new AND mode <> 'known' AND d.quarantined <> (mode = 'quarantine') THEN
        RETURN 'registered otherwise';
    END IF;
    IF mode <> 'known' AND spki IS NOT NULL THEN
        SELECT count(*) > 0, coalesce(bool_or(k.sha256 = key_sha AND k.state = 'live'), false) INTO has_keys, has_this
          FROM device_key k WHERE k.device_id = dev;
        IF has_keys AND NOT has_this THEN
            RETURN 'registered with another key';
        ELSIF NOT has_keys AND EXISTS (SELECT FROM device_key k WHERE k.sha256 = key_sha AND k.state = 'live'
                                          AND k.kind <> 'psk') THEN
            RETURN 'the key belongs to another device';
        END IF;
    END IF;
    IF is_new THEN
        INSERT INTO device (id, quarantined) VALUES (dev, mode = 'quarantine');
        INSERT INTO audit (actor, action, target, after, reason)
        VALUES ('policy', 'device.create', encode(dev, 'hex'), jsonb_build_object('quarantined', mode = 'quarantine'),
                mode || ' policy');
    END IF;
    IF mode <> 'known' AND spki IS NOT NULL AND NOT has_keys THEN
        INSERT INTO device_key (device_id, kind, sha256, data, last_used_at) VALUES (dev, 'p256', key_sha, spki, now());
    END IF;
    UPDATE device SET
        platform_id = (hello ->> 'platform_id')::integer,
        product_id = (hello ->> 'product_id')::integer,
        product_version = (hello ->> 'product_version')::integer,
        hello_flags = (hello ->> 'flags')::integer,
        system_version = coalesce((hello ->> 'system_version')::integer, system_version),
        max_message_bytes = coalesce((hello ->> 'max_message_bytes')::integer, max_message_bytes),
        max_binary_bytes = coalesce((hello ->> 'max_binary_bytes')::bigint, max_binary_bytes),
        chunk_bytes = coalesce((hello ->> 'chunk_bytes')::integer, chunk_bytes),
        status = 'normal', -- a device in safe mode says so right after its Hello
        last_ip = ip,
        last_heard = greatest(last_heard, now()),
        last_handshake = CASE WHEN session_id IS DISTINCT FROM session THEN now() ELSE last_handshake END,
        session_epoch = session_epoch + CASE WHEN session_id IS DISTINCT FROM session THEN 1 ELSE 0 END,
        session_id = session
    WHERE id = dev;
    IF d.platform_id IS DISTINCT FROM (hello ->> 'platform_id')::integer THEN
        PERFORM refresh_deep_update(ARRAY[dev]);
    END IF;
    RETURN 'stored';
EXCEPTION WHEN unique_violation THEN -- two Hellos at once, of one new device or with one new key: looked at again
    RAISE EXCEPTION 'registered a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

-- The modules of a system describe, with their history. cause goes into the history.
CREATE FUNCTION store_modules(dev bytea, modules jsonb, cause text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH stated AS (
        SELECT DISTINCT ON (store, func, idx) store, func, idx, version, max_size, checked, passed, hash, deps
          FROM jsonb_to_recordset(modules)
               AS m (store smallint, func smallint, idx smallint, version integer, max_size bigint, checked bigint,
                     passed bigint, hash text, deps jsonb)
         ORDER BY store, func, idx, version DESC
    ), old AS (
        SELECT * FROM device_module WHERE device_id = dev
    ), history AS (
        INSERT INTO device_module_history (device_id, func, idx, old_version, new_version, cause)
        SELECT dev, coalesce(n.func, o.func), coalesce(n.idx, o.idx), o.version,
               CASE WHEN n.func IS NULL AND o.func = 7 THEN 0 ELSE n.version END, cause
          FROM (SELECT * FROM stated WHERE store = 0) n
          FULL JOIN (SELECT * FROM old WHERE store = 0) o USING (func, idx)
         WHERE o.version IS DISTINCT FROM CASE WHEN n.func IS NULL AND o.func = 7 THEN 0 ELSE n.version END
         ORDER BY 2, 3
    ), gone AS (
        DELETE FROM device_module m
         WHERE m.device_id = dev AND NOT (m.store = 0 AND m.func = 7)
           AND NOT EXISTS (SELECT FROM stated s WHERE s.store = m.store AND s.func = m.func AND s.idx = m.idx)
    ), unsaid AS ( -- an NCP that was left out is unknown, not gone
        UPDATE device_module m SET version = 0
         WHERE m.device_id = dev AND m.store = 0 AND m.func = 7
           AND NOT EXISTS (SELECT FROM stated s WHERE s.store = m.store AND s.func = m.func AND s.idx = m.idx)
    )
    INSERT INTO device_module AS m (device_id, store, func, idx, version, last_known, valid, max_size_bytes,
                                    checked_flags, passed_flags, hash, dependencies, seen_at)
    SELECT dev, store, func, idx, version, nullif(version, 0), checked = passed, max_size, checked, passed,
           decode(hash, 'hex'), coalesce(deps, '[]'), now()
      FROM stated
    ON CONFLICT (device_id, store, func, idx) DO UPDATE SET
        version = excluded.version, last_known = coalesce(excluded.last_known, m.last_known), valid = excluded.valid,
        max_size_bytes = excluded.max_size_bytes, checked_flags = excluded.checked_flags,
        passed_flags = excluded.passed_flags, hash = excluded.hash, dependencies = excluded.dependencies,
        seen_at = excluded.seen_at;
    UPDATE device d SET sig = (
        SELECT hashtextextended(coalesce(d.platform_id::text, '') || string_agg(
                   format(';%s.%s=%s', m.func, m.idx, m.version), '' ORDER BY m.func, m.idx), 0)
          FROM device_module m WHERE m.device_id = dev AND m.store = 0)
     WHERE d.id = dev AND EXISTS (SELECT FROM device_module m WHERE m.device_id = dev AND m.store = 0);
END $$;

-- One describe with its flag. Keys of said: modules, imei, iccid, modem_version, serial_number (system part);
-- functions, variables (application part); vitals with vitals_ms. Returns false when there is no such device.
CREATE FUNCTION store_describe(dev bytea, said jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    is_system boolean := said ? 'modules';
    is_application boolean := said ? 'functions';
BEGIN
    PERFORM deep_update_lock_facts();
    PERFORM FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF is_system THEN
        PERFORM store_modules(dev, said -> 'modules', 'describe');
        UPDATE device SET
            imei = coalesce(said ->> 'imei', imei),
            iccid = coalesce(said ->> 'iccid', iccid),
            modem_version = coalesce(said ->> 'modem_version', modem_version),
            serial_number = coalesce(said ->> 'serial_number', serial_number),
            system_sha256 = sha256(convert_to((said -> 'modules')::text, 'UTF8')),
            system_described_at = now()
         WHERE id = dev;
        PERFORM refresh_deep_update(ARRAY[dev]);
    END IF;
    IF is_application THEN
        UPDATE device SET
            functions = said -> 'functions',
            variables = said -> 'variables',
            application_sha256 = sha256(convert_to((said -> 'functions')::text || (said -> 'variables')::text, 'UTF8')),
            application_described_at = now()
         WHERE id = dev;
    END IF;
    IF said ? 'vitals' THEN
        INSERT INTO device_vitals (device_id, at, vitals)
        VALUES (dev, from_ms((said ->> 'vitals_ms')::bigint), said -> 'vitals')
        ON CONFLICT DO NOTHING;
        DELETE FROM device_vitals
         WHERE device_id = dev
           AND at < (SELECT at FROM device_vitals WHERE device_id = dev ORDER BY at DESC OFFSET 99 LIMIT 1);
    END IF;
    RETURN true;
END $$;

-- The whole list of a session. rev grows with each list of it: one that was overtaken on its way is not stored, since the
-- newer one stands for it too; nor one of an older session once the present session has given its own.
CREATE FUNCTION store_subscriptions(dev bytea, session bigint, rev bigint, prefixes text[], scopes text[], formats text[],
                                    froms bytea[])
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    d record;
BEGIN
    SELECT session_id, subscriptions_session, subscriptions_rev INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    ELSIF d.subscriptions_session = session AND d.subscriptions_rev > rev
          OR d.subscriptions_session = d.session_id AND d.session_id <> session THEN
        RETURN true;
    END IF;
    UPDATE device SET subscriptions_session = session, subscriptions_rev = rev WHERE id = dev;
    DELETE FROM device_subscription WHERE device_id = dev;
    INSERT INTO device_subscription (device_id, place, prefix, scope, format, from_device)
    SELECT dev, place, prefix, scope::"char", format::"char", from_device
      FROM unnest(prefixes, scopes, formats, froms) WITH ORDINALITY AS s (prefix, scope, format, from_device, place);
    RETURN true;
END $$;

-- A name free for this owner: the device's own, or none when the owner has another device of that name.
CREATE FUNCTION name_for_owner(dev bytea, name_now text, owner bigint) RETURNS text LANGUAGE sql STABLE
    RETURN CASE WHEN EXISTS (SELECT FROM device d
                              WHERE coalesce(d.owner_id, 0) = coalesce(owner, 0) AND d.name = name_now AND d.id <> dev)
                THEN NULL ELSE name_now END;

-- A device showed a claim code: it becomes its user's, unless it is someone else's. True when the code is used by it now.
CREATE FUNCTION claim_by_code(dev bytea, code bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c claim_code;
    d device;
    who text;
BEGIN
    SELECT * INTO c FROM claim_code WHERE sha256 = sha256(code) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF c.used_by IS NOT NULL THEN
        RETURN c.used_by = dev;
    END IF;
    SELECT * INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND OR d.quarantined OR c.expires_at <= now() OR d.owner_id <> c.user_id THEN
        RETURN false;
    END IF;
    UPDATE claim_code SET used_by = dev, used_at = now() WHERE sha256 = c.sha256;
    IF d.owner_id IS NULL THEN
        SELECT name INTO who FROM users WHERE id = c.user_id;
        UPDATE device SET owner_id = c.user_id, name = name_for_owner(dev, d.name, c.user_id) WHERE id = dev;
        INSERT INTO audit (actor, action, target, after, reason)
        VALUES (who, 'device.claim', encode(dev, 'hex'), jsonb_build_object('owner', who), 'claim code');
    END IF;
    RETURN true;
EXCEPTION WHEN unique_violation THEN -- the name was taken meanwhile: looked at again
    RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

-- Many events at once, with what the system events among them mean, in one transaction. kinds: user, system, or a kind
-- named below. Returns the places (from 1) of claim codes that are now used by their device.
CREATE FUNCTION store_events(keys bytea[], devices bytea[], kinds text[], names text[], datas bytea[], formats integer[],
                             ttls bigint[], publics boolean[], received bigint[], vals text[], quarantines boolean[])
    RETURNS TABLE (place bigint) LANGUAGE plpgsql AS $$
DECLARE
    special bytea[];
BEGIN
    special := ARRAY(SELECT DISTINCT d FROM unnest(devices, kinds) AS s (d, k) WHERE k NOT IN ('user', 'system') ORDER BY d);
    IF cardinality(special) > 0 THEN
        PERFORM deep_update_lock_facts();
        PERFORM FROM device WHERE id = ANY (special) ORDER BY id FOR UPDATE;
    END IF;
    WITH said AS (
        SELECT * FROM unnest(keys, devices, kinds, names, datas, formats, ttls, publics, received, vals)
               WITH ORDINALITY AS s (key, device, kind, name, data, format, ttl, public, at, val, ord)
    ), fresh AS (
        INSERT INTO event (key, device_id, name, data, content_format, ttl_s, is_public, is_system, received_at)
        SELECT key, device, name, CASE WHEN kind <> 'claim_code' THEN data END, format, ttl, public, kind <> 'user',
               from_ms(at)
          FROM said ORDER BY ord
        ON CONFLICT (key) DO NOTHING
        RETURNING key
    ), facts AS ( -- of several events of one kind the last one counts
        SELECT device,
               (array_agg(val ORDER BY ord DESC) FILTER (WHERE kind = 'last_reset'))[1] AS last_reset,
               (array_agg(val = 'true' ORDER BY ord DESC)
                   FILTER (WHERE kind = 'updates_enabled' AND val IN ('true', 'false')))[1] AS updates_enabled,
               (array_agg(val = 'true' ORDER BY ord DESC)
                   FILTER (WHERE kind = 'updates_forced' AND val IN ('true', 'false')))[1] AS updates_forced,
               (array_agg(val ORDER BY ord DESC)
                   FILTER (WHERE kind = 'cc3000_patch' AND is_dotted(val)))[1] AS cc3000,
               (array_agg(val::bigint ORDER BY ord DESC)
                   FILTER (WHERE kind = 'max_binary' AND val ~ '^[0-9]{1,10}$'))[1] AS max_binary,
               (array_agg(val::integer ORDER BY ord DESC)
                   FILTER (WHERE kind = 'chunk_bytes' AND val ~ '^[0-9]{1,5}$'))[1] AS chunk_bytes,
               (array_agg(val ORDER BY ord DESC) FILTER (WHERE kind = 'identity' AND val ~ '^[0-9]{15}$'))[1] AS imei,
               (array_agg(val ORDER BY ord DESC)
                   FILTER (WHERE kind = 'identity' AND val ~ '^[0-9]{18,22}$'))[1] AS iccid,
               coalesce(bool_or(kind = 'safe_mode'), false) AS safe_mode
          FROM said JOIN fresh USING (key)
         WHERE kind NOT IN ('user', 'system', 'claim_code', 'key_error')
         GROUP BY device
    )
    UPDATE device d SET
        last_reset = coalesce(f.last_reset, d.last_reset),
        updates_enabled = coalesce(f.updates_enabled, d.updates_enabled),
        updates_forced = coalesce(f.updates_forced, d.updates_forced),
        cc3000_patch_version = coalesce(f.cc3000, d.cc3000_patch_version),
        max_binary_bytes = coalesce(f.max_binary, d.max_binary_bytes),
        chunk_bytes = coalesce(f.chunk_bytes, d.chunk_bytes),
        imei = coalesce(f.imei, d.imei),
        iccid = coalesce(f.iccid, d.iccid),
        status = CASE WHEN f.safe_mode THEN 'safe_mode' ELSE d.status END
      FROM facts f WHERE d.id = f.device;
    IF 'cc3000_patch' = ANY (kinds) THEN
        PERFORM refresh_deep_update(special);
    END IF;
    IF 'claim_code' = ANY (kinds) THEN
        RETURN QUERY
            SELECT s.ord FROM unnest(devices, kinds, datas, quarantines) WITH ORDINALITY AS s (device, kind, data, quarantined, ord)
             WHERE s.kind = 'claim_code' AND NOT s.quarantined AND claim_by_code(s.device, s.data)
             ORDER BY s.ord;
    END IF;
END $$;

-- --- presence ---

-- ids..sessions: the newest state of each device, once each; online and ips NULL = as before. A device is only taken
-- offline by the session that made it online; session NULL: by an end that is newer than any beginning. c_*: beginnings and
-- ends of connections in order.
CREATE FUNCTION store_presence(node integer, ids bytea[], onlines boolean[], heards bigint[], ips text[],
                               sessions bigint[], c_ids bytea[], c_sessions bigint[], c_ats bigint[],
                               c_reasons text[], c_ips text[], c_resumed boolean[], c_goodbyes text[])
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM device WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
    UPDATE device d SET
        online = CASE WHEN p.online IS NULL THEN d.online
                      WHEN p.online THEN true
                      ELSE d.online AND p.session IS NOT NULL AND d.online_session_id IS DISTINCT FROM p.session END,
        online_session_id = CASE WHEN p.online THEN p.session ELSE d.online_session_id END,
        node_id = CASE WHEN p.online THEN node ELSE d.node_id END,
        last_heard = greatest(d.last_heard, from_ms(p.heard)),
        last_ip = coalesce(p.ip, d.last_ip)
      FROM unnest(ids, onlines, heards, ips, sessions) AS p (id, online, heard, ip, session)
     WHERE d.id = p.id;
    IF cardinality(c_ids) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO device_connection (device_id, session_id, started_at, ip, node_id, resumed)
    SELECT c.id, c.session, from_ms(c.at), c.ip, node, c.resumed
      FROM unnest(c_ids, c_sessions, c_ats, c_reasons, c_ips, c_resumed) AS c (id, session, at, reason, ip, resumed)
     WHERE c.reason IS NULL AND EXISTS (SELECT FROM device d WHERE d.id = c.id)
    ON CONFLICT DO NOTHING;
    -- each end closes what of its session began before it
    UPDATE device_connection o SET
        ended_at = e.at, duration_ms = to_ms(e.at) - to_ms(o.started_at), reason = e.reason, goodbye = e.goodbye
      FROM (SELECT DISTINCT ON (open.device_id, open.session_id, open.started_at)
                   open.device_id, open.session_id, open.started_at, from_ms(c.at) AS at, c.reason, c.goodbye::jsonb
              FROM unnest(c_ids, c_sessions, c_ats, c_reasons, c_goodbyes) AS c (id, session, at, reason, goodbye)
              JOIN device_connection open
                ON open.device_id = c.id AND open.session_id = c.session AND open.ended_at IS NULL
                   AND open.started_at <= from_ms(c.at)
             WHERE c.reason IS NOT NULL
             ORDER BY open.device_id, open.session_id, open.started_at, c.at) e
     WHERE o.device_id = e.device_id AND o.session_id = e.session_id AND o.started_at = e.started_at;
    DELETE FROM device_connection o
     USING (SELECT id, (SELECT k.started_at FROM device_connection k WHERE k.device_id = id
                         ORDER BY k.started_at DESC OFFSET 199 LIMIT 1) AS oldest
              FROM (SELECT DISTINCT unnest(c_ids) AS id) ids) keep
     WHERE o.device_id = keep.id AND o.started_at < keep.oldest;
END $$;

-- Devices this node left online are offline, at its start ('restart') and at its end ('shutdown'); at most max_count at once,
-- each time a short transaction. Returns how many they were: fewer than max_count when there are no more.
CREATE FUNCTION store_node_offline(node integer, why text, max_count integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    ids bytea[] := ARRAY(SELECT id FROM device WHERE online AND node_id = node LIMIT max_count);
BEGIN
    PERFORM FROM device WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
    UPDATE device_connection c SET
        ended_at = greatest(c.started_at, coalesce(d.last_heard, c.started_at)),
        duration_ms = greatest(0, to_ms(coalesce(d.last_heard, c.started_at)) - to_ms(c.started_at)),
        reason = why
      FROM device d
     WHERE c.device_id = ANY (ids) AND d.id = c.device_id AND d.online AND c.node_id = node AND c.ended_at IS NULL;
    UPDATE device SET online = false WHERE id = ANY (ids) AND node_id = node;
    RETURN cardinality(ids);
END $$;

CREATE FUNCTION store_attempts(ats bigint[], outcomes text[], stages text[], profiles text[], alerts integer[],
                               source_ips text[], identities text[], key_sums bytea[], tooks bigint[])
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE subjects text[];
BEGIN
    WITH said AS (
        SELECT s.*, coalesce(CASE WHEN s.identity ~ '^[0-9A-Fa-f]{24}$' THEN decode(s.identity, 'hex') END,
                             (SELECT k.device_id FROM device_key k
                               WHERE k.sha256 = s.key AND k.state = 'live' AND k.kind <> 'psk')) AS device
          FROM unnest(ats, outcomes, stages, profiles, alerts, source_ips, identities, key_sums, tooks)
               WITH ORDINALITY AS s (at, outcome, stage, profile, alert, ip, identity, key, took, ord)
    ), fresh AS (
        INSERT INTO handshake_attempt (at, subject, outcome, stage, profile, alert, ip, identity, key_sha256, device_id,
                                       took_ms)
        SELECT from_ms(at), coalesce('device ' || encode(device, 'hex'), 'key ' || encode(key, 'hex'), 'address ' || ip),
               outcome, stage, profile, alert, ip, identity, key, device, least(took, 2147483647)
          FROM said ORDER BY ord
        RETURNING subject
    )
    SELECT array_agg(DISTINCT subject) INTO subjects FROM fresh;
    DELETE FROM handshake_attempt a
     USING (SELECT s.subject, (SELECT k.id FROM handshake_attempt k WHERE k.subject = s.subject
                                ORDER BY k.id DESC OFFSET 19 LIMIT 1) AS oldest
              FROM unnest(subjects) AS s (subject)) keep
     WHERE a.subject = keep.subject AND a.id < keep.oldest;
END $$;
