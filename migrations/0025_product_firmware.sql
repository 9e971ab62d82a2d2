-- What people do with the firmware of a product; each change is one transaction with its audit row.
-- code: ok, not_found, invalid, conflict; why: the sentence then; firmware: as REST shows it.

CREATE TYPE firmware_result AS (code text, firmware text, why text);

CREATE FUNCTION product_firmware_json(f product_firmware, device_count bigint) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object(
               '_id', lpad(to_hex(f.product_id), 8, '0') || lpad(to_hex(f.version), 16, '0'),
               'version', f.version, 'title', f.title, 'description', f.description, 'name', f.file_name, 'size', b.size_bytes,
               'product_default', EXISTS (SELECT FROM product_release r
                                           WHERE r.product_id = f.product_id AND r.version = f.version AND r.name = ''),
               'groups', (SELECT coalesce(json_agg(r.name ORDER BY r.name), '[]') FROM product_release r
                           WHERE r.product_id = f.product_id AND r.version = f.version AND r.name <> ''),
               'mandatory', f.mandatory, 'uploaded_on', iso_time(f.uploaded_at), 'product_id', f.product_id,
               'uploaded_by', json_build_object('username', f.uploaded_by), 'device_count', device_count,
               'released_on', iso_time(f.released_at), 'withdrawn', b.status = 'withdrawn')
      FROM module_binary b WHERE b.id = f.module_id
$$;
CREATE FUNCTION product_firmware_one(product integer, which integer) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT product_firmware_json(f, (SELECT count(*) FROM device d
                                      WHERE d.in_product = product AND d.product_version = f.version))
      FROM product_firmware f WHERE f.product_id = product AND f.version = which
$$;
-- Newest version first.
CREATE FUNCTION product_firmware_list(product integer) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(product_firmware_json(f, coalesce(n.devices, 0)) ORDER BY f.version DESC), '[]')
      FROM product_firmware f
      LEFT JOIN (SELECT product_version, count(*) AS devices FROM device WHERE in_product = product GROUP BY product_version) n
             ON n.product_version = f.version
     WHERE f.product_id = product
$$;

CREATE FUNCTION product_firmware_image(f product_firmware) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN jsonb_build_object('version', f.version, 'title', f.title, 'description', f.description, 'mandatory', f.mandatory);
CREATE FUNCTION product_firmware_target(f product_firmware) RETURNS text LANGUAGE sql STABLE
    RETURN format('product %s firmware %s', f.product_id, f.version);

-- A file that was looked at becomes a version. The first fifteen: as firmware_store.
CREATE FUNCTION product_firmware_store(actor text, content bytea, digest bytea, platform integer, f smallint, n smallint,
                                       processor smallint, v integer, suffix bytea, module_flags integer, stated_product integer,
                                       stated_version integer, needs jsonb, more jsonb, named text,
                                       actor_id bigint, product integer, of_version integer, called text, said text,
                                       is_mandatory boolean)
    RETURNS firmware_result LANGUAGE plpgsql AS $$
DECLARE
    p product;
    made product_firmware;
    module bigint;
BEGIN
    SELECT * INTO p FROM product x WHERE x.id = product FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, 'Product not found')::firmware_result;
    ELSIF platform <> p.platform_id THEN
        RETURN ROW('invalid', NULL, format('The binary is for platform %s, the product is of platform %s.', platform,
                                           p.platform_id))::firmware_result;
    ELSIF stated_product IS NOT NULL AND stated_product NOT IN (product, p.platform_id) THEN
        RETURN ROW('invalid', NULL, format('The binary says that it is for product %s, not %s.', stated_product,
                                           product))::firmware_result;
    END IF;
    SELECT * INTO made FROM product_firmware WHERE product_id = product AND version = of_version;
    IF FOUND THEN -- the same once more, because its answer was lost, is the one that is there
        IF EXISTS (SELECT FROM module_binary b WHERE b.id = made.module_id AND b.sha256 = digest) AND made.uploaded_by = actor
           AND made.title = called AND made.uploaded_at > now() - interval '10 s' THEN
            RETURN ROW('ok', product_firmware_one(product, of_version)::text, NULL)::firmware_result;
        END IF;
        RETURN ROW('conflict', NULL, format('Version %s of this product exists already.', of_version))::firmware_result;
    END IF;
    SELECT s.id INTO module FROM firmware_store(actor, content, digest, platform, f, n, processor, v, suffix, module_flags,
                                                stated_product, stated_version, needs, more, named) s;
    IF EXISTS (SELECT FROM module_binary b WHERE b.id = module AND b.status = 'withdrawn') THEN
        RETURN ROW('invalid', NULL, (SELECT format('This binary was withdrawn: %s', b.withdrawn_reason) FROM module_binary b
                                      WHERE b.id = module))::firmware_result;
    END IF;
    INSERT INTO product_firmware (product_id, version, module_id, title, description, mandatory, file_name, uploaded_by)
    VALUES (product, of_version, module, called, said, is_mandatory, coalesce(named, 'firmware.bin'), actor)
    RETURNING * INTO made;
    INSERT INTO audit (actor, action, target, after)
    VALUES (actor, 'product_firmware.create', product_firmware_target(made),
            product_firmware_image(made) || jsonb_build_object('module', module));
    PERFORM tell_of_product(product, actor_id, 'particle/firmware/create', format('{"version":"%s"}', of_version));
    RETURN ROW('ok', product_firmware_one(product, of_version)::text, NULL)::firmware_result;
END $$;

-- NULL leaves a part as it is.
CREATE FUNCTION product_firmware_edit(actor text, product integer, which integer, called text, said text, is_mandatory boolean)
    RETURNS firmware_result LANGUAGE plpgsql AS $$
DECLARE
    was product_firmware;
    f product_firmware;
BEGIN
    SELECT * INTO was FROM product_firmware WHERE product_id = product AND version = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, NULL)::firmware_result;
    END IF;
    UPDATE product_firmware SET title = coalesce(called, title), description = coalesce(said, description),
                                mandatory = coalesce(is_mandatory, mandatory)
     WHERE product_id = product AND version = which RETURNING * INTO f;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'product_firmware.update', product_firmware_target(f), product_firmware_image(was), product_firmware_image(f));
    RETURN ROW('ok', product_firmware_one(product, which)::text, NULL)::firmware_result;
END $$;

-- Only what no device was ever to run. The binary stays in the registry.
CREATE FUNCTION product_firmware_delete(actor text, product integer, which integer) RETURNS firmware_result LANGUAGE plpgsql AS $$
DECLARE
    was product_firmware;
BEGIN
    SELECT * INTO was FROM product_firmware WHERE product_id = product AND version = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, NULL)::firmware_result;
    ELSIF was.released_at IS NOT NULL THEN
        RETURN ROW('invalid', NULL, format('Version %s was released and cannot be deleted.', which))::firmware_result;
    ELSIF EXISTS (SELECT FROM device WHERE in_product = product AND desired_firmware_version = which) THEN
        RETURN ROW('invalid', NULL, format('Devices are locked to version %s: it cannot be deleted.', which))::firmware_result;
    END IF;
    DELETE FROM product_firmware WHERE product_id = product AND version = which;
    INSERT INTO audit (actor, action, target, before)
    VALUES (actor, 'product_firmware.delete', product_firmware_target(was), product_firmware_image(was));
    RETURN ROW('ok', NULL, NULL)::firmware_result;
END $$;

-- names: groups, and '' for the default of the product. Devices get it at their next handshake; at_once: those online are
-- walked over as well (sweep_products). needs_proof: a device of the product has to run it already.
CREATE FUNCTION product_firmware_release(actor_id bigint, actor text, product integer, which integer, names text[],
                                         at_once boolean, needs_proof boolean) RETURNS firmware_result LANGUAGE plpgsql AS $$
DECLARE
    f product_firmware;
    b module_binary;
    strange text;
    was jsonb;
BEGIN
    PERFORM FROM product x WHERE x.id = product FOR NO KEY UPDATE; -- releases of a product come one after the other
    SELECT * INTO f FROM product_firmware WHERE product_id = product AND version = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not_found', NULL, NULL)::firmware_result;
    END IF;
    SELECT * INTO b FROM module_binary WHERE id = f.module_id FOR SHARE;
    SELECT x INTO strange FROM unnest(names) x
     WHERE x <> '' AND NOT EXISTS (SELECT FROM product_group g WHERE g.product_id = product AND g.name = x) LIMIT 1;
    IF FOUND THEN
        RETURN ROW('invalid', NULL, format('The product has no group %s.', strange))::firmware_result;
    ELSIF b.status = 'withdrawn' THEN
        RETURN ROW('invalid', NULL, format('This binary was withdrawn: %s', b.withdrawn_reason))::firmware_result;
    ELSIF needs_proof AND NOT EXISTS (SELECT FROM device d WHERE d.in_product = product AND d.product_version = which) THEN
        RETURN ROW('invalid', NULL, format('No device of the product has run version %s yet: it can be released once one has.',
                                           which))::firmware_result;
    END IF;
    was := (SELECT jsonb_object_agg(r.name, r.version) FROM product_release r
             WHERE r.product_id = product AND r.name = ANY (names));
    INSERT INTO product_release (product_id, name, version, released_by)
    SELECT product, x, which, actor FROM (SELECT DISTINCT unnest(names) AS x) n ORDER BY x
    ON CONFLICT (product_id, name) DO UPDATE SET version = excluded.version, released_by = excluded.released_by,
                                                       released_at = now();
    UPDATE product_firmware SET released_at = coalesce(released_at, now()) WHERE product_id = product AND version = which;
    IF at_once THEN
        INSERT INTO product_push (product_id, version, asked_by) VALUES (product, which, actor)
        ON CONFLICT (product_id, version) DO UPDATE SET past = '', asked_by = excluded.asked_by, asked_at = now();
    END IF;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, 'product_firmware.release', product_firmware_target(f), was,
            jsonb_build_object('names', to_jsonb(names), 'at_once', at_once));
    PERFORM tell_of_product(product, actor_id, 'particle/firmware/release',
                            format('{"immediate":%s,"version":%s}', at_once::text, which));
    RETURN ROW('ok', (product_firmware_one(product, which)::jsonb
                      || jsonb_build_object('updated_at', iso_time(now()), 'intelligent', at_once))::text, NULL)::firmware_result;
END $$;

-- code: as above; total and versions as firmware_impact has them.
CREATE FUNCTION product_release_impact(product integer, which integer, names text[]) RETURNS firmware_result
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    strange text;
BEGIN
    IF NOT EXISTS (SELECT FROM product_firmware WHERE product_id = product AND version = which) THEN
        RETURN ROW('not_found', NULL, NULL)::firmware_result;
    END IF;
    SELECT x INTO strange FROM unnest(names) x
     WHERE x <> '' AND NOT EXISTS (SELECT FROM product_group g WHERE g.product_id = product AND g.name = x) LIMIT 1;
    IF FOUND THEN
        RETURN ROW('invalid', NULL, format('The product has no group %s.', strange))::firmware_result;
    END IF;
    RETURN ROW('ok', firmware_impact(product, which, names)::text, NULL)::firmware_result;
END $$;
ALTER FUNCTION product_release_impact SET jit = off;
ALTER FUNCTION product_firmware_list SET jit = off;
