-- What teams change about products, their groups and their devices: each call is one transaction with its audit rows.
-- Codes are those of change_result, and 'invalid'; why is a sentence for people. Who may has been looked at before
-- (find_product), but for what only the owner may.

CREATE FUNCTION product_target(of_product integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'product ' || of_product;

-- --- products ---

-- From a name: small letters, digits, `-`; with a number behind it when it is taken; never a number alone, which would be an id.
CREATE FUNCTION free_slug(new_name text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH word AS (
        SELECT left(trim(BOTH '-' FROM regexp_replace(lower(new_name), '[^a-z0-9_]+', '-', 'g')), 48) AS w
    ), base AS (
        SELECT CASE WHEN w ~ '^[0-9]*$' THEN rtrim('product-' || w, '-') ELSE w END AS b FROM word
    )
    SELECT CASE n WHEN 1 THEN b ELSE b || '-' || n END
      FROM base, generate_series(1, (SELECT count(*) + 1 FROM product p WHERE starts_with(p.slug, b))) n
     WHERE NOT EXISTS (SELECT FROM product p WHERE p.slug = CASE n WHEN 1 THEN b ELSE b || '-' || n END)
     ORDER BY n LIMIT 1
$$;

-- Ids of products are few, and none is given twice: devices that say an old one must not come into a new product.
CREATE FUNCTION products_max() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 100;
CREATE FUNCTION products_made_max() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1000;
ALTER TABLE users ADD COLUMN products_made integer NOT NULL DEFAULT 0; -- those that were deleted too

CREATE FUNCTION create_product(actor_id bigint, actor text, new_name text, platform integer, new_description text,
                               new_settings jsonb)
    RETURNS TABLE (code text, id integer, why text) LANGUAGE plpgsql AS $$
DECLARE
    p product;
    who record;
BEGIN
    SELECT u.role, u.products_made INTO who FROM users u WHERE u.id = actor_id FOR NO KEY UPDATE; -- counted one at a time
    IF who.role = 'owner' AND (SELECT count(*) FROM product q WHERE q.owner_id = actor_id) >= products_max() THEN
        RETURN QUERY SELECT 'conflict', NULL::integer,
                            format('You have %s products already: delete one that is empty.', products_max());
        RETURN;
    ELSIF who.role = 'owner' AND who.products_made >= products_made_max() THEN
        RETURN QUERY SELECT 'conflict', NULL::integer,
                            format('You have made %s products: an operator of this server can make more.', products_made_max());
        RETURN;
    END IF;
    UPDATE users u SET products_made = u.products_made + 1 WHERE u.id = actor_id;
    INSERT INTO product (slug, name, platform_id, description, owner_id, settings)
    VALUES (free_slug(new_name), new_name, platform, new_description, actor_id, new_settings)
    RETURNING * INTO p;
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'product.create', product_target(p.id),
            jsonb_build_object('name', p.name, 'slug', p.slug, 'platform_id', p.platform_id));
    RETURN QUERY SELECT 'ok', p.id, '';
EXCEPTION
    WHEN unique_violation THEN -- the slug was taken meanwhile: looked at again
        RAISE EXCEPTION 'named a moment ago' USING ERRCODE = 'serialization_failure';
    WHEN sequence_generator_limit_exceeded THEN
        RETURN QUERY SELECT 'conflict', NULL::integer, 'All product ids are in use.';
END $$;

-- NULL: as it is. Settings are merged, one level deep.
CREATE FUNCTION change_product(actor text, of_product integer, new_name text, new_description text, new_settings jsonb)
    RETURNS TABLE (code text, id integer, why text) LANGUAGE plpgsql AS $$
DECLARE
    old product;
    p product;
BEGIN
    SELECT * INTO old FROM product q WHERE q.id = of_product FOR UPDATE;
    UPDATE product q SET name = coalesce(new_name, q.name), description = coalesce(new_description, q.description),
                         settings = q.settings || coalesce(new_settings, '{}'), rev = q.rev + 1, updated_at = now()
     WHERE q.id = of_product RETURNING * INTO p;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not found', NULL::integer, '';
        RETURN;
    END IF;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'product.update', product_target(p.id),
            jsonb_build_object('name', old.name, 'description', old.description, 'settings', old.settings),
            jsonb_build_object('name', p.name, 'description', p.description, 'settings', p.settings));
    RETURN QUERY SELECT 'ok', p.id, '';
END $$;

-- Only one without devices and without firmware. What it has denied is denied no more.
CREATE FUNCTION delete_product(actor_id bigint, actor text, sees_all boolean, of_product integer)
    RETURNS TABLE (code text, id integer, why text) LANGUAGE plpgsql AS $$
DECLARE
    p product;
    holds text;
BEGIN
    SELECT * INTO p FROM product q WHERE q.id = of_product FOR UPDATE; -- nothing comes into it meanwhile
    holds := CASE WHEN EXISTS (SELECT FROM device d WHERE d.in_product = of_product) THEN 'devices'
                  WHEN EXISTS (SELECT FROM product_firmware f WHERE f.product_id = of_product) THEN 'firmware' END;
    IF p.id IS NULL THEN
        RETURN QUERY SELECT 'not found', NULL::integer, '';
    ELSIF NOT sees_all AND p.owner_id IS DISTINCT FROM actor_id THEN
        RETURN QUERY SELECT 'forbidden', p.id, 'Only the owner of a product may delete it.';
    ELSIF holds IS NOT NULL THEN
        RETURN QUERY SELECT 'conflict', p.id, format('This product still has %s: only an empty one can be deleted.', holds);
    ELSE
        UPDATE device d SET denied = false, denied_by = NULL WHERE d.denied_by = of_product;
        DELETE FROM product q WHERE q.id = of_product;
        INSERT INTO audit (actor, action, target, before)
        VALUES (actor, 'product.delete', product_target(p.id), to_jsonb(p));
        RETURN QUERY SELECT 'ok', p.id, '';
    END IF;
END $$;

-- --- groups ---

CREATE FUNCTION product_groups_max() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1000;

-- Makes those that are missing; false, and nothing is made, when they would be too many for the product.
CREATE FUNCTION need_groups(actor text, of_product integer, names text[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM unnest(names) AS n (name)
                    WHERE NOT EXISTS (SELECT FROM product_group g WHERE g.product_id = of_product AND g.name = n.name)) THEN
        RETURN true;
    END IF;
    PERFORM FROM product p WHERE p.id = of_product FOR NO KEY UPDATE; -- counted one at a time
    IF (SELECT count(*) FROM (SELECT g.name FROM product_group g WHERE g.product_id = of_product
                               UNION SELECT unnest(names)) all_of_them) > product_groups_max() THEN
        RETURN false;
    END IF;
    WITH made AS (
        INSERT INTO product_group (product_id, name) SELECT DISTINCT of_product, unnest(names)
        ON CONFLICT DO NOTHING RETURNING name
    )
    INSERT INTO audit (actor, action, target, after)
    SELECT need_groups.actor, 'product.group.create', product_target(of_product), jsonb_build_object('name', m.name) FROM made m;
    RETURN true;
END $$;

CREATE FUNCTION create_group(actor text, of_product integer, new_name text, new_description text, new_color text)
    RETURNS TABLE (code text, name text, why text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM product p WHERE p.id = of_product FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM product_group g WHERE g.product_id = of_product) >= product_groups_max() THEN
        RETURN QUERY SELECT 'conflict', NULL, format('A product has at most %s groups.', product_groups_max());
        RETURN;
    END IF;
    INSERT INTO product_group AS g (product_id, name, description, color)
    VALUES (of_product, new_name, new_description, new_color) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'conflict', NULL, 'This product has a group of that name already.';
        RETURN;
    END IF;
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'product.group.create', product_target(of_product),
            jsonb_build_object('name', new_name, 'description', new_description, 'color', new_color));
    RETURN QUERY SELECT 'ok', new_name, '';
END $$;

-- NULL: as it is. What was released to the group stays released to it under its new name.
CREATE FUNCTION change_group(actor text, of_product integer, which text, new_name text, new_description text, new_color text)
    RETURNS TABLE (code text, name text, why text) LANGUAGE plpgsql AS $$
DECLARE
    old product_group;
    g product_group;
BEGIN
    SELECT * INTO old FROM product_group q WHERE q.product_id = of_product AND q.name = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not found', NULL, '';
        RETURN;
    END IF;
    UPDATE product_group q SET name = coalesce(new_name, q.name), description = coalesce(new_description, q.description),
                               color = coalesce(new_color, q.color)
     WHERE q.product_id = of_product AND q.name = which RETURNING * INTO g;
    UPDATE product_release r SET name = g.name WHERE r.product_id = of_product AND r.name = which AND g.name <> which;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'product.group.update', product_target(of_product),
            to_jsonb(old) - 'product_id' - 'created_at', to_jsonb(g) - 'product_id' - 'created_at');
    RETURN QUERY SELECT 'ok', g.name, '';
EXCEPTION WHEN unique_violation THEN
    RETURN QUERY SELECT 'conflict', NULL, 'This product has a group of that name already.';
END $$;

CREATE FUNCTION delete_group(actor text, of_product integer, which text)
    RETURNS TABLE (code text, name text, why text) LANGUAGE plpgsql AS $$
DECLARE members bigint := (SELECT count(*) FROM device_group g WHERE g.product_id = of_product AND g.name = which);
BEGIN
    DELETE FROM product_release r WHERE r.product_id = of_product AND r.name = which;
    DELETE FROM product_group q WHERE q.product_id = of_product AND q.name = which;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not found', NULL, '';
        RETURN;
    END IF;
    INSERT INTO audit (actor, action, target, before)
    VALUES (actor, 'product.group.delete', product_target(of_product),
            jsonb_build_object('name', which, 'device_count', members));
    RETURN QUERY SELECT 'ok', which, '';
END $$;

-- Many devices of a product into groups and out of them; all of them or none. change: {"devices", "add", "remove"}.
CREATE FUNCTION change_device_groups(actor text, of_product integer, change jsonb)
    RETURNS TABLE (code text, why text) LANGUAGE plpgsql AS $$
DECLARE
    devices bytea[] := ARRAY(SELECT DISTINCT decode(jsonb_array_elements_text(change -> 'devices'), 'hex'));
    adds text[] := ARRAY(SELECT DISTINCT jsonb_array_elements_text(change -> 'add'));
    removes text[] := ARRAY(SELECT DISTINCT jsonb_array_elements_text(change -> 'remove'));
    strangers text;
BEGIN
    PERFORM FROM device d WHERE d.id = ANY (devices) ORDER BY d.id FOR NO KEY UPDATE;
    SELECT string_agg(encode(s.id, 'hex'), ', ') INTO strangers
      FROM (SELECT u.id FROM unnest(devices) AS u (id)
             WHERE NOT EXISTS (SELECT FROM device d WHERE d.id = u.id AND d.in_product = of_product) LIMIT 5) s;
    IF strangers IS NOT NULL THEN
        RETURN QUERY SELECT 'invalid', format('These devices are not in the product: %s', strangers);
        RETURN;
    ELSIF NOT need_groups(actor, of_product, adds) THEN
        RETURN QUERY SELECT 'invalid', format('A product has at most %s groups.', product_groups_max());
        RETURN;
    END IF;
    WITH gone AS (
        DELETE FROM device_group g WHERE g.device_id = ANY (devices) AND g.name = ANY (removes) AND g.name <> ALL (adds)
        RETURNING g.device_id, g.name
    ), come AS (
        INSERT INTO device_group AS g (device_id, product_id, name)
        SELECT u.id, of_product, a.name FROM unnest(devices) AS u (id), unnest(adds) AS a (name)
        ON CONFLICT DO NOTHING RETURNING g.device_id, g.name
    )
    INSERT INTO audit (actor, action, target, before, after)
    SELECT change_device_groups.actor, 'device.groups', encode(coalesce(a.device_id, r.device_id), 'hex'),
           jsonb_build_object('removed', coalesce(r.names, '[]')), jsonb_build_object('added', coalesce(a.names, '[]'))
      FROM (SELECT device_id, jsonb_agg(c.name ORDER BY c.name) AS names FROM come c GROUP BY device_id) a
      FULL JOIN (SELECT device_id, jsonb_agg(o.name ORDER BY o.name) AS names FROM gone o GROUP BY device_id) r
        USING (device_id);
    RETURN QUERY SELECT 'ok', '';
END $$;

-- --- devices come and go ---

CREATE INDEX device_serial_number ON device (serial_number) WHERE serial_number IS NOT NULL;
CREATE INDEX device_imei ON device (imei) WHERE imei IS NOT NULL;
CREATE INDEX device_iccid ON device (iccid) WHERE iccid IS NOT NULL;

-- What a file of ids says, each once whatever its case, in order, separated by spaces.
CREATE FUNCTION import_words(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(w.word, ' ' ORDER BY w.at)
      FROM (SELECT (array_agg(s.word ORDER BY s.at))[1] AS word, min(s.at) AS at
              FROM string_to_table(translate(said, E'\r\n\t,;"', '      '), ' ') WITH ORDINALITY AS s (word, at)
             WHERE s.word <> '' GROUP BY lower(s.word)) w
$$;

-- Which devices words may mean; an id wins over all else.
CREATE FUNCTION named_devices(words text[]) RETURNS TABLE (word text, id bytea) LANGUAGE sql STABLE AS $$
    WITH w AS (
        SELECT DISTINCT u.word FROM unnest(words) AS u (word)
    ), by_id AS (
        SELECT w.word, d.id FROM w
          JOIN device d ON d.id = CASE WHEN w.word ~ '^[0-9A-Fa-f]{24}$' THEN decode(w.word, 'hex') END
    )
    SELECT b.word, b.id FROM by_id b
    UNION
    SELECT w.word, x.id
      FROM w CROSS JOIN LATERAL (
           SELECT d.id FROM device d WHERE d.serial_number IN (w.word, upper(w.word), lower(w.word))
            UNION SELECT d.id FROM device d WHERE d.imei = w.word
            UNION SELECT d.id FROM device d WHERE d.iccid IN (w.word, upper(w.word), lower(w.word))) x
     WHERE NOT EXISTS (SELECT FROM by_id b WHERE b.word = w.word)
$$;

-- Imports what words name: device ids, serial numbers, IMEIs, ICCIDs; one row a word, in order. code: 'updated'; 'invalid' when
-- no device, or more than one, is meant, or it is of another platform, in another product or denied by one, or in quarantine
-- without saying that it is of this product; 'nonmember' for a device of somebody who is neither the actor (actor_id NULL: nobody)
-- nor the product's owner, unless its own Hello says that it is of this product: who was put into a team was not asked. ends: its
-- session is to end, because it was in quarantine.
CREATE FUNCTION import_devices(actor_id bigint, actor text, sees_all boolean, of_product integer, words text[])
    RETURNS TABLE (word text, code text, device bytea, ends boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    of_platform integer;
    of_owner bigint;
BEGIN
    SELECT p.platform_id, p.owner_id INTO of_platform, of_owner FROM product p WHERE p.id = of_product FOR KEY SHARE;
    PERFORM FROM device d WHERE d.id IN (SELECT n.id FROM named_devices(words) n) ORDER BY d.id FOR UPDATE;
    RETURN QUERY
    WITH meant AS (
        SELECT n.word, (array_agg(n.id))[1] AS id FROM named_devices(words) n GROUP BY n.word HAVING count(*) = 1
    ), judged AS MATERIALIZED (
        SELECT u.word, u.ord, d.id, d.in_product, d.quarantined AS was_quarantined, d.denied AS was_denied,
               CASE WHEN d.id IS NULL OR of_platform IS NULL OR d.platform_id <> of_platform OR d.in_product <> of_product
                         OR d.denied AND d.denied_by IS DISTINCT FROM of_product
                         OR d.quarantined AND NOT sees_all AND d.product_id IS DISTINCT FROM of_product THEN 'invalid'
                    WHEN d.in_product IS NULL AND d.owner_id IS NOT NULL AND NOT sees_all
                         AND d.product_id IS DISTINCT FROM of_product AND d.owner_id IS DISTINCT FROM actor_id
                         AND d.owner_id IS DISTINCT FROM of_owner THEN 'nonmember'
                    ELSE 'updated' END AS code
          FROM unnest(words) WITH ORDINALITY AS u (word, ord)
          LEFT JOIN meant m ON m.word = u.word
          LEFT JOIN device d ON d.id = m.id
    ), changing AS (
        SELECT DISTINCT j.id, j.in_product, j.was_quarantined, j.was_denied FROM judged j
         WHERE j.code = 'updated' AND (j.in_product IS NULL OR j.was_quarantined OR j.was_denied)
    ), taken AS (
        UPDATE device d SET in_product = of_product, denied = false, denied_by = NULL, quarantined = false
          FROM changing c WHERE d.id = c.id
    ), noted AS (
        INSERT INTO audit (actor, action, target, before, after)
        SELECT import_devices.actor, 'product.import', encode(c.id, 'hex'),
               jsonb_build_object('in_product', c.in_product, 'quarantined', c.was_quarantined, 'denied', c.was_denied),
               jsonb_build_object('in_product', of_product)
          FROM changing c
    )
    SELECT j.word, j.code, j.id, j.code = 'updated' AND j.was_quarantined FROM judged j ORDER BY j.ord;
END $$;

-- One that is in the product; and where it says so in its Hello and is in none, one that waits for approval.
CREATE FUNCTION find_product_device(of_product integer, which text, waits boolean) RETURNS change_result
    LANGUAGE plpgsql STABLE AS $$
DECLARE r change_result := find_device(0, true, of_product || '/' || which);
BEGIN
    IF r.code = 'not found' AND waits AND which ~ '^[0-9A-Fa-f]{24}$' THEN
        SELECT CASE WHEN count(*) = 1 THEN 'ok' ELSE r.code END, (array_agg(d.id))[1] INTO r.code, r.id FROM device d
         WHERE d.id = decode(which, 'hex') AND d.in_product IS NULL
           AND CASE WHEN d.denied THEN d.denied_by ELSE d.product_id END = of_product;
    END IF;
    RETURN r;
END $$;

-- What a team changes of one device. change: any of name, notes, development, desired_firmware_version, groups, quarantined,
-- denied, firmware_updates_forced, of their types; with flash it gets what it should run now, if it is online. detail: why not,
-- or 'end session'. pushed: what became of flash.
CREATE FUNCTION change_product_device(actor text, of_product integer, which text, change jsonb)
    RETURNS TABLE (code text, id bytea, detail text, pushed text) LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_product_device(of_product, which, change ->> 'quarantined' = 'false');
    dev bytea := r.id;
    d device;
    now_is device;
    old_groups jsonb;
    wanted text[] := ARRAY(SELECT jsonb_array_elements_text(change -> 'groups'));
    lock_to integer := (change ->> 'desired_firmware_version')::integer;
    imported record;
    ends boolean := false;
BEGIN
    detail := CASE WHEN r.code <> 'ok' THEN NULL
                   WHEN lock_to IS NOT NULL AND NOT EXISTS (SELECT FROM product_firmware f
                             WHERE f.product_id = of_product AND f.version = lock_to) THEN
                        'desired_firmware_version must be a version of this product''s firmware.'
                   WHEN change ->> 'quarantined' = 'true' AND EXISTS (SELECT FROM product p
                             WHERE p.id = of_product AND NOT product_quarantines(p.settings)) THEN
                        'This product keeps no devices in quarantine: its settings say so.' END;
    code := CASE WHEN detail IS NOT NULL THEN 'invalid' ELSE r.code END;
    IF code <> 'ok' THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT * INTO d FROM device e WHERE e.id = dev FOR UPDATE;
    IF change ->> 'quarantined' = 'false' AND d.in_product IS NULL THEN
        SELECT * INTO imported FROM import_devices(NULL, actor, false, of_product, ARRAY[encode(dev, 'hex')]);
        IF imported.code <> 'updated' THEN
            code := 'invalid';
            detail := 'This device is of another platform than the product.';
            RETURN NEXT;
            RETURN;
        END IF;
        ends := imported.ends;
        SELECT * INTO d FROM device e WHERE e.id = dev;
    END IF;
    IF d.in_product IS DISTINCT FROM of_product THEN -- left it a moment ago
        code := 'not found';
        RETURN NEXT;
        RETURN;
    ELSIF NOT need_groups(actor, of_product, wanted) THEN
        code := 'invalid';
        detail := format('A product has at most %s groups.', product_groups_max());
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT coalesce(jsonb_agg(g.name ORDER BY g.name), '[]') INTO old_groups FROM device_group g WHERE g.device_id = dev;
    IF change ? 'groups' THEN
        DELETE FROM device_group g WHERE g.device_id = dev AND g.name <> ALL (wanted);
        INSERT INTO device_group (device_id, product_id, name) SELECT dev, of_product, unnest(wanted) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE device e SET
        name = CASE WHEN change ? 'name' THEN change ->> 'name' ELSE e.name END,
        notes = CASE WHEN change ? 'notes' THEN change ->> 'notes' ELSE e.notes END,
        development = coalesce((change ->> 'development')::boolean, e.development),
        desired_firmware_version = CASE WHEN change ? 'desired_firmware_version' THEN lock_to
                                        ELSE e.desired_firmware_version END,
        denied = coalesce((change ->> 'denied')::boolean, e.denied),
        denied_by = CASE WHEN coalesce((change ->> 'denied')::boolean, e.denied) THEN of_product END
     WHERE e.id = dev RETURNING * INTO now_is;
    ends := ends OR now_is.denied AND NOT d.denied;
    INSERT INTO audit (actor, action, target, before, after)
    SELECT change_product_device.actor, 'device.update', encode(dev, 'hex'), jsonb_object_agg(k.key, k.old),
           jsonb_object_agg(k.key, k.new)
      FROM (SELECT c.key, CASE c.key WHEN 'groups' THEN old_groups ELSE to_jsonb(d) -> c.key END AS old, c.value AS new
              FROM jsonb_each(change - '{flash,firmware_updates_forced}'::text[]) AS c) k
    HAVING count(*) > 0;
    IF change ? 'firmware_updates_forced' THEN
        PERFORM force_device_updates(0, actor, true, encode(dev, 'hex'), (change ->> 'firmware_updates_forced')::boolean);
    END IF;
    IF change ->> 'quarantined' = 'true' THEN
        PERFORM leave_product(dev);
        UPDATE device e SET product_id = of_product WHERE e.id = dev;
    END IF;
    IF change ->> 'flash' = 'true' THEN
        pushed := product_push_device(dev, actor);
    END IF;
    id := dev;
    detail := CASE WHEN ends THEN 'end session' END;
    RETURN NEXT;
EXCEPTION WHEN unique_violation THEN
    code := 'conflict';
    id := NULL;
    detail := 'another device of its owner has this name';
    RETURN NEXT;
END $$;

-- What a device has from its product goes; who owns it stays.
CREATE FUNCTION leave_product(dev bytea) RETURNS void LANGUAGE sql AS $$
    DELETE FROM device_group WHERE device_id = dev;
    UPDATE device SET in_product = NULL, development = false, desired_firmware_version = NULL WHERE id = dev
$$;

-- deny: it is turned away from now on, also one that waits for approval. detail 'end session' then.
CREATE FUNCTION remove_product_device(actor text, of_product integer, which text, deny boolean) RETURNS change_result
    LANGUAGE plpgsql AS $$
DECLARE
    r change_result := find_product_device(of_product, which, deny);
    dev bytea := r.id;
    d device;
BEGIN
    IF r.code <> 'ok' THEN
        RETURN r;
    END IF;
    SELECT * INTO d FROM device e WHERE e.id = dev FOR UPDATE;
    r := find_product_device(of_product, which, deny); -- now that nobody else changes it
    IF r.code <> 'ok' OR r.id <> dev THEN
        RETURN ROW('not found', NULL, NULL)::change_result;
    END IF;
    PERFORM leave_product(dev);
    UPDATE device e SET denied = deny, denied_by = CASE WHEN deny THEN of_product END WHERE e.id = dev;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, CASE WHEN deny THEN 'product.deny' ELSE 'product.remove' END, encode(dev, 'hex'),
            jsonb_build_object('in_product', d.in_product, 'denied', d.denied),
            jsonb_build_object('in_product', NULL, 'denied', deny));
    RETURN ROW('ok', dev, CASE WHEN deny THEN 'end session' END)::change_result;
END $$;

-- --- devices that say what they are of ---

-- Where a product does not keep them waiting, a device is of the product that its Hello names, if its platform is right.
CREATE FUNCTION device_joins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM product p WHERE p.id = NEW.product_id AND p.platform_id = NEW.platform_id
                  AND NOT product_quarantines(p.settings) FOR KEY SHARE) THEN
        NEW.in_product := NEW.product_id;
        INSERT INTO audit (actor, action, target, after, reason)
        VALUES ('policy', 'product.import', encode(NEW.id, 'hex'), jsonb_build_object('in_product', NEW.product_id),
                'says so itself');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER device_joins BEFORE UPDATE OF product_id ON device FOR EACH ROW
    WHEN (NEW.in_product IS NULL AND NOT NEW.quarantined AND NOT NEW.denied AND NEW.platform_id IS NOT NULL
          AND NEW.product_id IS DISTINCT FROM NEW.platform_id)
    EXECUTE FUNCTION device_joins();

-- A key, given by people who also say of which product the device is: whoever manages that product imports it with that.
-- confined: by a token of that product, for which no other device is there, whatever its person may.
CREATE FUNCTION provision_product_device(actor_id bigint, actor text, role text, dev bytea, key_kind text, key_data bytea,
                                         of_product integer, new_name text, confined boolean)
    RETURNS change_result LANGUAGE plpgsql AS $$
DECLARE
    r change_result;
    sees_all boolean := role IN ('operator', 'admin', 'command');
    imported record;
BEGIN
    IF confined AND EXISTS (SELECT FROM device d WHERE d.id = dev AND d.in_product IS DISTINCT FROM of_product FOR UPDATE) THEN
        RETURN ROW('forbidden', NULL, NULL)::change_result;
    END IF;
    r := provision_device(actor_id, actor, role, dev, key_kind, key_data, of_product, new_name);
    IF r.code = 'ok' AND product_access(actor_id, sees_all, of_product) = 'manage' THEN
        SELECT * INTO imported FROM import_devices(CASE WHEN NOT confined THEN actor_id END, actor, sees_all AND NOT confined,
                                                   of_product, ARRAY[encode(dev, 'hex')]);
        IF imported.ends THEN
            r.detail := 'end session';
        END IF;
    END IF;
    RETURN r;
END $$;
