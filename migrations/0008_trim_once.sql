-- As before; and: what there are too many attempts of is looked for once a subject. Written as a subquery Postgres looked for it
-- at every row that might go: 100 rows of a subject meant 10,000 looked at each time.
CREATE OR REPLACE FUNCTION store_attempts(ats bigint[], outcomes text[], stages text[], profiles text[], alerts integer[],
                                          source_ips text[], identities text[], key_sums bytea[], tooks bigint[])
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE subjects text[];
BEGIN
    WITH said AS (
        SELECT s.*, coalesce(CASE WHEN s.identity ~ '^[0-9A-Fa-f]{24}$' THEN decode(s.identity, 'hex') END,
                             (SELECT k.device_id FROM device_key k
                               WHERE k.sha256 = s.key AND k.state = 'live' AND k.kind <> 'psk')) AS device
          FROM unnest(ats, outcomes, stages, profiles, alerts, source_ips, identities, key_sums, tooks)
               WITH ORDINALITY AS s (at, outcome, stage, profile, alert, ip, identity, key, took, ord)
    ), fresh AS (
        INSERT INTO handshake_attempt (at, subject, outcome, stage, profile, alert, ip, identity, key_sha256, device_id,
                                       took_ms)
        SELECT from_ms(at), coalesce('device ' || encode(device, 'hex'), 'key ' || encode(key, 'hex'), 'address ' || ip),
               outcome, stage, profile, alert, ip, identity, key, device, least(took, 2147483647)
          FROM said ORDER BY ord
        RETURNING subject
    )
    SELECT array_agg(DISTINCT subject) INTO subjects FROM fresh;
    WITH keep AS MATERIALIZED (
        SELECT s.subject, (SELECT k.id FROM handshake_attempt k WHERE k.subject = s.subject
                            ORDER BY k.id DESC OFFSET 19 LIMIT 1) AS oldest
          FROM unnest(subjects) AS s (subject)
    )
    DELETE FROM handshake_attempt a USING keep WHERE a.subject = keep.subject AND a.id < keep.oldest;
END $$;
