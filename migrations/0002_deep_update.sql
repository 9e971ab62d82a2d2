-- Deep updates: which devices need one, as the rules of kind deep_update_needed say.
--
-- Bodies: {"fact": "cc3000_patch_version", "below": "1.28"}   dotted numbers
--         {"module": "c", "index": 0, "below": 5}             version of the module in the main store
-- A fact nobody has stated yet never asks for an update.

CREATE FUNCTION module_function_number(letter text) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE letter WHEN 'n' THEN 0 WHEN 'r' THEN 1 WHEN 'b' THEN 2 WHEN 'm' THEN 3 WHEN 's' THEN 4 WHEN 'u' THEN 5
                       WHEN 'c' THEN 7 WHEN 'a' THEN 8 END::smallint;

CREATE FUNCTION is_dotted(version text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(version ~ '^[0-9]{1,9}(\.[0-9]{1,9}){0,5}$', false);

-- Part by part as numbers: 1.9 is below 1.28; 1.28 and 1.28.0 are equal. False when either is no dotted number.
CREATE FUNCTION dotted_below(version text, bound text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN is_dotted(version) AND is_dotted(bound)
                THEN string_to_array(regexp_replace(version, '(\.0+)+$', ''), '.')::bigint[]
                     < string_to_array(regexp_replace(bound, '(\.0+)+$', ''), '.')::bigint[]
                ELSE false END;

-- One rule against the facts of one device; last_known is the module the rule names.
CREATE FUNCTION deep_update_rule_holds(body jsonb, cc3000_patch_version text, last_known integer)
    RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN body ->> 'fact' = 'cc3000_patch_version' THEN dotted_below(cc3000_patch_version, body ->> 'below')
                WHEN body ? 'module' THEN coalesce(last_known > 0 AND last_known < (body ->> 'below')::integer, false)
                ELSE false END;

-- For each device the first rule that asks for a deep update, or NULL.
CREATE VIEW device_deep_update AS
    SELECT d.id AS device_id,
           (SELECT r.code
              FROM transition_rule r
             WHERE r.enabled AND r.kind = 'deep_update_needed' AND r.platform_id = d.platform_id
               AND deep_update_rule_holds(r.body, d.cc3000_patch_version,
                       (SELECT m.last_known FROM device_module m
                         WHERE r.body ? 'module' AND m.device_id = d.id AND m.store = 0
                           AND m.func = module_function_number(r.body ->> 'module')
                           AND m.idx = coalesce((r.body ->> 'index')::integer, 0)))
             ORDER BY r.id LIMIT 1) AS rule
      FROM device d;

CREATE FUNCTION device_needs_deep_update(dev bytea) RETURNS boolean LANGUAGE sql STABLE
    RETURN (SELECT rule IS NOT NULL FROM device_deep_update WHERE device_id = dev);

-- Facts are written under the shared lock, rules under the exclusive one: whoever comes second sees what the other did.
CREATE FUNCTION deep_update_lock_facts() RETURNS void LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock_shared(3000, 128) $$;
CREATE FUNCTION deep_update_lock_rules() RETURNS void LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock(3000, 128) $$;

-- Sets the flag of these devices.
CREATE FUNCTION refresh_deep_update(ids bytea[]) RETURNS void LANGUAGE sql AS $$
    UPDATE device d SET deep_update_rule = v.rule, requires_deep_update = v.rule IS NOT NULL
      FROM device_deep_update v
     WHERE v.device_id = d.id AND d.id = ANY (ids) AND d.deep_update_rule IS DISTINCT FROM v.rule
$$;

-- Sets the flag of the whole fleet: the same as the view says of each device, but by sets: each distinct version is compared
-- once, and only devices that a rule asks or that carry the flag are touched.
-- The caller holds the lock of rules, so that no verdict ages while the devices are being locked; these in the order of their
-- ids, as everybody locks them.
CREATE FUNCTION refresh_deep_update_fleet() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids bytea[];
    codes text[];
BEGIN
    WITH rules AS MATERIALIZED (
        SELECT id, code, platform_id, body, body ? 'module' AS by_module,
               module_function_number(body ->> 'module') AS func, coalesce((body ->> 'index')::integer, 0) AS idx,
               CASE WHEN body ? 'module' THEN (body ->> 'below')::integer END AS below
          FROM transition_rule WHERE enabled AND kind = 'deep_update_needed'
    ), versions AS MATERIALIZED (
        SELECT DISTINCT platform_id, cc3000_patch_version AS version FROM device WHERE cc3000_patch_version IS NOT NULL
    ), asked AS (
        SELECT d.id, r.id AS rule_id, r.code
          FROM rules r
          JOIN versions v ON v.platform_id = r.platform_id AND deep_update_rule_holds(r.body, v.version, NULL)
          JOIN device d ON d.platform_id = v.platform_id AND d.cc3000_patch_version = v.version
         WHERE NOT r.by_module
        UNION ALL
        SELECT d.id, r.id, r.code
          FROM rules r
          JOIN device_module m ON m.store = 0 AND m.func = r.func AND m.idx = r.idx
                                  AND m.last_known > 0 AND m.last_known < r.below
          JOIN device d ON d.id = m.device_id AND d.platform_id = r.platform_id
         WHERE r.by_module
    ), verdict AS (
        SELECT DISTINCT ON (id) id, code FROM asked ORDER BY id, rule_id
    ), flagged AS (
        SELECT id, deep_update_rule FROM device WHERE requires_deep_update
    )
    SELECT array_agg(id), array_agg(v.code) INTO ids, codes
      FROM verdict v FULL JOIN flagged f USING (id)
     WHERE f.deep_update_rule IS DISTINCT FROM v.code;
    PERFORM FROM device d WHERE d.id IN (SELECT unnest(ids)) ORDER BY d.id FOR UPDATE;
    UPDATE device d SET deep_update_rule = n.code, requires_deep_update = n.code IS NOT NULL
      FROM unnest(ids, codes) AS n (id, code)
     WHERE d.id = n.id;
END $$;

CREATE FUNCTION on_rules_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM deep_update_lock_rules();
    RETURN NULL;
END $$;
CREATE FUNCTION on_rules_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refresh_deep_update_fleet();
    RETURN NULL;
END $$;
-- A body the evaluation could stumble over is refused when it is written, not when a device describes itself.
CREATE FUNCTION on_rule_check() RETURNS trigger LANGUAGE plpgsql AS $$
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
    RETURN NEW;
END $$;

CREATE TRIGGER rule_check BEFORE INSERT OR UPDATE ON transition_rule
    FOR EACH ROW EXECUTE FUNCTION on_rule_check();
CREATE TRIGGER rules_before BEFORE INSERT OR UPDATE OR DELETE ON transition_rule
    FOR EACH STATEMENT EXECUTE FUNCTION on_rules_before();
CREATE TRIGGER rules_after AFTER INSERT OR UPDATE OR DELETE ON transition_rule
    FOR EACH STATEMENT EXECUTE FUNCTION on_rules_after();

INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence) VALUES
('core-cc3000-patch', 0, 'deep_update_needed', '{"fact": "cc3000_patch_version", "below": "1.28"}',
 'This Core''s Wi-Fi chip runs a patch older than 1.28; it needs a deep update.',
 'Deep update of July 2014: CC3000 patch 1.28 fixes the loss of connection.'),
('argon-ncp-5', 12, 'deep_update_needed', '{"module": "c", "index": 0, "below": 5}',
 'This Argon''s network co-processor runs firmware older than 5; it needs a deep update.',
 'NCP firmware 5 is the first that current Device OS releases are tested with.'),
('argon-ncp-3-cannot-connect', 12, 'unreachable',
 '{"all": [{"module": "c", "index": 0, "below": 4}, {"module": "s", "index": 1, "from": 3001}]}',
 'An Argon whose network co-processor is older than 4 cannot connect once its system is 3001 or newer.',
 'Device OS 3 and later: "Failed to write into data channel -60001" with NCP 3.'),
('tracker-ncp-7-first', 26, 'requires',
 '{"module": "s", "index": 1, "from": 5600, "requires": {"module": "s", "index": 1, "from": 3001}}',
 'A Tracker passes through system 3001 or newer, which carries support for NCP 7, before it takes 5600 or newer.',
 'Device OS 3.0.1 carries NCP 7 support; from 5.6 on NCP updates are off.'),
('photon-0.6.0-rc.1', 6, 'forbids',
 '{"module": "s", "index": 1, "release": "0.6.0-rc.1", "to_releases": ["0.6.0", "0.6.1", "0.6.2"]}',
 'A Photon with 0.6.0-rc.1 does not go straight to 0.6.0, 0.6.1 or 0.6.2.',
 'Release notes of 0.6.x.');
-- nRF52840 platforms: the newer way of updating bootloader and soft device needs bootloader 1001.
INSERT INTO transition_rule (code, platform_id, kind, body, explain, evidence)
SELECT 'nrf52-bootloader-1001-' || name, id, 'requires',
       '{"way": "combined_bootloader_softdevice", "requires": {"module": "b", "index": 0, "from": 1001}}',
       'The newer way of updating bootloader and soft device needs bootloader 1001 or newer.',
       'Hello flag 0x40 needs bootloader 1000; the combined update is complete from 1001.'
  FROM (VALUES (12, 'argon'), (13, 'boron'), (14, 'xenon'), (15, 'esomx'), (22, 'asom'), (23, 'bsom'), (24, 'xsom'),
               (25, 'b5som'), (26, 'tracker')) AS p (id, name);
