-- Webhooks: events go to servers of people, at least once. What is to be delivered is a row, made in the transaction that stores
-- the event; a node that sends it holds it by a lease, and what became of it is told by the node and attempt that held it.

CREATE TABLE webhook (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint REFERENCES users ON DELETE SET NULL,     -- who made it
    product_id integer REFERENCES product ON DELETE CASCADE, -- NULL: of the devices of its owner, with whom it goes
    device_id bytea REFERENCES device ON DELETE CASCADE,     -- of this one alone
    event text NOT NULL CHECK (octet_length(event) BETWEEN 1 AND 64), -- what names begin with
    host text NOT NULL,    -- and port: requests to one are bounded together
    spec jsonb NOT NULL,   -- what people may see of it
    sealed bytea NOT NULL, -- its secrets, under a key of the server
    disabled text,         -- why; NULL: it is not
    created_at timestamptz NOT NULL DEFAULT now(),
    -- how it goes
    failures integer NOT NULL DEFAULT 0, -- attempts since the last that went well
    failing_since timestamptz,
    hold_until timestamptz, -- nothing is sent before
    delivered bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,  -- attempts
    dead bigint NOT NULL DEFAULT 0,    -- given up
    dropped bigint NOT NULL DEFAULT 0, -- never given up, but there were too many
    last_delivered_at timestamptz,
    last_error text,
    last_error_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX webhook_owner ON webhook (owner_id) WHERE product_id IS NULL;
CREATE INDEX webhook_product ON webhook (product_id) WHERE product_id IS NOT NULL;
CREATE INDEX webhook_device ON webhook (device_id) WHERE device_id IS NOT NULL;

-- No foreign keys: an event takes no lock on what it is delivered to. next_at: when it is due; of 'sending' the end of the lease.
CREATE TABLE webhook_delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL,
    device_id bytea, -- NULL: published by a person
    name text NOT NULL,
    data bytea NOT NULL,
    published_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    node_id integer,
    status integer, -- of the last attempt's answer; NULL: none came
    error text,
    ended_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX webhook_delivery_lease ON webhook_delivery (next_at) WHERE state = 'sending';
CREATE INDEX webhook_delivery_ended ON webhook_delivery (webhook_id, ended_at) WHERE ended_at IS NOT NULL;

-- What a webhook is answered with is an event too, and goes to no webhook; so no two can feed each other, nor one itself. Such
-- an event has the name its webhook says; its key tells (server/fleet/hook_event.h).
CREATE FUNCTION is_of_hook(key bytea, name text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substr(key, 1, 7) = 'webhook' OR name COLLATE "C" ~ '(^|/)hook-(response|error|sent)/';

-- Events without data are secrets that are not kept (claim codes).
CREATE FUNCTION on_event_insert_deliver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhook) THEN
        INSERT INTO webhook_delivery (webhook_id, device_id, name, data, published_at)
        SELECT h.id, e.device_id, e.name, e.data, e.received_at
          FROM fresh e
          LEFT JOIN device d ON d.id = e.device_id
         CROSS JOIN LATERAL ( -- whose it is; a person may publish to a product
              SELECT CASE WHEN e.device_id IS NULL THEN e.product_id ELSE d.in_product END AS product) p
         CROSS JOIN LATERAL (
              SELECT w.id FROM webhook w
               WHERE w.product_id IS NULL
                 AND w.owner_id = CASE WHEN e.device_id IS NOT NULL THEN d.owner_id WHEN p.product IS NULL THEN e.user_id END
                 AND w.disabled IS NULL AND (w.device_id IS NULL OR w.device_id = e.device_id) AND starts_with(e.name, w.event)
              UNION ALL
              SELECT w.id FROM webhook w
               WHERE w.product_id = p.product
                 AND w.disabled IS NULL AND (w.device_id IS NULL OR w.device_id = e.device_id) AND starts_with(e.name, w.event)) h
         WHERE e.data IS NOT NULL AND NOT is_of_hook(e.key, e.name) AND NOT coalesce(d.quarantined OR d.denied, false)
         ORDER BY e.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER event_insert_deliver AFTER INSERT ON event REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION on_event_insert_deliver();

-- The server's own events are for webhooks too: of these some are stored only when somebody would hear of them.
CREATE OR REPLACE FUNCTION wants_system_events() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM event_reader WHERE until > now())
        OR EXISTS (SELECT FROM webhook w
                    WHERE w.disabled IS NULL AND (starts_with('spark/', w.event) OR starts_with('particle/', w.event)
                                                  OR starts_with(w.event, 'spark/') OR starts_with(w.event, 'particle/')))
$$;

CREATE FUNCTION on_webhook_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM webhook_delivery WHERE webhook_id = OLD.id AND state = 'waiting';
    DELETE FROM webhook_delivery WHERE webhook_id = OLD.id AND ended_at IS NOT NULL;
    RETURN NULL; -- what is being sent goes when it has been
END $$;
CREATE TRIGGER webhook_delete AFTER DELETE ON webhook FOR EACH ROW EXECUTE FUNCTION on_webhook_delete();

-- --- for people ---

CREATE FUNCTION webhook_time(at timestamptz) RETURNS text LANGUAGE sql STABLE
    RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE FUNCTION webhook_json(w webhook) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT w.spec || jsonb_strip_nulls(jsonb_build_object(
               'id', w.id::text, 'event', w.event, 'deviceID', encode(w.device_id, 'hex'), 'product_id', w.product_id,
               'created_at', webhook_time(w.created_at), 'disabled', w.disabled IS NOT NULL, 'disabled_reason', w.disabled))
$$;

-- With how it goes: counts, what waits, and the newest deliveries that have ended.
CREATE FUNCTION webhook_detail(w webhook) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT webhook_json(w) || jsonb_build_object(
               'counters', jsonb_build_object(
                   'waiting', (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting'),
                   'delivered', w.delivered, 'failed_attempts', w.failed, 'dead', w.dead, 'dropped', w.dropped),
               'failing_since', webhook_time(w.failing_since), 'held_until', webhook_time(w.hold_until),
               'last_delivered_at', webhook_time(w.last_delivered_at), 'last_error', w.last_error,
               'last_error_at', webhook_time(w.last_error_at),
               'logs', coalesce((
                   SELECT jsonb_agg(jsonb_build_object(
                              'delivery', w.id || '-' || d.id, 'event', d.name, 'deviceID', encode(d.device_id, 'hex'),
                              'published_at', webhook_time(d.published_at), 'state', d.state, 'attempts', d.attempts,
                              'status', d.status, 'error', d.error, 'ended_at', webhook_time(d.ended_at))
                            ORDER BY d.ended_at DESC, d.id DESC)
                     FROM (SELECT * FROM webhook_delivery l WHERE l.webhook_id = w.id AND l.ended_at IS NOT NULL
                            ORDER BY l.ended_at DESC LIMIT 10) d), '[]'))
$$;

-- product NULL: the actor's own. A webhook that is not the actor's is not there, unless the actor sees all.
CREATE FUNCTION find_webhook(actor_id bigint, sees_all boolean, product integer, which text) RETURNS SETOF webhook
    LANGUAGE sql STABLE AS $$
    SELECT * FROM webhook w
     WHERE w.id = CASE WHEN which ~ '^[0-9]{1,18}$' THEN which::bigint END
       AND CASE WHEN product IS NULL THEN w.product_id IS NULL AND (sees_all OR w.owner_id = actor_id)
                ELSE w.product_id = product END
$$;

CREATE FUNCTION list_webhooks(actor_id bigint, product integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(webhook_json(w) ORDER BY w.id), '[]') FROM webhook w
     WHERE CASE WHEN product IS NULL THEN w.product_id IS NULL AND w.owner_id = actor_id ELSE w.product_id = product END
$$;

-- device: as people name it, NULL: all. code: 'ok' with the webhook, 'full', or what find_device says.
CREATE FUNCTION create_webhook(actor_id bigint, actor text, product integer, device text, event_prefix text, target_host text,
                               public_spec jsonb, sealed_secrets bytea, max_count integer)
    RETURNS TABLE (code text, webhook jsonb) LANGUAGE plpgsql AS $$
DECLARE
    d change_result;
    made webhook;
BEGIN
    IF device IS NOT NULL THEN
        d := find_device(actor_id, product IS NOT NULL, coalesce(product || '/', '') || device);
        IF d.code <> 'ok' THEN
            RETURN QUERY SELECT d.code, NULL::jsonb;
            RETURN;
        END IF;
    END IF;
    PERFORM FROM users WHERE id = actor_id FOR NO KEY UPDATE; -- two at once are counted one after the other
    IF (SELECT count(*) FROM webhook w
         WHERE CASE WHEN product IS NULL THEN w.product_id IS NULL AND w.owner_id = actor_id ELSE w.product_id = product END)
       >= max_count THEN
        RETURN QUERY SELECT 'full', NULL::jsonb;
        RETURN;
    END IF;
    INSERT INTO webhook (owner_id, product_id, device_id, event, host, spec, sealed)
    VALUES (actor_id, product, d.id, event_prefix, target_host, public_spec, sealed_secrets) RETURNING * INTO made;
    INSERT INTO audit (actor, action, target, after) VALUES (actor, 'webhook.create', 'webhook/' || made.id, webhook_json(made));
    RETURN QUERY SELECT 'ok', webhook_json(made);
END $$;

CREATE FUNCTION delete_webhook(actor_id bigint, actor text, sees_all boolean, product integer, which text) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    w webhook;
BEGIN
    DELETE FROM webhook WHERE id = (SELECT f.id FROM find_webhook(actor_id, sees_all, product, which) f) RETURNING * INTO w;
    IF w.id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO audit (actor, action, target, before) VALUES (actor, 'webhook.delete', 'webhook/' || w.id, webhook_json(w));
    RETURN true;
END $$;

-- why: NULL enables, and what failed before counts no more.
CREATE FUNCTION disable_webhook(actor_id bigint, actor text, sees_all boolean, product integer, which text, why text)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was webhook;
    w webhook;
BEGIN
    SELECT * INTO was FROM webhook WHERE id = (SELECT f.id FROM find_webhook(actor_id, sees_all, product, which) f)
       FOR NO KEY UPDATE;
    IF was.id IS NULL THEN
        RETURN false;
    END IF;
    UPDATE webhook SET disabled = why, failures = 0, failing_since = NULL, hold_until = NULL WHERE id = was.id RETURNING * INTO w;
    INSERT INTO audit (actor, action, target, before, after)
    VALUES (actor, CASE WHEN why IS NULL THEN 'webhook.enable' ELSE 'webhook.disable' END, 'webhook/' || w.id,
            webhook_json(was), webhook_json(w));
    RETURN true;
END $$;

-- As if the event had been published, to this webhook alone.
CREATE FUNCTION test_webhook(actor_id bigint, sees_all boolean, product integer, which text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w webhook;
BEGIN
    SELECT * INTO w FROM find_webhook(actor_id, sees_all, product, which);
    IF w.id IS NULL THEN
        RETURN 'not found';
    ELSIF w.disabled IS NOT NULL THEN
        RETURN 'disabled';
    END IF;
    INSERT INTO webhook_delivery (webhook_id, device_id, name, data, published_at)
    VALUES (w.id, w.device_id, w.event, 'test-event', now());
    RETURN 'ok';
END $$;

-- --- for nodes ---

-- A node begins: what it was sending when it ended is due.
CREATE FUNCTION webhook_begin(node integer) RETURNS void LANGUAGE sql AS $$
    UPDATE webhook_delivery SET state = 'waiting', next_at = now(), node_id = NULL WHERE state = 'sending' AND node_id = node
$$;

-- What is due, for this node: of each host no more than per_host together with busy, the hosts of what the node is sending
-- already; and one at a time to where several attempts have failed. It is the node's for lease_s.
CREATE FUNCTION webhook_claim(node integer, busy text[], per_host integer, most integer, lease_s integer, try_failures integer)
    RETURNS TABLE (id bigint, webhook_id bigint, attempt integer, host text, owner_id bigint, event text, spec jsonb, sealed bytea,
                   device_id bytea, name text, data bytea, published_ms bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM webhook) THEN
        RETURN;
    END IF;
    UPDATE webhook_delivery d SET state = 'waiting', next_at = now(), node_id = NULL
     WHERE d.id IN (SELECT l.id FROM webhook_delivery l WHERE l.state = 'sending' AND l.next_at < now()
                     LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN QUERY
        WITH RECURSIVE hook AS ( -- webhooks for which anything waits, each found by one look into the index
            (SELECT d.webhook_id AS hook_id FROM webhook_delivery d WHERE d.state = 'waiting' ORDER BY d.webhook_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.webhook_id FROM webhook_delivery d WHERE d.state = 'waiting' AND d.webhook_id > h.hook_id
                     ORDER BY d.webhook_id LIMIT 1)
              FROM hook h WHERE h.hook_id IS NOT NULL
        ), candidate AS (
            SELECT c.id, w.host, row_number() OVER (PARTITION BY w.host ORDER BY c.next_at, c.id) AS place
              FROM hook h
              JOIN webhook w ON w.id = h.hook_id AND w.disabled IS NULL AND coalesce(w.hold_until <= now(), true)
             CROSS JOIN LATERAL (
                  SELECT d.id, d.next_at FROM webhook_delivery d
                   WHERE d.webhook_id = w.id AND d.state = 'waiting' AND d.next_at <= now()
                   ORDER BY d.next_at, d.id LIMIT CASE WHEN w.failures >= try_failures THEN 1 ELSE per_host END) c
        ), picked AS (
            SELECT c.id FROM candidate c
             WHERE c.place + (SELECT count(*) FROM unnest(busy) AS b (host) WHERE b.host = c.host) <= per_host
             ORDER BY c.place, c.id LIMIT most
        ), mine AS (
            SELECT d.id FROM webhook_delivery d
             WHERE d.id IN (SELECT p.id FROM picked p) AND d.state = 'waiting' FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE webhook_delivery d
               SET state = 'sending', attempts = d.attempts + 1, node_id = node, next_at = now() + lease_s * interval '1 s'
              FROM mine WHERE d.id = mine.id
            RETURNING d.*
        )
        SELECT t.id, t.webhook_id, t.attempts, w.host, w.owner_id, w.event, w.spec, w.sealed, t.device_id, t.name, t.data,
               to_ms(t.published_at)
          FROM taken t JOIN webhook w ON w.id = t.webhook_id
         ORDER BY t.id;
END $$;

-- What became of attempts, each told by the node that holds it: told twice it counts once. outcomes: 'delivered', 'again' after
-- waits_s, 'dead', 'released' (not begun, or broken off by the end of the node). holds_s: for how long its target asked for
-- quiet, 0 when it did not. Returns the webhooks that are disabled by this.
CREATE FUNCTION webhook_results(node integer, ids bigint[], tries integer[], outcomes text[], statuses integer[], errors text[],
                                waits_s integer[], holds_s integer[], try_failures integer, hold_s integer, hold_max_s integer,
                                disable_s bigint)
    RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
        WITH told AS (
            SELECT * FROM unnest(ids, tries, outcomes, statuses, errors, waits_s, holds_s)
                     AS t (id, attempt, outcome, status, error, wait_s, hold_s)
        ), ended AS (
            UPDATE webhook_delivery d SET
                state = CASE t.outcome WHEN 'delivered' THEN 'delivered' WHEN 'dead' THEN 'dead' ELSE 'waiting' END,
                attempts = d.attempts - CASE WHEN t.outcome = 'released' THEN 1 ELSE 0 END,
                next_at = now() + t.wait_s * interval '1 s',
                node_id = NULL,
                status = CASE WHEN t.outcome = 'released' THEN d.status ELSE t.status END,
                error = CASE WHEN t.outcome = 'released' THEN d.error ELSE t.error END,
                ended_at = CASE WHEN t.outcome IN ('delivered', 'dead') THEN now() END
              FROM told t
             WHERE d.id = t.id AND d.state = 'sending' AND d.node_id = node AND d.attempts = t.attempt
            RETURNING d.webhook_id, t.*
        ), sums AS (
            SELECT e.webhook_id, count(*) FILTER (WHERE e.outcome = 'delivered') AS good,
                   count(*) FILTER (WHERE e.outcome IN ('again', 'dead')) AS bad,
                   count(*) FILTER (WHERE e.outcome = 'dead') AS dead, max(e.hold_s) AS asked_s,
                   (array_agg(e.error ORDER BY e.id DESC) FILTER (WHERE e.outcome IN ('again', 'dead')))[1] AS error
              FROM ended e GROUP BY e.webhook_id
        ), locked AS (
            SELECT w.id, w.failures, w.failing_since FROM webhook w JOIN sums s ON s.webhook_id = w.id ORDER BY w.id
               FOR NO KEY UPDATE OF w
        ), seen AS (
            SELECT s.*, CASE WHEN s.good > 0 THEN 0 ELSE l.failures + s.bad END AS failures,
                   CASE WHEN s.good > 0 THEN NULL WHEN s.bad > 0 THEN coalesce(l.failing_since, now()) ELSE l.failing_since END
                       AS failing_since
              FROM sums s JOIN locked l ON l.id = s.webhook_id
        ), changed AS (
            UPDATE webhook w SET
                failures = s.failures, failing_since = s.failing_since,
                hold_until = greatest(
                    CASE WHEN s.failures >= try_failures
                         THEN now() + least(hold_max_s, hold_s * 2 ^ least(s.failures - try_failures, 16)) * interval '1 s' END,
                    CASE WHEN s.asked_s > 0 THEN now() + s.asked_s * interval '1 s' END),
                delivered = w.delivered + s.good, failed = w.failed + s.bad, dead = w.dead + s.dead,
                last_delivered_at = CASE WHEN s.good > 0 THEN now() ELSE w.last_delivered_at END,
                last_error = coalesce(s.error, w.last_error),
                last_error_at = CASE WHEN s.error IS NULL THEN w.last_error_at ELSE now() END,
                disabled = coalesce(w.disabled, CASE
                    WHEN s.failures >= try_failures AND s.failing_since <= now() - disable_s * interval '1 s'
                    THEN 'No delivery has succeeded since ' || webhook_time(s.failing_since) || '; the last error was: '
                         || coalesce(s.error, '') END)
              FROM seen s WHERE w.id = s.webhook_id
            RETURNING w.id, w.disabled, s.failures
        )
        SELECT c.id FROM changed c WHERE c.disabled IS NOT NULL AND c.failures > 0;
    -- what was being sent when its webhook was deleted
    DELETE FROM webhook_delivery d
     WHERE d.id = ANY (ids) AND d.state <> 'sending' AND NOT EXISTS (SELECT FROM webhook w WHERE w.id = d.webhook_id);
END $$;

-- Keeps the table small; one node at a time, at most `most` rows of each kind. Of each webhook at most max_waiting wait: the oldest
-- are dropped and counted; so is all of one that is disabled. Of what has ended the newest max_ended are kept, for keep_s. Returns
-- how many were dropped.
CREATE FUNCTION webhook_sweep(max_waiting integer, max_ended integer, keep_s bigint, most integer) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    dropped_now bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM webhook) AND NOT EXISTS (SELECT FROM webhook_delivery) THEN
        RETURN 0;
    ELSIF NOT pg_try_advisory_xact_lock(hashtextextended('cyan webhook_sweep', 0)) THEN
        RETURN 0;
    END IF;
    DELETE FROM webhook WHERE owner_id IS NULL AND product_id IS NULL;
    WITH RECURSIVE hook AS ( -- as in webhook_claim; what was made while its webhook was deleted
        (SELECT d.webhook_id AS hook_id FROM webhook_delivery d WHERE d.state = 'waiting' ORDER BY d.webhook_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.webhook_id FROM webhook_delivery d WHERE d.state = 'waiting' AND d.webhook_id > h.hook_id
                 ORDER BY d.webhook_id LIMIT 1)
          FROM hook h WHERE h.hook_id IS NOT NULL
    ), gone AS (
        SELECT d.id FROM hook h
         CROSS JOIN LATERAL (SELECT o.id FROM webhook_delivery o WHERE o.webhook_id = h.hook_id AND o.state = 'waiting' LIMIT most) d
         WHERE h.hook_id IS NOT NULL AND NOT EXISTS (SELECT FROM webhook w WHERE w.id = h.hook_id) LIMIT most
    )
    DELETE FROM webhook_delivery d USING gone WHERE d.id = gone.id;
    WITH waits AS (
        SELECT w.id, (SELECT count(*) FROM webhook_delivery d WHERE d.webhook_id = w.id AND d.state = 'waiting')
                     - CASE WHEN w.disabled IS NULL THEN max_waiting ELSE 0 END AS excess
          FROM webhook w
    ), picked AS (
        SELECT x.id FROM (SELECT * FROM waits WHERE excess > 0 OFFSET 0) w
         CROSS JOIN LATERAL (SELECT o.id FROM webhook_delivery o WHERE o.webhook_id = w.id AND o.state = 'waiting'
                              ORDER BY o.id LIMIT least(w.excess, most)) x
         LIMIT most
    ), mine AS (
        SELECT d.id FROM webhook_delivery d WHERE d.id IN (SELECT p.id FROM picked p) AND d.state = 'waiting' FOR UPDATE SKIP LOCKED
    ), dropped AS (
        DELETE FROM webhook_delivery d USING mine WHERE d.id = mine.id RETURNING d.webhook_id
    ), sums AS (
        SELECT webhook_id, count(*) AS n FROM dropped GROUP BY webhook_id
    ), counted AS (
        UPDATE webhook w SET dropped = w.dropped + s.n FROM sums s WHERE w.id = s.webhook_id
    )
    SELECT coalesce(sum(n), 0) INTO dropped_now FROM sums;
    DELETE FROM webhook_delivery d
     WHERE d.id IN (SELECT x.id FROM webhook w
                     CROSS JOIN LATERAL (SELECT o.id FROM webhook_delivery o
                                          WHERE o.webhook_id = w.id
                                            AND o.ended_at < greatest(now() - keep_s * interval '1 s', coalesce((
                                                SELECT k.ended_at FROM webhook_delivery k
                                                 WHERE k.webhook_id = w.id AND k.ended_at IS NOT NULL
                                                 ORDER BY k.ended_at DESC OFFSET max_ended LIMIT 1), '-infinity'))
                                          LIMIT most) x
                     LIMIT most);
    RETURN dropped_now;
END $$;

-- Short statements whose plans look long: compiling them would take longer than they do.
ALTER FUNCTION webhook_claim SET jit = off;
ALTER FUNCTION webhook_results SET jit = off;
ALTER FUNCTION webhook_sweep SET jit = off;

-- --- vitals ---

-- What the server knew of the device when it said them.
ALTER TABLE device_vitals ADD COLUMN service jsonb NOT NULL DEFAULT '{}';

-- How many of its newest 10000 events a device published since. They are read from the newest to the first that is older, and no
-- further: what it published before the handshake may be a month's.
CREATE FUNCTION published_since(dev bytea, since timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    older bigint := (SELECT o.id FROM (SELECT e.id, e.received_at FROM event e WHERE e.device_id = dev ORDER BY e.id DESC LIMIT 10000) o
                      WHERE o.received_at < coalesce(since, 'infinity') ORDER BY o.id DESC LIMIT 1);
BEGIN
    RETURN (SELECT count(*) FILTER (WHERE NOT n.is_system)
              FROM (SELECT e.is_system FROM event e WHERE e.device_id = dev AND e.id > coalesce(older, 0)
                     ORDER BY e.id DESC LIMIT 10000) n);
END $$;

-- round_trip_ms comes among what the device said, NULL: it said it unasked.
CREATE FUNCTION on_vitals_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    d device;
BEGIN
    SELECT * INTO d FROM device WHERE id = NEW.device_id;
    NEW.service := jsonb_strip_nulls(jsonb_build_object(
        'device', jsonb_build_object('status', CASE WHEN d.status = 'normal' THEN 'ok' ELSE d.status END),
        'cloud', jsonb_build_object(
            'uptime', greatest(0, floor(extract(epoch FROM NEW.at - d.last_handshake)))::bigint,
            'publish', jsonb_build_object('sent', published_since(d.id, d.last_handshake))),
        'coap', jsonb_build_object('round_trip', NEW.vitals -> 'round_trip_ms')));
    NEW.vitals := NEW.vitals - 'round_trip_ms';
    RETURN NEW;
END $$;
CREATE TRIGGER vitals_insert BEFORE INSERT ON device_vitals FOR EACH ROW EXECUTE FUNCTION on_vitals_insert();
