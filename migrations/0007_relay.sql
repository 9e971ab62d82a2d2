-- Events reach devices that subscribed to them, and people publish events too.

-- --- events of people ---

ALTER TABLE event ALTER COLUMN device_id DROP NOT NULL;
ALTER TABLE event ADD COLUMN user_id bigint; -- who published it, when it is not a device's
ALTER TABLE event ADD CONSTRAINT event_publisher CHECK (num_nonnulls(device_id, user_id) = 1) NOT VALID;

-- --- who subscribed to what ---

-- The owner of the device, so that an event finds its owner's devices without looking at everybody's.
ALTER TABLE device_subscription ADD COLUMN owner_id bigint;
UPDATE device_subscription s SET owner_id = d.owner_id FROM device d WHERE d.id = s.device_id AND d.owner_id IS NOT NULL;

CREATE FUNCTION on_subscription_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.owner_id := (SELECT owner_id FROM device WHERE id = NEW.device_id);
    RETURN NEW;
END $$;
CREATE FUNCTION on_owner_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE device_subscription SET owner_id = NEW.owner_id WHERE device_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER subscription_insert BEFORE INSERT ON device_subscription
    FOR EACH ROW EXECUTE FUNCTION on_subscription_insert();
CREATE TRIGGER owner_change AFTER UPDATE OF owner_id ON device
    FOR EACH ROW WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id) EXECUTE FUNCTION on_owner_change();

-- Every device subscribes to the system's prefixes; no event of others is for them (device-protocol 4.8).
CREATE FUNCTION is_system_name(name text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN name COLLATE "C" ~ '^(spark|particle)';
CREATE INDEX device_subscription_prefix ON device_subscription (prefix COLLATE "C", scope, owner_id)
    WHERE NOT is_system_name(prefix);

-- What of the beginnings of this name anybody subscribed to. The greatest prefix that is not above the name is one of them,
-- or shares a beginning with the name that all shorter ones lie in: each look into the index finds one or ends the search.
-- Where nobody subscribed to anything like it that is one look.
CREATE FUNCTION subscribed_prefixes(event_name text) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
    bound text := event_name;
    found_prefix text;
    common integer;
BEGIN
    LOOP
        SELECT s.prefix INTO found_prefix FROM device_subscription s
         WHERE NOT is_system_name(s.prefix) AND s.prefix COLLATE "C" <= bound
         ORDER BY s.prefix COLLATE "C" DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF starts_with(event_name, found_prefix) THEN
            RETURN NEXT found_prefix;
            EXIT WHEN found_prefix = '';
            bound := left(found_prefix, -1);
        ELSE
            common := 0;
            WHILE substr(found_prefix, common + 1, 1) = substr(bound, common + 1, 1) LOOP
                common := common + 1;
            END LOOP;
            bound := left(bound, common);
        END IF;
    END LOOP;
END $$;

-- Text for those who asked for text or could ask for nothing else; CBOR alone; everything (device-protocol 4.9).
CREATE FUNCTION is_wanted_format(wanted "char", content_format integer) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE wanted WHEN 'b' THEN true WHEN 'c' THEN content_format = 60
                       ELSE content_format IN (0, 40, 41, 50) END;

-- Devices to which these events are to go, each once an event; place counts from 1. devices NULL where users says which
-- person published it. 'o': of the same owner, or its own; 'p': public ones; 'd': of that device, when public or of the same
-- owner. Who is offline misses it; presence is written a moment after a device came, its Hello is not. In order of place.
CREATE FUNCTION find_recipients(devices bytea[], users bigint[], names text[], formats integer[], publics boolean[],
                                max_count integer)
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
            SELECT u.ord, u.device, u.name, u.format, u.public,
                   CASE WHEN u.device IS NULL THEN u.person ELSE (SELECT d.owner_id FROM device d WHERE d.id = u.device) END
                       AS owner, m.prefix
              FROM unnest(devices, users, names, formats, publics) WITH ORDINALITY
                       AS u (device, person, name, format, public, ord)
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
