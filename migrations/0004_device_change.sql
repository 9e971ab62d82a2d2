-- What people change about devices: each call is one transaction with its audit row.
-- Results: 'ok', 'not found', 'forbidden', 'conflict', 'ambiguous', with the id of the device.

CREATE TYPE change_result AS (code text, id bytea, detail text);

-- which: 24 hex digits or a name; ids win. A person sees by name what is theirs; operators and admins everybody's, their own
-- first, and only when the name is not ambiguous.
CREATE FUNCTION find_device(actor_id bigint, sees_all boolean, which text) RETURNS change_result
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    d device;
    found_id bytea;
    matches bigint;
BEGIN
    IF which ~ '^[0-9A-Fa-f]{24}$' THEN
        SELECT * INTO d FROM device WHERE id = decode(which, 'hex');
        IF NOT FOUND THEN
            RETURN ROW('not found', NULL, NULL)::change_result;
        ELSIF NOT sees_all AND d.owner_id IS DISTINCT FROM actor_id THEN
            RETURN ROW('forbidden', NULL, NULL)::change_result;
        END IF;
        RETURN ROW('ok', d.id, NULL)::change_result;
    END IF;
    SELECT id INTO found_id FROM device WHERE owner_id = actor_id AND name = which;
    IF FOUND THEN
        RETURN ROW('ok', found_id, NULL)::change_result;
    ELSIF NOT sees_all THEN
        RETURN ROW('not found', NULL, NULL)::change_result;
    END IF;
    SELECT min(encode(id, 'hex')), count(*) INTO which, matches FROM (SELECT id FROM device WHERE name = which LIMIT 2) m;
    IF matches = 0 THEN
        RETURN ROW('not found', NULL, NULL)::change_result;
    ELSIF matches > 1 THEN
        RETURN ROW('ambiguous', NULL, NULL)::change_result;
    END IF;
    RETURN ROW('ok', decode(which, 'hex'), NULL)::change_result;
END $$;

CREATE FUNCTION change_device(actor_id bigint, actor text, sees_all boolean, which text, new_name text, new_notes text)
    RETURNS change_result LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
    d device;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT * INTO d FROM device WHERE id = r.id FOR UPDATE;
    UPDATE device SET name = coalesce(new_name, name), notes = coalesce(new_notes, notes) WHERE id = r.id;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'device.update', encode(r.id, 'hex'), jsonb_build_object('name', d.name, 'notes', d.notes),
            jsonb_build_object('name', coalesce(new_name, d.name), 'notes', coalesce(new_notes, d.notes)));
    RETURN r;
EXCEPTION WHEN unique_violation THEN
    RETURN ROW('conflict', NULL, NULL)::change_result;
END $$;

CREATE FUNCTION claim_device(actor_id bigint, actor text, sees_all boolean, dev bytea) RETURNS change_result
    LANGUAGE plpgsql AS $$
DECLARE d device;
BEGIN
    SELECT * INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL)::change_result;
    ELSIF d.owner_id = actor_id THEN
        RETURN ROW('ok', dev, NULL)::change_result;
    ELSIF d.owner_id IS NOT NULL OR (d.quarantined AND NOT sees_all) THEN
        RETURN ROW('forbidden', NULL, NULL)::change_result;
    END IF;
    UPDATE device SET owner_id = actor_id, name = name_for_owner(dev, d.name, actor_id) WHERE id = dev;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'device.claim', encode(dev, 'hex'), jsonb_build_object('owner', NULL),
            jsonb_build_object('owner', actor));
    RETURN ROW('ok', dev, NULL)::change_result;
EXCEPTION WHEN unique_violation THEN -- the name was taken meanwhile: looked at again
    RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

CREATE FUNCTION unclaim_device(actor_id bigint, actor text, sees_all boolean, which text) RETURNS change_result
    LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_device(actor_id, sees_all, which);
    d device;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT * INTO d FROM device WHERE id = r.id FOR UPDATE;
    UPDATE device SET owner_id = NULL, name = name_for_owner(r.id, d.name, NULL) WHERE id = r.id;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'device.unclaim', encode(r.id, 'hex'),
            jsonb_build_object('owner', (SELECT u.name FROM users u WHERE u.id = d.owner_id)),
            jsonb_build_object('owner', NULL));
    RETURN r;
EXCEPTION WHEN unique_violation THEN -- the name was taken meanwhile: looked at again
    RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
END $$;

-- Adds a key; the two newest of a device stay live. Who takes a device out of quarantine vouches for this key alone: every
-- other one is a stranger's, who was the first to name that device. role: of the actor; 'command' for the offline form, which
-- may do all. detail 'end session' when the device leaves quarantine, or when a key retired within the last 5 minutes is the
-- one last used, or pre-shared (of those the use is not known): so the same call made again answers the same.
CREATE FUNCTION provision_device(actor_id bigint, actor text, role text, dev bytea, key_kind text, key_data bytea,
                                 product integer, new_name text)
    RETURNS change_result LANGUAGE plpgsql AS $$
DECLARE
    d device;
    is_new boolean;
    approves boolean;
    key_sha bytea := sha256(key_data);
    ends boolean;
BEGIN
    INSERT INTO device (id, owner_id, product_id) VALUES (dev, CASE WHEN role = 'owner' THEN actor_id END, product)
    ON CONFLICT (id) DO NOTHING;
    is_new := FOUND;
    SELECT * INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT is_new AND role NOT IN ('admin', 'command') AND d.owner_id IS DISTINCT FROM actor_id THEN
        RETURN ROW('forbidden', NULL, NULL)::change_result;
    END IF;
    IF key_kind <> 'psk' AND EXISTS (SELECT FROM device_key k WHERE k.sha256 = key_sha AND k.state = 'live'
                                        AND k.kind <> 'psk' AND k.device_id <> dev) THEN
        RAISE unique_violation;
    END IF;
    approves := d.quarantined AND role <> 'owner';
    IF approves THEN
        UPDATE device_key k SET state = 'retired', retired_at = now()
         WHERE k.device_id = dev AND k.state = 'live' AND k.sha256 <> key_sha;
    END IF;
    INSERT INTO device_key AS k (device_id, kind, sha256, data) VALUES (dev, key_kind, key_sha, key_data)
    ON CONFLICT (device_id, sha256) DO UPDATE SET state = 'live', retired_at = NULL, created_at = clock_timestamp();
    UPDATE device_key k SET state = 'retired', retired_at = now()
     WHERE k.device_id = dev AND k.state = 'live'
       AND k.id NOT IN (SELECT n.id FROM device_key n WHERE n.device_id = dev AND n.state = 'live'
                         ORDER BY n.created_at DESC, n.id DESC LIMIT 2);
    ends := approves OR EXISTS (
        SELECT FROM device_key k
         WHERE k.device_id = dev AND k.state = 'retired' AND k.retired_at > now() - interval '5 minutes'
           AND (k.kind = 'psk' OR k.last_used_at >= coalesce((SELECT max(o.last_used_at) FROM device_key o
                                                               WHERE o.device_id = dev AND o.state = 'live'), '-infinity')));
    UPDATE device SET
        quarantined = quarantined AND NOT approves,
        product_id = coalesce(product, product_id),
        name = coalesce(new_name, name)
     WHERE id = dev;
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, CASE WHEN is_new THEN 'device.create' ELSE 'device.key' END, encode(dev, 'hex'),
            jsonb_build_object('kind', key_kind, 'sha256', CASE WHEN key_kind <> 'psk' THEN encode(key_sha, 'hex') END));
    RETURN ROW('ok', dev, CASE WHEN ends THEN 'end session' END)::change_result;
EXCEPTION WHEN unique_violation THEN
    RETURN ROW('conflict', NULL, NULL)::change_result;
END $$;
