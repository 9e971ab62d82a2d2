-- Planning: rules that are checked by their kind, inventory classes, and which devices a selector means.

-- --- rules ---

ALTER TABLE transition_rule DROP CONSTRAINT transition_rule_kind_check;
ALTER TABLE transition_rule ADD CONSTRAINT transition_rule_kind_check
    CHECK (kind IN ('requires', 'forbids', 'unreachable', 'must_pass_through', 'prefers', 'collateral', 'deep_update_needed'));

-- What is wrong with a condition of a rule, or NULL: {"module": "s", "index": 1, "from": 3001, "below": 5600, "is": [3001]}.
CREATE FUNCTION rule_number_flaw(what text, value jsonb, lowest integer) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN value IS NULL THEN NULL
                WHEN jsonb_typeof(value) = 'number' AND value::text ~ '^[0-9]{1,5}$'
                     AND value::text::integer BETWEEN lowest AND 65535 THEN NULL
                ELSE format('%s must be a number from %s to 65535', what, lowest) END;

CREATE FUNCTION rule_keys_flaw(what text, value jsonb, known text[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN jsonb_typeof(value) IS DISTINCT FROM 'object' THEN what || ' must be an object'
                ELSE (SELECT format('%s has a key %s that means nothing there', what, k)
                        FROM jsonb_object_keys(value) k WHERE k <> ALL (known) LIMIT 1) END;

CREATE FUNCTION rule_module_flaw(what text, c jsonb) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN jsonb_typeof(c -> 'module') IS DISTINCT FROM 'string'
                     OR coalesce(module_function_number(c ->> 'module'), 0) = 0
                THEN what || ' must name a module: r, b, m, s, u, c or a'
                WHEN coalesce(rule_number_flaw('index', c -> 'index', 0), '') <> '' OR (c ->> 'index')::integer > 255
                THEN what || ' has an index that is no number from 0 to 255' END;

CREATE FUNCTION rule_condition_flaw(what text, c jsonb, needs_bound boolean) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    flaw text;
BEGIN
    flaw := coalesce(rule_keys_flaw(what, c, '{module,index,from,below,is}'), rule_module_flaw(what, c),
                     rule_number_flaw('from', c -> 'from', 0), rule_number_flaw('below', c -> 'below', 1));
    IF flaw IS NOT NULL THEN
        RETURN flaw;
    ELSIF (c ->> 'from')::integer >= (c ->> 'below')::integer THEN
        RETURN what || ': from must be less than below';
    ELSIF c ? 'is' AND (jsonb_typeof(c -> 'is') <> 'array' OR jsonb_array_length(c -> 'is') NOT BETWEEN 1 AND 8) THEN
        RETURN what || ': is must be a list of 1 to 8 versions';
    ELSIF c ? 'is' AND EXISTS (SELECT FROM jsonb_array_elements(c -> 'is') v WHERE rule_number_flaw('is', v, 0) IS NOT NULL) THEN
        RETURN what || ': is must be versions from 0 to 65535';
    ELSIF needs_bound AND NOT c ?| '{from,below,is}' THEN
        RETURN what || ' must have at least one of from, below and is';
    END IF;
    RETURN NULL;
END $$;

-- One condition, or a list of 1 to 4.
CREATE FUNCTION rule_conditions_flaw(what text, c jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF jsonb_typeof(c) = 'object' THEN
        RETURN rule_condition_flaw(what, c, true);
    ELSIF jsonb_typeof(c) IS DISTINCT FROM 'array' OR jsonb_array_length(c) NOT BETWEEN 1 AND 4 THEN
        RETURN what || ' must be a condition or a list of 1 to 4 conditions';
    END IF;
    RETURN (SELECT min(rule_condition_flaw(what, one, true)) FROM jsonb_array_elements(c) one);
END $$;

CREATE FUNCTION rule_moves_flaw(moves jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF jsonb_typeof(moves) IS DISTINCT FROM 'array' OR jsonb_array_length(moves) NOT BETWEEN 1 AND 4 THEN
        RETURN 'moves must be a list of 1 to 4 modules';
    END IF;
    RETURN (SELECT min(coalesce(rule_keys_flaw('moves', one, '{module,index}'), rule_module_flaw('moves', one)))
              FROM jsonb_array_elements(moves) one);
END $$;

CREATE FUNCTION rule_body_flaw(kind text, body jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind
        WHEN 'requires' THEN coalesce(
            CASE WHEN body ? 'way'
                 THEN coalesce(rule_keys_flaw('the body', body, '{way,requires}'),
                               CASE WHEN body -> 'way' <> '"combined_bootloader_softdevice"'
                                    THEN 'way must be combined_bootloader_softdevice' END)
                 ELSE coalesce(rule_keys_flaw('the body', body, '{step,requires}'),
                               rule_condition_flaw('step', body -> 'step', false)) END,
            rule_conditions_flaw('requires', body -> 'requires'))
        WHEN 'forbids' THEN coalesce(rule_keys_flaw('the body', body, '{has,step}'),
            rule_condition_flaw('step', body -> 'step', false), rule_conditions_flaw('has', body -> 'has'))
        WHEN 'must_pass_through' THEN coalesce(rule_keys_flaw('the body', body, '{module,index,through}'),
            rule_module_flaw('the body', body), rule_keys_flaw('through', body -> 'through', '{from,below}'),
            CASE WHEN NOT (body -> 'through') ?& '{from,below}' THEN 'through must have from and below' END,
            rule_condition_flaw('through', (body - 'through') || (body -> 'through'), true))
        WHEN 'unreachable' THEN coalesce(rule_keys_flaw('the body', body, '{all}'),
            CASE WHEN jsonb_typeof(body -> 'all') IS DISTINCT FROM 'array' THEN 'all must be a list of conditions' END,
            rule_conditions_flaw('all', body -> 'all'))
        WHEN 'prefers' THEN coalesce(rule_keys_flaw('the body', body, '{has,step,cost}'),
            rule_condition_flaw('step', body -> 'step', false), rule_conditions_flaw('has', body -> 'has'),
            CASE WHEN jsonb_typeof(body -> 'cost') IS DISTINCT FROM 'number' OR body ->> 'cost' !~ '^[0-9]{1,10}$'
                      OR (body ->> 'cost')::bigint NOT BETWEEN 1 AND 1000000000
                 THEN 'cost must be a number of bytes from 1 to 1000000000' END)
        WHEN 'collateral' THEN coalesce(rule_keys_flaw('the body', body, '{step,moves}'),
            rule_condition_flaw('step', body -> 'step', false), rule_moves_flaw(body -> 'moves'))
    END
$$;

CREATE OR REPLACE FUNCTION on_rule_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    flaw text;
BEGIN
    IF NEW.kind = 'deep_update_needed' AND NOT (
        (NEW.body ->> 'fact' = 'cc3000_patch_version' AND is_dotted(NEW.body ->> 'below'))
        OR (NOT NEW.body ? 'fact' AND module_function_number(NEW.body ->> 'module') IS NOT NULL
            AND coalesce(NEW.body ->> 'index', '0') ~ '^[0-9]{1,3}$'
            AND coalesce(NEW.body ->> 'below', '') ~ '^[0-9]{1,5}$')) IS TRUE
    THEN
        RAISE EXCEPTION 'rule %: the body must be {"fact": "cc3000_patch_version", "below": "1.28"} or {"module": "c", "index": 0, "below": 5}', NEW.code
            USING ERRCODE = 'check_violation';
    END IF;
    flaw := CASE WHEN NEW.code !~ '^[a-z0-9.-]{1,64}$' THEN 'the code must be 1 to 64 small letters, digits, dots and dashes'
                 WHEN octet_length(NEW.explain) NOT BETWEEN 1 AND 500 THEN 'explain must have 1 to 500 bytes'
                 WHEN octet_length(NEW.evidence) NOT BETWEEN 1 AND 500 THEN 'evidence must have 1 to 500 bytes'
                 ELSE rule_body_flaw(NEW.kind, NEW.body) END;
    IF flaw IS NOT NULL THEN
        RAISE EXCEPTION 'rule %: %', NEW.code, flaw USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

-- The first rules, where nobody has changed them, in the words that are now checked. System modules 100, 102, 105 and 108 are
-- 0.6.0-rc.1, 0.6.0, 0.6.1 and 0.6.2.
UPDATE transition_rule SET body = '{"step": {"module": "s", "index": 1, "from": 5600}, "requires": {"module": "s", "index": 1, "from": 3001}}'
 WHERE code = 'tracker-ncp-7-first' AND body ? 'module';
UPDATE transition_rule SET body = '{"has": {"module": "s", "index": 1, "is": [100]}, "step": {"module": "s", "index": 1, "is": [102, 105, 108]}}'
 WHERE code = 'photon-0.6.0-rc.1' AND body ? 'release';
INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence) VALUES
('argon-bootloader-before-ncp', 12, 'prefers',
 '{"has": {"module": "b", "index": 0, "below": 3000}, "step": {"module": "c", "index": 0}, "cost": 10000000}',
 'With an old bootloader a write of the network co-processor may not stick; the bootloader goes first where it can.',
 'Field report, not proved: NCP writes under bootloader 1200 were gone after the next start; under 3000 they stayed.');
INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence) VALUES
('argon-ncp-moves-bootloader', 12, 'collateral',
 '{"step": {"module": "c", "index": 0}, "moves": [{"module": "b", "index": 0}]}',
 'While the network co-processor of an Argon is written, its bootloader may fall back to an older one.',
 'Seen in the field: the bootloader fell from 3000 to 1200 while the NCP was repaired.');

-- Grows with whatever a plan depends on but the device: nodes compare it with what they keep.
CREATE TABLE planning_revision (rev bigint NOT NULL);
INSERT INTO planning_revision VALUES (1);
CREATE FUNCTION on_planning_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE planning_revision SET rev = rev + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER planning_rules AFTER INSERT OR UPDATE OR DELETE ON transition_rule
    FOR EACH STATEMENT EXECUTE FUNCTION on_planning_changed();
CREATE TRIGGER planning_releases AFTER UPDATE OR DELETE ON release
    FOR EACH STATEMENT EXECUTE FUNCTION on_planning_changed();
CREATE TRIGGER planning_release_modules AFTER INSERT OR UPDATE OR DELETE ON release_module
    FOR EACH STATEMENT EXECUTE FUNCTION on_planning_changed();
CREATE TRIGGER planning_binaries AFTER UPDATE OR DELETE ON module_binary
    FOR EACH STATEMENT EXECUTE FUNCTION on_planning_changed();

-- Results: 'ok', 'exists', 'not found', 'stale', with the rule as it is now. NULL: as it is.
CREATE TYPE rule_result AS (code text, rule jsonb);

CREATE FUNCTION create_rule(actor text, which text, platform integer, new_kind text, new_body jsonb, new_explain text,
                            new_evidence text, new_enabled boolean)
    RETURNS rule_result LANGUAGE plpgsql AS $$
DECLARE
    r transition_rule;
BEGIN
    INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence, enabled)
    VALUES (which, platform, new_kind, new_body, new_explain, new_evidence, coalesce(new_enabled, true))
    ON CONFLICT (code) DO NOTHING RETURNING * INTO r;
    IF r.id IS NULL THEN
        RETURN ROW('exists', NULL)::rule_result;
    END IF;
    INSERT INTO audit (actor, action, target, after) VALUES (actor, 'rule.create', which, to_jsonb(r) - 'id');
    RETURN ROW('ok', to_jsonb(r))::rule_result;
END $$;

CREATE FUNCTION change_rule(actor text, which text, was_rev integer, platform integer, new_kind text, new_body jsonb,
                            new_explain text, new_evidence text, new_enabled boolean, why text)
    RETURNS rule_result LANGUAGE plpgsql AS $$
DECLARE
    was transition_rule;
    r transition_rule;
BEGIN
    PERFORM deep_update_lock_rules(); -- before the row, as the statement itself takes them
    SELECT * INTO was FROM transition_rule t WHERE t.code = which FOR UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL)::rule_result;
    ELSIF was.rev <> was_rev THEN
        RETURN ROW('stale', to_jsonb(was))::rule_result;
    END IF;
    UPDATE transition_rule t SET platform_id = coalesce(platform, t.platform_id), kind = coalesce(new_kind, t.kind),
        body = coalesce(new_body, t.body), explain = coalesce(new_explain, t.explain),
        evidence = coalesce(new_evidence, t.evidence), enabled = coalesce(new_enabled, t.enabled), rev = t.rev + 1
     WHERE t.id = was.id RETURNING * INTO r;
    INSERT INTO audit (actor, action, target, before, after, reason)
    VALUES (actor, 'rule.change', which, to_jsonb(was) - 'id', to_jsonb(r) - 'id', why);
    RETURN ROW('ok', to_jsonb(r))::rule_result;
END $$;

-- --- inventory classes: devices of one platform with the same versions ---

-- The patch of a Core's CC3000 is no module it describes, but is planned as one: resource 0, whose version is major * 100 +
-- minor. NULL when it cannot be said so.
CREATE FUNCTION patch_number(version text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN version ~ '^[0-9]{1,3}(\.[0-9]{1,2}(\.[0-9]+)*)?$' AND split_part(version, '.', 1)::integer < 655
                THEN split_part(version, '.', 1)::integer * 100
                     + coalesce(nullif(split_part(version, '.', 2), ''), '0')::integer END;

-- What a device runs, for the planner; NULL: it has never said.
CREATE FUNCTION device_vector(dev bytea, platform integer, cc3000_patch_version text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_agg(jsonb_build_object('f', m.func, 'n', m.idx, 'v', m.version) ORDER BY m.func, m.idx)
      FROM (SELECT func, idx, version FROM device_module WHERE device_id = dev AND store = 0
            UNION ALL
            SELECT 1, 0, patch_number(cc3000_patch_version)
             WHERE platform = 0 AND patch_number(cc3000_patch_version) IS NOT NULL
               AND NOT EXISTS (SELECT FROM device_module WHERE device_id = dev AND store = 0 AND func = 1 AND idx = 0)) m
$$;

-- ';2.0=1200;4.1=1512': what the program reads, and what a class is told by.
CREATE FUNCTION vector_text(vector jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(format(';%s.%s=%s', m.value ->> 'f', m.value ->> 'n', m.value ->> 'v'), '' ORDER BY m.ordinality)
      FROM jsonb_array_elements(vector) WITH ORDINALITY m
$$;

CREATE TABLE inventory_class (
    sig bigint PRIMARY KEY, -- device.sig
    platform_id integer,
    vector jsonb NOT NULL,  -- [{"f": 2, "n": 0, "v": 1200}, ...] in order
    runs text NOT NULL GENERATED ALWAYS AS (vector_text(vector)) STORED,
    first_seen timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION vector_sig(platform integer, vector jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN hashtextextended(coalesce(platform::text, '') || vector_text(vector), 0);

CREATE FUNCTION refresh_class(dev bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    d record;
    runs jsonb;
    class bigint;
BEGIN
    SELECT platform_id, cc3000_patch_version, sig INTO d FROM device WHERE id = dev;
    runs := device_vector(dev, d.platform_id, d.cc3000_patch_version);
    class := coalesce(vector_sig(d.platform_id, runs), 0);
    IF class <> d.sig THEN
        INSERT INTO inventory_class (sig, platform_id, vector) SELECT class, d.platform_id, runs WHERE class <> 0
        ON CONFLICT DO NOTHING;
        UPDATE device SET sig = class WHERE id = dev;
    END IF;
END $$;

CREATE FUNCTION on_device_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refresh_class(NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER device_facts AFTER UPDATE OF platform_id, cc3000_patch_version ON device FOR EACH ROW
    WHEN (OLD.platform_id IS DISTINCT FROM NEW.platform_id OR OLD.cc3000_patch_version IS DISTINCT FROM NEW.cc3000_patch_version)
    EXECUTE FUNCTION on_device_facts();

-- Which step was under way when a module moved.
ALTER TABLE device_module_history ADD COLUMN step_id bigint;

CREATE FUNCTION step_under_way(dev bytea) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT s.id FROM device_update u JOIN update_step s ON s.update_id = u.id
     WHERE u.device_id = dev AND u.state IN ('active', 'verifying')
       AND s.state IN ('finishing', 'rebooting', 'describing')
     ORDER BY s.id DESC LIMIT 1
$$;

CREATE OR REPLACE FUNCTION store_modules(dev bytea, modules jsonb, cause text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    step bigint := step_under_way(dev);
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
        INSERT INTO device_module_history (device_id, func, idx, old_version, new_version, cause, step_id)
        SELECT dev, coalesce(n.func, o.func), coalesce(n.idx, o.idx), o.version,
               CASE WHEN n.func IS NULL AND o.func = 7 THEN 0 ELSE n.version END,
               CASE WHEN step IS NULL THEN cause ELSE 'update' END, step
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
    PERFORM refresh_class(dev);
END $$;

-- What is known already.
CREATE TEMPORARY TABLE vectors ON COMMIT DROP AS
    SELECT d.id, d.platform_id, device_vector(d.id, d.platform_id, d.cc3000_patch_version) AS vector FROM device d;
INSERT INTO inventory_class (sig, platform_id, vector)
SELECT DISTINCT vector_sig(v.platform_id, v.vector), v.platform_id, v.vector
  FROM (SELECT DISTINCT platform_id, vector FROM vectors WHERE vector IS NOT NULL) v
ON CONFLICT DO NOTHING;
UPDATE device d SET sig = c.sig
  FROM vectors v JOIN inventory_class c ON c.vector = v.vector AND c.platform_id IS NOT DISTINCT FROM v.platform_id
 WHERE d.id = v.id AND d.sig <> c.sig;

-- Answers most questions about classes without a look at the devices themselves.
DROP INDEX device_sig;
CREATE INDEX device_class ON device (sig) INCLUDE (platform_id, product_id, requires_deep_update) WHERE NOT quarantined;

-- --- selectors ---

-- Each of [{"f": "s", "n": 1, "below": 3100}, ...] holds; a version that is not known is below every other.
CREATE FUNCTION vector_is_below(runs jsonb, versions jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT NOT EXISTS (SELECT FROM jsonb_array_elements(versions) w
                        WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(runs) m
                                           WHERE (m ->> 'f')::integer = module_function_number(w ->> 'f')
                                             AND (m ->> 'n')::integer = (w ->> 'n')::integer
                                             AND (m ->> 'v')::integer < (w ->> 'below')::integer))
$$;

-- sel: as selector_parse writes it (server/fleet/selector.h). Keys that are not there fold away when it is a constant.
CREATE FUNCTION selected_devices(sel jsonb) RETURNS SETOF device LANGUAGE sql STABLE AS $$
    SELECT d.* FROM device d
     WHERE NOT d.quarantined AND sel <> '{}'
       AND (NOT sel ? 'platform_id'
            OR d.platform_id = ANY (ARRAY(SELECT jsonb_array_elements_text(sel -> 'platform_id')::integer)))
       AND (NOT sel ? 'product_id' OR d.product_id = (sel ->> 'product_id')::integer)
       AND (NOT sel ? 'requires_deep_update' OR d.requires_deep_update = (sel ->> 'requires_deep_update')::boolean)
       AND (NOT sel ? 'devices'
            OR d.id = ANY (ARRAY(SELECT decode(jsonb_array_elements_text(sel -> 'devices'), 'hex'))))
       AND (NOT sel ? 'names'
            OR EXISTS (SELECT FROM jsonb_array_elements_text(sel -> 'names') n
                        WHERE CASE WHEN right(n, 1) = '*' THEN starts_with(d.name, left(n, -1)) ELSE d.name = n END))
       AND (NOT sel ? 'versions'
            OR d.sig IN (SELECT c.sig FROM inventory_class c WHERE vector_is_below(c.vector, sel -> 'versions')))
$$;

-- --- what a rule touches; writes nothing ---

-- Devices by class of which a rule of kind deep_update_needed with this body would ask for a deep update.
CREATE FUNCTION deep_update_classes(platform integer, body jsonb) RETURNS TABLE (sig bigint, devices bigint)
    LANGUAGE sql STABLE AS $$
    SELECT d.sig, count(*) FROM device d
     WHERE d.platform_id = platform AND NOT d.quarantined AND NOT body ? 'module'
       AND dotted_below(d.cc3000_patch_version, body ->> 'below')
     GROUP BY d.sig
    UNION ALL
    SELECT d.sig, count(*) FROM device d
      JOIN device_module m ON m.device_id = d.id AND m.store = 0 AND m.func = module_function_number(body ->> 'module')
           AND m.idx = coalesce((body ->> 'index')::integer, 0) AND m.last_known > 0
     WHERE d.platform_id = platform AND NOT d.quarantined AND body ? 'module'
       AND m.last_known < (body ->> 'below')::integer
     GROUP BY d.sig
$$;
