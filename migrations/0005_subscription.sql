-- Subscriptions come one at a time and are kept here alone. The list of a device belongs to a session and a generation of it:
-- a Hello within the session begins a new one.

DROP FUNCTION store_subscriptions;
ALTER TABLE device RENAME COLUMN subscriptions_rev TO subscriptions_generation;

-- One more of the list of (session, generation), a set of at most max_count. The first of a newer list takes the place of the
-- older one. One of an older generation joins the newer list: whoever says it was restored from before that list began. One of
-- an older session is not stored once the present session has given its own, and is no fault. Returns 'stored', 'full', or
-- why not.
CREATE FUNCTION store_subscription(dev bytea, session bigint, generation bigint, prefix text, scope text, format text,
                                   from_device bytea, max_count integer)
    RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d record;
    stored_count integer;
    last_place smallint;
BEGIN
    SELECT session_id, subscriptions_session, subscriptions_generation INTO d FROM device WHERE id = dev FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown device';
    ELSIF d.subscriptions_session = d.session_id AND d.session_id <> session THEN
        RETURN 'stored';
    END IF;
    IF d.subscriptions_session IS DISTINCT FROM session OR d.subscriptions_generation < generation THEN
        DELETE FROM device_subscription s WHERE s.device_id = dev;
        UPDATE device SET subscriptions_session = session, subscriptions_generation = generation WHERE id = dev;
    ELSIF EXISTS (SELECT FROM device_subscription s
                   WHERE s.device_id = dev AND s.prefix = store_subscription.prefix
                     AND s.scope = store_subscription.scope::"char" AND s.format = store_subscription.format::"char"
                     AND s.from_device IS NOT DISTINCT FROM store_subscription.from_device) THEN
        RETURN 'stored';
    END IF;
    SELECT count(*), coalesce(max(s.place), 0) INTO stored_count, last_place
      FROM device_subscription s WHERE s.device_id = dev;
    IF stored_count >= max_count THEN
        RETURN 'full';
    END IF;
    INSERT INTO device_subscription (device_id, place, prefix, scope, format, from_device)
    VALUES (dev, last_place + 1, prefix, scope::"char", format::"char", from_device);
    RETURN 'stored';
END $$;
