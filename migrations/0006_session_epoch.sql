-- A session may go from node to node, and what two nodes write of it may arrive in either order. Its epoch grows with each
-- move, so that what an earlier holder says late is not believed.

ALTER TABLE device ADD COLUMN online_epoch bigint NOT NULL DEFAULT 0;

-- As before; and: only the session of the last Hello makes a device online, and of what is said about one session only what
-- its latest holder says counts. A node whose lease had lapsed says once more which devices are online, because others may
-- have marked them offline: a beginning of what has begun on the node already, and has not ended, is none.
DROP FUNCTION store_presence;
CREATE FUNCTION store_presence(node integer, ids bytea[], onlines boolean[], heards bigint[], ips text[],
                               sessions bigint[], epochs bigint[], c_ids bytea[], c_sessions bigint[], c_ats bigint[],
                               c_reasons text[], c_ips text[], c_resumed boolean[], c_goodbyes text[])
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM device WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
    UPDATE device d SET
        online = CASE WHEN p.online IS NULL OR is_late THEN d.online
                      WHEN p.online THEN true
                      ELSE d.online AND p.session IS NOT NULL AND d.online_session_id IS DISTINCT FROM p.session END,
        online_session_id = CASE WHEN p.online AND NOT is_late THEN p.session ELSE d.online_session_id END,
        online_epoch = CASE WHEN p.online AND NOT is_late THEN p.epoch ELSE d.online_epoch END,
        node_id = CASE WHEN p.online AND NOT is_late THEN node ELSE d.node_id END,
        last_heard = greatest(d.last_heard, from_ms(p.heard)),
        last_ip = coalesce(p.ip, d.last_ip)
      FROM (SELECT s.*, coalesce(s.session = e.online_session_id AND s.epoch < e.online_epoch
                                 OR s.online AND s.session <> e.session_id AND s.session <> e.online_session_id, false)
                        AS is_late
              FROM unnest(ids, onlines, heards, ips, sessions, epochs) AS s (id, online, heard, ip, session, epoch)
              JOIN device e ON e.id = s.id) p
     WHERE d.id = p.id;
    IF cardinality(c_ids) = 0 THEN
        RETURN;
    END IF;
    -- what the node that had the session before began ends here
    UPDATE device_connection o SET
        ended_at = from_ms(c.at), duration_ms = greatest(0, c.at - to_ms(o.started_at)), reason = 'moved'
      FROM unnest(c_ids, c_sessions, c_ats, c_reasons) AS c (id, session, at, reason)
     WHERE c.reason IS NULL AND o.device_id = c.id AND o.session_id = c.session AND o.ended_at IS NULL
       AND o.node_id <> node AND o.started_at <= from_ms(c.at);
    INSERT INTO device_connection (device_id, session_id, started_at, ip, node_id, resumed)
    SELECT c.id, c.session, from_ms(c.at), c.ip, node, c.resumed
      FROM unnest(c_ids, c_sessions, c_ats, c_reasons, c_ips, c_resumed) AS c (id, session, at, reason, ip, resumed)
     WHERE c.reason IS NULL AND EXISTS (SELECT FROM device d WHERE d.id = c.id)
       AND NOT EXISTS (SELECT FROM device_connection o
                        WHERE o.device_id = c.id AND o.session_id = c.session AND o.node_id = node AND o.ended_at IS NULL
                          AND o.started_at <= from_ms(c.at)
                          AND NOT EXISTS (SELECT FROM unnest(c_ids, c_sessions, c_ats, c_reasons) AS e (id, session, at, reason)
                                           WHERE e.reason IS NOT NULL AND e.id = c.id AND e.session = c.session
                                             AND e.at BETWEEN to_ms(o.started_at) AND c.at))
    ON CONFLICT DO NOTHING;
    -- each end closes what of its session began before it, on this node or on those that had it before
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
    -- once for each device, not once for each of its connections
    WITH keep AS MATERIALIZED (
        SELECT id, (SELECT k.started_at FROM device_connection k WHERE k.device_id = id
                     ORDER BY k.started_at DESC OFFSET 199 LIMIT 1) AS oldest
          FROM (SELECT DISTINCT unnest(c_ids) AS id) ids
    )
    DELETE FROM device_connection o USING keep WHERE o.device_id = keep.id AND o.started_at < keep.oldest;
END $$;
