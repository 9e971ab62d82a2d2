-- Module binaries, and releases of them. A binary never changes; withdrawn, it is sent to nobody any more.

-- The file as it was uploaded, stored once however many rows name it.
CREATE TABLE module_content (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32), -- of the whole file: what an update starts with
    data bytea NOT NULL
);
ALTER TABLE module_content ALTER COLUMN data SET STORAGE EXTERNAL; -- does not compress, and is read whole

CREATE TABLE module_binary (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform_id integer NOT NULL,
    func smallint NOT NULL CHECK (func BETWEEN 0 AND 255), -- device-protocol 5.5: 2 bootloader, 4 system, 5 user, 7 NCP, 8 radio
    idx smallint NOT NULL CHECK (idx BETWEEN 0 AND 255),
    mcu smallint NOT NULL DEFAULT 0,
    version integer NOT NULL CHECK (version BETWEEN 0 AND 65535),
    sha256 bytea NOT NULL REFERENCES module_content,
    suffix_sha256 bytea, -- what a describe states as hash; NULL: the file has none
    size_bytes integer NOT NULL CHECK (size_bytes > 0),
    flags integer NOT NULL DEFAULT 0,
    product_id integer,
    product_version integer,
    -- [{"func": 2, "index": 0, "version": 3100}, ...]
    dependencies jsonb NOT NULL DEFAULT '[]',
    -- what else is in a combined file, in order: [{"func": .., "index": .., "version": ..}]
    combined jsonb NOT NULL DEFAULT '[]',
    file_name text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'withdrawn')),
    withdrawn_reason text,
    uploaded_by text NOT NULL,
    uploaded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (platform_id, func, idx, mcu, version, sha256)
);
CREATE INDEX module_binary_sha256 ON module_binary (sha256);
CREATE INDEX module_binary_withdrawn ON module_binary (id) WHERE status = 'withdrawn';

CREATE TABLE release (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'published', 'withdrawn')),
    notes text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    withdrawn_reason text
);

-- target: must end up on the device; stepping_stone: may be used on the way.
CREATE TABLE release_module (
    release_id bigint NOT NULL REFERENCES release ON DELETE CASCADE,
    module_id bigint NOT NULL REFERENCES module_binary,
    role text NOT NULL CHECK (role IN ('target', 'stepping_stone')),
    PRIMARY KEY (release_id, module_id)
);
CREATE INDEX release_module_module ON release_module (module_id);

-- --- what people do: each call is one transaction with its audit row; code: ok, not_found, invalid or conflict ---

-- What a person may ask for by number or by name; a number wins.
CREATE FUNCTION release_find(which text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT id FROM release WHERE name = which OR id = CASE WHEN which ~ '^[0-9]{1,18}$' THEN which::bigint END
     ORDER BY name = which LIMIT 1
$$;

-- Stores a file that module_file_parse has taken; the same once more is the row that is there.
CREATE FUNCTION firmware_store(actor text, content bytea, digest bytea, platform integer, f smallint, n smallint,
                               processor smallint, v integer, suffix bytea, module_flags integer, product integer,
                               product_v integer, needs jsonb, more jsonb, named text)
    RETURNS TABLE (id bigint, is_new boolean) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO module_content (sha256, data) VALUES (digest, content) ON CONFLICT DO NOTHING;
    INSERT INTO module_binary AS m (platform_id, func, idx, mcu, version, sha256, suffix_sha256, size_bytes, flags, product_id,
                                    product_version, dependencies, combined, file_name, uploaded_by)
    VALUES (platform, f, n, processor, v, digest, suffix, length(content), module_flags, product, product_v, needs, more, named,
            actor)
    ON CONFLICT DO NOTHING RETURNING m.id INTO id;
    is_new := id IS NOT NULL;
    IF is_new THEN
        INSERT INTO audit (actor, action, target, after)
        VALUES (actor, 'firmware.upload', 'firmware ' || id,
                jsonb_strip_nulls(jsonb_build_object('platform_id', platform, 'func', f, 'index', n, 'version', v,
                                                     'sha256', encode(digest, 'hex'), 'file_name', named)));
    ELSE
        SELECT m.id INTO STRICT id FROM module_binary m
         WHERE m.platform_id = platform AND m.func = f AND m.idx = n AND m.mcu = processor AND m.version = v
           AND m.sha256 = digest;
    END IF;
    RETURN NEXT;
END $$;

-- The row lock orders this against a release that is being published with it.
CREATE FUNCTION firmware_withdraw(who text, which bigint, why text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    was text;
BEGIN
    SELECT status INTO was FROM module_binary WHERE id = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'not_found';
    END IF;
    IF was = 'active' THEN
        UPDATE module_binary SET status = 'withdrawn', withdrawn_reason = why WHERE id = which;
        INSERT INTO audit (actor, action, target, before, after, reason)
        VALUES (who, 'firmware.withdraw', 'firmware ' || which, '{"status": "active"}', '{"status": "withdrawn"}', why);
    END IF;
    RETURN 'ok';
END $$;

CREATE FUNCTION release_image(which bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('name', r.name, 'state', r.state, 'notes', r.notes,
               'targets', (SELECT jsonb_agg(module_id ORDER BY module_id) FROM release_module
                            WHERE release_id = which AND role = 'target'),
               'stepping_stones', (SELECT jsonb_agg(module_id ORDER BY module_id) FROM release_module
                                    WHERE release_id = which AND role = 'stepping_stone')))
      FROM release r WHERE r.id = which
$$;

-- Replaces the modules of a draft. NULL: done; else the sentence.
CREATE FUNCTION release_fill(which bigint, targets bigint[], stones bigint[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    strange bigint;
BEGIN
    SELECT x INTO strange FROM unnest(targets || stones) x WHERE NOT EXISTS (SELECT FROM module_binary WHERE id = x) LIMIT 1;
    IF FOUND THEN
        RETURN format('There is no firmware %s.', strange);
    END IF;
    SELECT x INTO strange FROM unnest(targets || stones) x GROUP BY x HAVING count(*) > 1 LIMIT 1;
    IF FOUND THEN
        RETURN format('Firmware %s is named twice.', strange);
    END IF;
    DELETE FROM release_module WHERE release_id = which;
    INSERT INTO release_module (release_id, module_id, role)
    SELECT which, x, 'target' FROM unnest(targets) x UNION ALL SELECT which, x, 'stepping_stone' FROM unnest(stones) x;
    RETURN NULL;
END $$;

CREATE FUNCTION release_create(who text, called text, said text, targets bigint[], stones bigint[])
    RETURNS TABLE (code text, id bigint, why text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO release AS r (name, notes, created_by) VALUES (called, said, who)
    ON CONFLICT (name) DO NOTHING RETURNING r.id INTO id;
    IF id IS NULL THEN
        RETURN QUERY SELECT 'conflict', NULL::bigint, format('There is a release %s already.', called);
        RETURN;
    END IF;
    why := release_fill(id, targets, stones);
    IF why IS NOT NULL THEN
        DELETE FROM release r WHERE r.id = release_create.id;
        RETURN QUERY SELECT 'invalid', NULL::bigint, why;
        RETURN;
    END IF;
    INSERT INTO audit (actor, action, target, after) VALUES (who, 'release.create', 'release ' || id, release_image(id));
    RETURN QUERY SELECT 'ok', id, NULL;
END $$;

-- NULL leaves a part as it is.
CREATE FUNCTION release_edit(who text, which text, called text, said text, targets bigint[], stones bigint[])
    RETURNS TABLE (code text, id bigint, why text) LANGUAGE plpgsql AS $$
DECLARE
    r release;
    was jsonb;
BEGIN
    SELECT * INTO r FROM release x WHERE x.id = release_find(which) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not_found', NULL::bigint, NULL;
        RETURN;
    END IF;
    IF r.state <> 'draft' THEN
        RETURN QUERY SELECT 'conflict', r.id, format('Release %s is %s: only a draft can be changed.', r.name, r.state);
        RETURN;
    END IF;
    IF called <> r.name AND EXISTS (SELECT FROM release x WHERE x.name = called) THEN
        RETURN QUERY SELECT 'conflict', r.id, format('There is a release %s already.', called);
        RETURN;
    END IF;
    was := release_image(r.id);
    IF targets IS NOT NULL THEN
        why := release_fill(r.id, targets, stones);
        IF why IS NOT NULL THEN
            RETURN QUERY SELECT 'invalid', r.id, why;
            RETURN;
        END IF;
    END IF;
    UPDATE release x SET name = coalesce(called, name), notes = CASE WHEN said = '' THEN NULL ELSE coalesce(said, notes) END
     WHERE x.id = r.id;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (who, 'release.edit', 'release ' || r.id, was, release_image(r.id));
    RETURN QUERY SELECT 'ok', r.id, NULL;
END $$;

-- Why a draft cannot be published; NULL: it can. Of the modules in a combined file each counts.
CREATE FUNCTION release_flaw(which bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT 'The release has no target.'
          WHERE NOT EXISTS (SELECT FROM release_module WHERE release_id = which AND role = 'target')),
        (SELECT format('Firmware %s is withdrawn: %s', m.id, m.withdrawn_reason)
           FROM release_module rm JOIN module_binary m ON m.id = rm.module_id
          WHERE rm.release_id = which AND m.status = 'withdrawn' ORDER BY m.id LIMIT 1),
        (SELECT format('Firmware %s and %s would both be the target for platform %s, function %s, index %s.', min(g.id), max(g.id),
                       g.platform_id, g.func, g.idx)
           FROM (SELECT m.id, m.platform_id, m.func::integer, m.idx::integer, m.mcu::integer
                   FROM release_module rm JOIN module_binary m ON m.id = rm.module_id
                  WHERE rm.release_id = which AND rm.role = 'target'
                 UNION ALL
                 SELECT m.id, m.platform_id, (c ->> 'func')::integer, (c ->> 'index')::integer, coalesce((c ->> 'mcu')::integer, 0)
                   FROM release_module rm JOIN module_binary m ON m.id = rm.module_id, jsonb_array_elements(m.combined) c
                  WHERE rm.release_id = which AND rm.role = 'target') g
          GROUP BY g.platform_id, g.func, g.idx, g.mcu HAVING count(*) > 1 ORDER BY 1 LIMIT 1))
$$;

-- becomes: published, withdrawn. What it is already is done already.
CREATE FUNCTION release_move(who text, which text, becomes text, reason text)
    RETURNS TABLE (code text, id bigint, why text) LANGUAGE plpgsql AS $$
DECLARE
    r release;
BEGIN
    SELECT * INTO r FROM release x WHERE x.id = release_find(which) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'not_found', NULL::bigint, NULL;
        RETURN;
    END IF;
    IF r.state = becomes THEN
        RETURN QUERY SELECT 'ok', r.id, NULL;
        RETURN;
    END IF;
    IF becomes = 'published' THEN
        IF r.state = 'withdrawn' THEN
            RETURN QUERY SELECT 'conflict', r.id, format('Release %s is withdrawn: %s', r.name, r.withdrawn_reason);
            RETURN;
        END IF;
        PERFORM FROM module_binary m JOIN release_module rm ON rm.module_id = m.id WHERE rm.release_id = r.id
          ORDER BY m.id FOR SHARE OF m;
        why := release_flaw(r.id);
        IF why IS NOT NULL THEN
            RETURN QUERY SELECT 'conflict', r.id, why;
            RETURN;
        END IF;
    END IF;
    UPDATE release x SET state = becomes, withdrawn_reason = CASE WHEN becomes = 'withdrawn' THEN release_move.reason END,
        published_at = CASE WHEN becomes = 'published' THEN now() ELSE published_at END WHERE x.id = r.id;
    INSERT INTO audit (actor, action, target, before, after, reason)
    VALUES (who, CASE becomes WHEN 'published' THEN 'release.publish' ELSE 'release.withdraw' END, 'release ' || r.id,
            jsonb_build_object('state', r.state), release_image(r.id), release_move.reason);
    RETURN QUERY SELECT 'ok', r.id, NULL;
END $$;
