-- Campaigns: planned once, approved by somebody else, then moved on by a tick once a second. What people do is one
-- transaction with its audit row; what the tick does is one transaction a campaign, under an advisory lock that every
-- node tries. Neither walks over all devices: a pause of a million is the change of one row.

ALTER TABLE campaign ADD COLUMN verdict jsonb; -- of one that ended: what became of its devices
ALTER TABLE campaign_stage
    ADD COLUMN n_tail integer NOT NULL DEFAULT 0,      -- waiting because they are offline: they hold up nobody
    ADD COLUMN n_unhealthy integer NOT NULL DEFAULT 0, -- updated, and in safe mode when last looked at
    ADD COLUMN health_at timestamptz,
    -- where the stage ends in the order (bucket, device), from the planning; NULL: not planned
    ADD COLUMN cut_bucket integer,
    ADD COLUMN cut_device bytea;
ALTER TABLE device_update ADD COLUMN sig bigint; -- inventory class when the campaign was planned, or joined

CREATE INDEX device_update_class_due ON device_update (campaign_id, stage_ord, sig, next_at, id)
 WHERE state IN ('pending', 'waiting');
CREATE INDEX device_update_class_begun ON device_update (campaign_id, sig)
 WHERE state IN ('active', 'verifying', 'failed', 'lost');
CREATE INDEX device_update_ended ON device_update (campaign_id, stage_ord, ended_at) WHERE started_at IS NOT NULL;

-- What the planner found for each inventory class of a campaign.
CREATE TABLE campaign_class (
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    sig bigint NOT NULL,
    devices integer NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('current', 'steps', 'blocked')),
    reason text,
    detail jsonb,
    -- its binaries that can leave a device dead: bootloaders, network co-processors
    canary bigint[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (campaign_id, sig)
);
-- A device of exactly this class took this binary and said so.
CREATE TABLE class_proof (
    sig bigint NOT NULL,
    module_id bigint NOT NULL REFERENCES module_binary ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sig, module_id)
);
-- How fast a campaign starts devices, and when it looked last for devices that joined.
CREATE TABLE campaign_pace (
    campaign_id bigint PRIMARY KEY REFERENCES campaign ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    starts double precision NOT NULL DEFAULT 0, -- that may be made now
    joined_at timestamptz
);

-- --- counters ---

-- Every statement that moves updates counts them, however many and whoever wrote it.
CREATE FUNCTION count_updates(campaign bigint, stage smallint, state text, reason text, n integer)
    RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY[n,
        CASE WHEN state IN ('active', 'verifying') THEN n ELSE 0 END,
        CASE WHEN state IN ('succeeded', 'already_current') THEN n ELSE 0 END,
        CASE WHEN state = 'already_current' THEN n ELSE 0 END,
        CASE WHEN state = 'failed' THEN n ELSE 0 END,
        CASE WHEN state = 'lost' THEN n ELSE 0 END,
        CASE WHEN state = 'blocked' THEN n ELSE 0 END,
        CASE WHEN state IN ('cancelled', 'superseded', 'excluded') THEN n ELSE 0 END,
        CASE WHEN state = 'waiting' AND reason IN ('offline_since', 'offline_never_seen') THEN n ELSE 0 END];

CREATE TYPE counted_update AS (campaign_id bigint, stage_ord smallint, state text, reason text, n integer);

CREATE FUNCTION count_into_stages(rows counted_update[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s record;
BEGIN
    -- stages in their order, as everybody locks them
    FOR s IN
        SELECT r.campaign_id, r.stage_ord, sum(c[1]) AS total, sum(c[2]) AS open, sum(c[3]) AS ok, sum(c[4]) AS current,
               sum(c[5]) AS failed, sum(c[6]) AS lost, sum(c[7]) AS blocked, sum(c[8]) AS gone, sum(c[9]) AS tail,
               bool_or(r.state = 'succeeded' AND r.n > 0) AS success
          FROM unnest(rows) r, count_updates(r.campaign_id, r.stage_ord, r.state, r.reason, r.n) c
         WHERE r.campaign_id IS NOT NULL
         GROUP BY r.campaign_id, r.stage_ord ORDER BY r.campaign_id, r.stage_ord
    LOOP
        CONTINUE WHEN s.total = 0 AND s.open = 0 AND s.ok = 0 AND s.failed = 0 AND s.lost = 0 AND s.blocked = 0
                      AND s.gone = 0 AND s.tail = 0;
        UPDATE campaign_stage SET
            n_total = n_total + s.total, n_open = n_open + s.open, n_ok = n_ok + s.ok, n_current = n_current + s.current,
            n_failed = n_failed + s.failed, n_lost = n_lost + s.lost, n_blocked = n_blocked + s.blocked,
            n_gone = n_gone + s.gone, n_tail = n_tail + s.tail,
            last_success_at = CASE WHEN s.success AND s.ok > 0 THEN now() ELSE last_success_at END
         WHERE campaign_id = s.campaign_id AND ord = s.stage_ord;
    END LOOP;
END $$;

CREATE FUNCTION device_update_counted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted counted_update[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(ROW(campaign_id, stage_ord, state, reason, n)::counted_update) INTO counted
          FROM (SELECT campaign_id, stage_ord, state, reason, count(*)::integer AS n FROM came GROUP BY 1, 2, 3, 4) x;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(ROW(campaign_id, stage_ord, state, reason, -n)::counted_update) INTO counted
          FROM (SELECT campaign_id, stage_ord, state, reason, count(*)::integer AS n FROM went GROUP BY 1, 2, 3, 4) x;
    ELSE
        SELECT array_agg(ROW(campaign_id, stage_ord, state, reason, n)::counted_update) INTO counted
          FROM (SELECT campaign_id, stage_ord, state, reason, sum(n)::integer AS n
                  FROM (SELECT campaign_id, stage_ord, state, reason, 1 AS n FROM came
                        UNION ALL SELECT campaign_id, stage_ord, state, reason, -1 FROM went) both_sides
                 GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0) x;
        -- what ends takes a step with it that was only waiting; what waits holds it
        UPDATE update_step s SET
            state = CASE WHEN is_over THEN 'cancelled' ELSE s.state END, rev = s.rev + is_over::integer,
            deadline_at = CASE WHEN NOT is_over THEN s.deadline_at END, ended_at = CASE WHEN is_over THEN now() END,
            is_held = waits
          FROM came n JOIN went o ON o.id = n.id
         CROSS JOIN LATERAL (SELECT n.state NOT IN ('pending', 'waiting', 'active', 'verifying') AS is_over,
                                    n.state IN ('pending', 'waiting') AS waits) f
         WHERE n.state <> o.state AND s.update_id = n.id AND s.state IN ('ready', 'backoff') AND (is_over OR s.is_held <> waits);
    END IF;
    IF counted IS NOT NULL THEN
        PERFORM count_into_stages(counted);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER device_update_came AFTER INSERT ON device_update REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION device_update_counted();
CREATE TRIGGER device_update_went AFTER DELETE ON device_update REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION device_update_counted();
CREATE TRIGGER device_update_moved AFTER UPDATE ON device_update REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION device_update_counted();

CREATE FUNCTION class_is_proved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO class_proof (sig, module_id)
    SELECT u.sig, NEW.module_id FROM device_update u WHERE u.id = NEW.update_id AND u.sig IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER class_is_proved AFTER UPDATE OF state ON update_step FOR EACH ROW
    WHEN (NEW.state = 'verified' AND OLD.state <> 'verified') EXECUTE FUNCTION class_is_proved();

-- --- time windows ---
-- {"from": "22:00", "to": "06:00", "tz": "Europe/Berlin", "days": [1, 2]}: from wall clock to wall clock there; days, Monday
-- 1 to Sunday 7, are those it opens on. A time the change to summer skips is the one after the gap; one that comes twice
-- is the second.

CREATE FUNCTION window_times(w jsonb, day date, OUT opens timestamptz, OUT closes timestamptz) LANGUAGE sql STABLE
    RETURN ((day + (w ->> 'from')::time) AT TIME ZONE (w ->> 'tz'),
            (day + CASE WHEN (w ->> 'to')::time <= (w ->> 'from')::time THEN 1 ELSE 0 END + (w ->> 'to')::time)
                AT TIME ZONE (w ->> 'tz'));

CREATE FUNCTION window_opens_on(w jsonb, day date) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN coalesce(jsonb_array_length(w -> 'days'), 0) = 0
           OR w -> 'days' @> to_jsonb(extract(isodow FROM day)::integer);

CREATE FUNCTION window_is_open(w jsonb, at timestamptz) RETURNS boolean LANGUAGE sql STABLE
    RETURN w IS NULL OR w = 'null' OR EXISTS (
        SELECT FROM generate_series(-1, 0) back
               CROSS JOIN LATERAL (SELECT (at AT TIME ZONE (w ->> 'tz'))::date + back::integer AS day) d
               CROSS JOIN LATERAL window_times(w, d.day) t
         WHERE window_opens_on(w, d.day) AND t.opens <= at AND at < t.closes);

-- The next opening after that time. NULL: there is no window, or it never opens.
CREATE FUNCTION window_next_opening(w jsonb, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN (SELECT min(t.opens)
              FROM generate_series(-1, 8) ahead
                   CROSS JOIN LATERAL (SELECT (at AT TIME ZONE (w ->> 'tz'))::date + ahead::integer AS day) d
                   CROSS JOIN LATERAL window_times(w, d.day) t
             WHERE window_opens_on(w, d.day) AND t.opens > at AND t.closes > t.opens);

-- False for a time zone Postgres does not know.
CREATE FUNCTION is_time_zone(tz text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM now() AT TIME ZONE tz;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;

CREATE FUNCTION iso_time(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

-- --- what people do ---

-- By number or by name; a number wins, as with releases. NULL: there is none.
CREATE FUNCTION campaign_find(which text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT c.id FROM campaign c WHERE c.name = which OR c.id = CASE WHEN which ~ '^[0-9]{1,18}$' THEN which::bigint END
     ORDER BY c.name = which LIMIT 1
$$;

-- code: ok, not found, stale (rev is the current one), state (detail says what it is in), and those of each call.
CREATE TYPE campaign_result AS (code text, id bigint, rev integer, detail text);

CREATE FUNCTION campaign_told(c campaign, who text, action text, was text, because text, more jsonb) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO audit (actor, action, target, before, after, reason)
    VALUES (who, 'campaign.' || action, 'campaign/' || c.id, jsonb_build_object('state', was),
            jsonb_build_object('state', c.state, 'rev', c.rev) || coalesce(more, '{}'), because);
    INSERT INTO update_event (campaign_id, actor, kind, from_state, to_state, detail)
    VALUES (c.id, who, 'campaign', was, c.state,
            jsonb_strip_nulls(jsonb_build_object('action', action, 'reason', because) || coalesce(more, '{}')))
$$;

-- stages: [{"name":, "percent":, "max_devices":, "gate": {..}}, ..]. codes: release (no such published one), name (taken),
-- key (used with another body). key NULL: none.
CREATE FUNCTION campaign_create(who text, key_text text, body_sha256 bytea, new_name text, which_release text, sel jsonb,
                                stages jsonb, new_limits jsonb, new_mode text, new_dynamic boolean)
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    r release;
    k idempotency_key;
BEGIN
    DELETE FROM idempotency_key WHERE at < now() - interval '7 days';
    IF key_text IS NOT NULL THEN
        INSERT INTO idempotency_key (actor, key, request_sha256) VALUES (who, key_text, body_sha256)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT * INTO k FROM idempotency_key WHERE actor = who AND key = key_text;
            IF k.request_sha256 <> body_sha256 THEN
                RETURN ROW('key', NULL, NULL, NULL)::campaign_result;
            END IF;
            RETURN ROW('ok', (k.response ->> 'id')::bigint, NULL, 'again')::campaign_result;
        END IF;
    END IF;
    SELECT * INTO r FROM release WHERE id = release_find(which_release);
    IF NOT FOUND OR r.state <> 'published' THEN
        DELETE FROM idempotency_key WHERE actor = who AND key = key_text;
        RETURN ROW('release', NULL, NULL, r.state)::campaign_result;
    END IF;
    IF NOT is_time_zone(coalesce(new_limits #>> '{window,tz}', 'UTC')) THEN
        DELETE FROM idempotency_key WHERE actor = who AND key = key_text;
        RETURN ROW('time zone', NULL, NULL, new_limits #>> '{window,tz}')::campaign_result;
    END IF;
    INSERT INTO campaign (name, release_id, selector, limits, mode, is_dynamic, created_by)
    VALUES (new_name, r.id, sel, new_limits, new_mode, new_dynamic, who) ON CONFLICT (name) DO NOTHING RETURNING * INTO c;
    IF NOT FOUND THEN
        DELETE FROM idempotency_key WHERE actor = who AND key = key_text;
        RETURN ROW('name', NULL, NULL, NULL)::campaign_result;
    END IF;
    INSERT INTO campaign_stage (campaign_id, ord, name, percent, max_devices, gate)
    SELECT c.id, (s.ord - 1)::smallint, s.body ->> 'name', (s.body ->> 'percent')::numeric,
           (s.body ->> 'max_devices')::integer, s.body -> 'gate'
      FROM jsonb_array_elements(stages) WITH ORDINALITY AS s (body, ord);
    UPDATE idempotency_key SET status = 201, response = jsonb_build_object('id', c.id) WHERE actor = who AND key = key_text;
    PERFORM campaign_told(c, who, 'create', NULL, NULL,
                          jsonb_build_object('name', new_name, 'release', r.name, 'selector', sel, 'stages', stages,
                                             'limits', new_limits, 'mode', new_mode, 'dynamic', new_dynamic));
    RETURN ROW('ok', c.id, c.rev, NULL)::campaign_result;
END $$;

-- What approval of a plan is for: what it would do by rules as they are.
CREATE FUNCTION rules_fingerprint() RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT encode(sha256(convert_to(coalesce(string_agg(format('%s;%s;%s;%s', code, platform_id, kind, body), ';'
                   ORDER BY code), ''), 'UTF8')), 'hex') FROM transition_rule WHERE enabled);

CREATE FUNCTION device_bucket(seed bigint, dev bytea) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((hashtextextended(encode(dev, 'hex'), seed) & 9223372036854775807) % 100000)::integer;

-- How far the fleet went away from the plan: members that came, that do not fit any more, and whose class changed. A slice of it,
-- in the order of ids; last: NULL when there were no more.
CREATE FUNCTION campaign_drift_slice(which bigint, past bytea, most integer, OUT last bytea, OUT planned bigint, OUT drifted bigint)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    c campaign;
    cut integer;
    ids bytea[];
BEGIN
    SELECT * INTO c FROM campaign WHERE id = which;
    SELECT max(cut_bucket) INTO cut FROM campaign_stage WHERE campaign_id = which;
    SELECT array_agg(m.id ORDER BY m.id) INTO ids
      FROM (SELECT id FROM selected_devices(c.selector) m WHERE m.id > past ORDER BY m.id LIMIT most) m;
    last := CASE WHEN cardinality(ids) = most THEN ids[most] END;
    SELECT count(f.device_id), count(*) FILTER (WHERE f.device_id IS NULL AND device_bucket(c.seed, n.id) < cut
                                                   OR f.device_id IS NOT NULL AND (n.id IS NULL OR n.sig <> f.sig))
      INTO planned, drifted
      FROM (SELECT device_id, sig FROM device_update
             WHERE campaign_id = which AND device_id > past AND (last IS NULL OR device_id <= last)) f
           FULL JOIN (SELECT d.id, d.sig FROM unnest(ids) i JOIN device d ON d.id = i) n ON n.id = f.device_id;
END $$;

-- planned, drifted: of a start, how far the fleet went away (campaign_drift_slice); NULL: not looked at yet, which is answered
-- with code `look` when nothing else stands in the way.
-- Everything of campaigns that is a word: submit, approve, start, pause, resume, abort, archive. One row changes, whatever
-- the size. codes: own (approval by the author), hash (of another plan), drift, rules, withdrawn, window.
CREATE FUNCTION campaign_act(which bigint, word text, was_rev integer, who text, because text, for_hash bytea,
                             single_operator boolean, planned bigint, drifted bigint)
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    was text;
    becomes text;
BEGIN
    SELECT * INTO c FROM campaign WHERE id = which FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL, NULL)::campaign_result;
    ELSIF c.rev <> was_rev THEN
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    END IF;
    was := c.state;
    becomes := CASE word
        WHEN 'submit' THEN CASE WHEN was = 'planned' THEN 'awaiting_approval' END
        WHEN 'approve' THEN CASE WHEN was = 'awaiting_approval' THEN 'approved' END
        WHEN 'start' THEN CASE WHEN was = 'approved' OR single_operator AND was IN ('planned', 'awaiting_approval')
                               THEN 'running' END
        WHEN 'pause' THEN CASE WHEN was = 'running' OR was = 'paused' AND c.pause_reason = 'window' THEN 'paused' END
        WHEN 'resume' THEN CASE WHEN was = 'paused' THEN 'running' END
        WHEN 'abort' THEN CASE WHEN was IN ('draft', 'planned', 'awaiting_approval', 'approved', 'running', 'paused')
                               THEN 'aborting' END
        WHEN 'archive' THEN CASE WHEN was IN ('aborted', 'completed') THEN 'archived' END
        END;
    IF becomes IS NULL THEN
        RETURN ROW('state', which, c.rev, was)::campaign_result;
    END IF;
    IF word IN ('approve', 'start') AND for_hash IS NOT NULL AND for_hash <> c.plan_hash THEN
        RETURN ROW('hash', which, c.rev, NULL)::campaign_result;
    ELSIF word = 'approve' AND c.created_by = who AND NOT single_operator THEN
        RETURN ROW('own', which, c.rev, NULL)::campaign_result;
    ELSIF word = 'resume' AND c.pause_reason = 'window' AND NOT window_is_open(c.limits -> 'window', now()) THEN
        RETURN ROW('window', which, c.rev, iso_time(window_next_opening(c.limits -> 'window', now())))::campaign_result;
    ELSIF word = 'start' THEN
        IF was = 'approved' AND c.approved_hash IS DISTINCT FROM c.plan_hash THEN
            RETURN ROW('hash', which, c.rev, NULL)::campaign_result;
        ELSIF campaign_withdrawn(c.release_id) IS NOT NULL THEN
            RETURN ROW('withdrawn', which, c.rev, campaign_withdrawn(c.release_id))::campaign_result;
        ELSIF c.plan_summary ->> 'rules' IS DISTINCT FROM rules_fingerprint() THEN
            RETURN ROW('rules', which, c.rev, NULL)::campaign_result;
        END IF;
        IF planned IS NULL THEN
            RETURN ROW('look', which, c.rev, NULL)::campaign_result;
        ELSIF drifted * 50 > planned THEN -- more than 2 %
            RETURN ROW('drift', which, c.rev, format('%s of %s', drifted, planned))::campaign_result;
        END IF;
    END IF;
    UPDATE campaign SET
        state = becomes, rev = rev + 1,
        pause_reason = CASE WHEN becomes = 'paused' THEN 'operator' END,
        why = CASE WHEN word IN ('pause', 'abort') THEN coalesce(because, 'Asked for by ' || who || '.') END,
        approved_by = CASE WHEN word = 'approve' OR word = 'start' AND was <> 'approved' THEN who ELSE approved_by END,
        approved_hash = CASE WHEN word = 'approve' OR word = 'start' AND was <> 'approved' THEN plan_hash
                             ELSE approved_hash END,
        started_at = coalesce(started_at, CASE WHEN word = 'start' THEN now() END)
     WHERE id = which RETURNING * INTO c;
    IF word = 'start' THEN
        INSERT INTO campaign_pace (campaign_id) VALUES (which) ON CONFLICT (campaign_id) DO UPDATE SET at = now(), starts = 0;
    END IF;
    PERFORM campaign_told(c, who, word, was, because,
                          CASE WHEN word = 'approve' THEN jsonb_build_object('plan_hash', encode(c.plan_hash, 'hex')) END);
    RETURN ROW('ok', which, c.rev, NULL)::campaign_result;
END $$;

-- Why the release of a campaign may not be sent any more; NULL: it may.
CREATE FUNCTION campaign_withdrawn(which_release bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN r.state <> 'published' THEN format('Release %s was withdrawn%s', r.name, coalesce(': ' || r.withdrawn_reason, '.'))
                ELSE (SELECT format('Module %s of release %s was withdrawn%s', m.id, r.name, coalesce(': ' || m.withdrawn_reason, '.'))
                        FROM release_module t JOIN module_binary m ON m.id = t.module_id
                       WHERE t.release_id = r.id AND t.role = 'target' AND m.status = 'withdrawn' LIMIT 1) END
      FROM release r WHERE r.id = which_release
$$;

-- Serialises what moves many devices of a campaign with its tick.
CREATE FUNCTION campaign_lock(which bigint) RETURNS void LANGUAGE sql
    AS $$ SELECT pg_advisory_xact_lock(3001, (which % 2147483647)::integer) $$;

-- resume: lets a held stage pass. skip: goes on without it; its devices that were not begun follow behind. widen: takes
-- devices of the next stage. codes: stage (no such), stage state, wider (not wider than it is, or than the next allows).
CREATE FUNCTION campaign_stage_act(which bigint, stage integer, word text, was_rev integer, who text, because text,
                                   new_percent numeric, new_max integer)
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    g campaign_stage;
    after campaign_stage;
    moved integer := 0;
BEGIN
    PERFORM campaign_lock(which);
    SELECT * INTO c FROM campaign WHERE id = which FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL, NULL)::campaign_result;
    ELSIF c.rev <> was_rev THEN
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    ELSIF c.state NOT IN ('running', 'paused') THEN
        RETURN ROW('state', which, c.rev, c.state)::campaign_result;
    END IF;
    SELECT * INTO g FROM campaign_stage WHERE campaign_id = which AND ord = stage FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('stage', which, c.rev, NULL)::campaign_result;
    ELSIF g.state <> 'held' AND word = 'resume'
          OR g.state NOT IN ('pending', 'running', 'soaking', 'held') AND word = 'skip'
          OR g.state NOT IN ('running', 'soaking', 'held') AND word = 'widen' THEN
        RETURN ROW('stage state', which, c.rev, g.state)::campaign_result;
    END IF;
    IF word = 'widen' THEN
        SELECT * INTO after FROM campaign_stage WHERE campaign_id = which AND ord = stage + 1 FOR NO KEY UPDATE;
        IF NOT FOUND OR after.state <> 'pending' OR (new_percent IS NULL) = (new_max IS NULL)
           OR new_percent IS NOT NULL AND (new_percent <= g.percent OR new_percent > coalesce(after.percent, 100)) THEN
            RETURN ROW('wider', which, c.rev, NULL)::campaign_result;
        END IF;
        WITH chosen AS MATERIALIZED (
            SELECT id FROM device_update
             WHERE campaign_id = which AND stage_ord = stage + 1 AND state IN ('pending', 'waiting')
               AND (new_percent IS NULL OR bucket < new_percent * 1000)
             ORDER BY bucket, device_id LIMIT CASE WHEN new_max IS NOT NULL THEN greatest(0, new_max - g.n_total) END
        )
        UPDATE device_update u SET stage_ord = stage FROM chosen WHERE u.id = chosen.id;
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved = 0 THEN
            RETURN ROW('wider', which, c.rev, NULL)::campaign_result;
        END IF;
    END IF;
    UPDATE campaign_stage SET
        rev = rev + 1,
        state = CASE word WHEN 'resume' THEN 'passed' WHEN 'skip' THEN 'skipped' ELSE 'running' END,
        percent = coalesce(new_percent, percent),
        max_devices = CASE WHEN new_max IS NOT NULL THEN new_max WHEN new_percent IS NOT NULL THEN NULL ELSE max_devices END,
        ended_at = CASE WHEN word <> 'widen' THEN now() END,
        soak_until = NULL,
        verdict = coalesce(verdict, '{}') || CASE word
            WHEN 'resume' THEN jsonb_build_object('state', 'resumed', 'by', who, 'reason', because, 'sentence',
                format('Let pass by %s%s Before: %s', who, coalesce(': ' || because, '.'), verdict ->> 'sentence'))
            WHEN 'skip' THEN jsonb_build_object('state', 'skipped', 'by', who, 'reason', because, 'sentence',
                format('Skipped by %s%s', who, coalesce(': ' || because, '.')))
            ELSE jsonb_build_object('state', 'running', 'sentence', format('Widened by %s devices by %s.', moved, who)) END
     WHERE campaign_id = which AND ord = stage;
    UPDATE campaign SET rev = rev + 1, why = NULL WHERE id = which RETURNING * INTO c;
    PERFORM campaign_told(c, who, 'stage.' || word, c.state, because,
                          jsonb_build_object('stage', stage, 'was', g.state, 'moved', moved));
    RETURN ROW('ok', which, c.rev, NULL)::campaign_result;
END $$;

-- Devices that ended for one of these reasons (or in one of these states) begin anew. The one way out of an end.
CREATE FUNCTION campaign_retry(which bigint, was_rev integer, who text, because text, reasons text[])
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    again integer;
BEGIN
    PERFORM campaign_lock(which);
    SELECT * INTO c FROM campaign WHERE id = which FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL, NULL)::campaign_result;
    ELSIF c.rev <> was_rev THEN
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    ELSIF c.state NOT IN ('running', 'paused') THEN
        RETURN ROW('state', which, c.rev, c.state)::campaign_result;
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT id, state FROM device_update
         WHERE campaign_id = which AND state IN ('failed', 'lost', 'blocked') AND (reason = ANY (reasons) OR state = ANY (reasons))
         ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE device_update u SET state = 'pending', rev = rev + 1, reason = NULL, detail = NULL, disrupts = false,
               ended_at = NULL, started_at = NULL, next_at = now()
          FROM chosen WHERE u.id = chosen.id RETURNING u.id, u.device_id, chosen.state AS was
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
        SELECT which, id, device_id, who, 'update', was, 'pending', jsonb_build_object('action', 'retry') FROM moved
    )
    SELECT count(*) INTO again FROM moved;
    UPDATE campaign SET rev = rev + 1 WHERE id = which RETURNING * INTO c;
    PERFORM campaign_told(c, who, 'retry', c.state, because, jsonb_build_object('reasons', reasons, 'devices', again));
    RETURN ROW('ok', which, c.rev, again)::campaign_result;
END $$;

-- Takes devices out that were not begun, and acknowledges lost ones. detail: how many.
CREATE FUNCTION campaign_exclude(which bigint, was_rev integer, who text, because text, devices bytea[])
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    out_count integer;
    seen_count integer;
BEGIN
    PERFORM campaign_lock(which);
    SELECT * INTO c FROM campaign WHERE id = which FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL, NULL)::campaign_result;
    ELSIF c.rev <> was_rev THEN
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    ELSIF c.state IN ('aborting', 'aborted', 'completed', 'archived') THEN
        RETURN ROW('state', which, c.rev, c.state)::campaign_result;
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT id, state FROM device_update
         WHERE campaign_id = which AND device_id = ANY (devices) AND state IN ('pending', 'waiting')
         ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE device_update u SET state = 'excluded', rev = rev + 1, reason = NULL, ended_at = now()
          FROM chosen WHERE u.id = chosen.id RETURNING u.id, u.device_id, chosen.state AS was
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state)
        SELECT which, id, device_id, who, 'update', was, 'excluded' FROM moved
    )
    SELECT count(*) INTO out_count FROM moved;
    UPDATE device_update SET disrupts = false
     WHERE campaign_id = which AND device_id = ANY (devices) AND state = 'lost' AND disrupts;
    GET DIAGNOSTICS seen_count = ROW_COUNT;
    UPDATE campaign SET rev = rev + 1 WHERE id = which RETURNING * INTO c;
    PERFORM campaign_told(c, who, 'exclude', c.state, because,
                          jsonb_build_object('devices', cardinality(devices), 'excluded', out_count, 'acknowledged', seen_count));
    RETURN ROW('ok', which, c.rev, out_count + seen_count)::campaign_result;
END $$;

-- --- planning ---
-- In slices, so that a million devices never are one statement: begin, clear until 0, slices until the last, finish. Until
-- then the campaign is a draft.

-- classes: [{"sig":, "devices":, "outcome":, "reason":, "detail":, "canary": [module ids]}, ..]
CREATE FUNCTION campaign_put_classes(which bigint, classes jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO campaign_class (campaign_id, sig, devices, outcome, reason, detail, canary)
    SELECT which, sig, devices, outcome, reason, detail, coalesce(canary, '{}')
      FROM jsonb_to_recordset(classes) AS k (sig bigint, devices integer, outcome text, reason text, detail jsonb,
                                             canary bigint[])
    ON CONFLICT (campaign_id, sig) DO NOTHING
$$;

CREATE FUNCTION campaign_plan_begin(which bigint, was_rev integer, who text, classes jsonb) RETURNS campaign_result
    LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    g record;
    was text;
BEGIN
    PERFORM campaign_lock(which);
    SELECT * INTO c FROM campaign WHERE id = which FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN ROW('not found', NULL, NULL, NULL)::campaign_result;
    ELSIF c.rev <> was_rev THEN
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    ELSIF c.state NOT IN ('draft', 'planned', 'awaiting_approval', 'approved') THEN
        RETURN ROW('state', which, c.rev, c.state)::campaign_result;
    END IF;
    was := c.state;
    DELETE FROM campaign_class WHERE campaign_id = which;
    PERFORM campaign_put_classes(which, classes);
    FOR g IN SELECT ord, percent, max_devices FROM campaign_stage WHERE campaign_id = which ORDER BY ord LOOP
        UPDATE campaign_stage s SET
            cut_bucket = coalesce((g.percent * 1000)::integer, nth.bucket, 100001), cut_device = coalesce(nth.id, '')
          FROM (SELECT) one LEFT JOIN LATERAL (
                SELECT device_bucket(c.seed, m.id) AS bucket, m.id FROM selected_devices(c.selector) m
                 WHERE g.percent IS NULL ORDER BY 1, 2 OFFSET g.max_devices LIMIT 1) nth ON true
         WHERE s.campaign_id = which AND s.ord = g.ord;
    END LOOP;
    UPDATE campaign SET state = 'draft', rev = rev + 1, plan_hash = NULL, plan_summary = NULL, planned_at = NULL,
                        approved_by = NULL, approved_hash = NULL
     WHERE id = which RETURNING * INTO c;
    IF was <> 'draft' THEN
        PERFORM campaign_told(c, who, 'plan.begin', was, NULL, NULL);
    END IF;
    RETURN ROW('ok', which, c.rev, NULL)::campaign_result;
END $$;

-- How many rows of an earlier plan it took away.
CREATE FUNCTION campaign_plan_clear(which bigint, at_rev integer, most integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    DELETE FROM device_update WHERE id IN (
        SELECT u.id FROM device_update u JOIN campaign c ON c.id = u.campaign_id
         WHERE u.campaign_id = which AND c.rev = at_rev AND c.state = 'draft' LIMIT most);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;

-- The next devices after `past`, in the order of ids. last: NULL when there were no more. hash: of the members so far; NULL: the
-- campaign has another rev by now. unplanned: those of a class that came since the planner was asked, which are left out.
CREATE FUNCTION campaign_plan_slice(which bigint, at_rev integer, past bytea, most integer, hash_before bytea,
                                    OUT last bytea, OUT hash bytea, OUT unplanned integer) LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    last_hex text;
BEGIN
    SELECT * INTO c FROM campaign WHERE id = which AND rev = at_rev AND state = 'draft' FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH slice AS MATERIALIZED (
        SELECT m.id, device_bucket(c.seed, m.id) AS bucket, m.sig, m.online, m.last_heard FROM selected_devices(c.selector) m
         WHERE m.id > past ORDER BY m.id LIMIT most
    ), placed AS MATERIALIZED (
        SELECT s.*, k.outcome, k.reason, k.detail, g.ord
          FROM slice s LEFT JOIN campaign_class k ON k.campaign_id = which AND k.sig = s.sig
               LEFT JOIN LATERAL (SELECT ord FROM campaign_stage g
                                   WHERE g.campaign_id = which AND (s.bucket, s.id) < (g.cut_bucket, g.cut_device)
                                   ORDER BY ord LIMIT 1) g ON true
    ), put AS (
        INSERT INTO device_update (kind, campaign_id, stage_ord, release_id, device_id, state, reason, detail, bucket, sig,
                                   requested_by, next_at, ended_at)
        SELECT 'campaign', which, p.ord, c.release_id, p.id, f.state,
               CASE WHEN f.state = 'blocked' THEN p.reason WHEN f.state <> 'waiting' THEN NULL
                    WHEN p.last_heard IS NULL THEN 'offline_never_seen' ELSE 'offline_since' END,
               CASE WHEN f.state = 'blocked' THEN p.detail END, p.bucket, p.sig, c.created_by,
               now() + CASE WHEN f.state = 'waiting' THEN interval '1 hour' ELSE interval '0' END,
               CASE WHEN f.state IN ('blocked', 'already_current') THEN now() END
          FROM placed p CROSS JOIN LATERAL (
               SELECT CASE WHEN p.outcome = 'current' THEN 'already_current'
                           WHEN p.outcome = 'blocked' AND p.reason <> 'unknown_inventory' THEN 'blocked'
                           WHEN p.online THEN 'pending' ELSE 'waiting' END AS state) f
         WHERE p.ord IS NOT NULL AND p.outcome IS NOT NULL
    )
    SELECT max(encode(id, 'hex')), count(*) FILTER (WHERE outcome IS NULL),
           sha256(coalesce(hash_before, '') || coalesce(string_agg(id || int2send(coalesce(ord, -1::smallint)), '' ORDER BY id), ''))
      INTO last_hex, unplanned, hash FROM placed;
    last := decode(last_hex, 'hex');
END $$;

CREATE FUNCTION campaign_plan_finish(which bigint, at_rev integer, who text, because text, summary jsonb, members bytea)
    RETURNS campaign_result LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    rules text := rules_fingerprint();
BEGIN
    UPDATE campaign cc SET
        state = 'planned', rev = rev + 1, planned_at = now(), plan_summary = summary || jsonb_build_object('rules', rules),
        plan_hash = sha256(members || decode(rules, 'hex') || convert_to(concat_ws(E'\n', release_id, selector, limits, mode,
            (SELECT string_agg(format('%s;%s;%s', t.module_id, t.role, encode(m.sha256, 'hex')), ';' ORDER BY t.module_id)
               FROM release_module t JOIN module_binary m ON m.id = t.module_id WHERE t.release_id = cc.release_id),
            (SELECT string_agg(format('%s;%s;%s;%s', ord, percent, max_devices, gate), ';' ORDER BY ord)
               FROM campaign_stage g WHERE g.campaign_id = which),
            (SELECT string_agg(format('%s;%s;%s;%s', sig, outcome, reason, detail -> 'steps'), ';' ORDER BY sig)
               FROM campaign_class k WHERE k.campaign_id = which)), 'UTF8'))
     WHERE id = which AND rev = at_rev AND state = 'draft' RETURNING * INTO c;
    IF NOT FOUND THEN
        SELECT * INTO c FROM campaign WHERE id = which;
        RETURN ROW('stale', which, c.rev, NULL)::campaign_result;
    END IF;
    PERFORM campaign_told(c, who, 'plan', 'draft', because, jsonb_build_object('plan_hash', encode(c.plan_hash, 'hex')));
    RETURN ROW('ok', which, c.rev, NULL)::campaign_result;
END $$;

-- Devices that came to fit a dynamic campaign, of classes it has a plan for, join its first open stage. How many.
CREATE FUNCTION campaign_join(which bigint, classes jsonb, most integer, who text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    stage smallint;
    n integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(3001, (which % 2147483647)::integer) THEN
        RETURN 0;
    END IF;
    SELECT * INTO c FROM campaign WHERE id = which AND state = 'running' AND is_dynamic;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT ord INTO stage FROM campaign_stage
     WHERE campaign_id = which AND state IN ('running', 'soaking', 'held', 'passed', 'skipped')
     ORDER BY state IN ('running', 'soaking', 'held') DESC,
              CASE WHEN state IN ('running', 'soaking', 'held') THEN ord ELSE -ord END LIMIT 1;
    UPDATE campaign_pace SET joined_at = now() WHERE campaign_id = which;
    PERFORM campaign_put_classes(which, classes);
    WITH put AS (
        INSERT INTO device_update (kind, campaign_id, stage_ord, release_id, device_id, bucket, sig, state, reason, detail,
                                   requested_by, next_at, ended_at)
        SELECT 'campaign', which, stage, c.release_id, d.id, device_bucket(c.seed, d.id), d.sig, f.state,
               CASE WHEN f.state = 'blocked' THEN k.reason WHEN f.state <> 'waiting' THEN NULL
                    WHEN d.last_heard IS NULL THEN 'offline_never_seen' ELSE 'offline_since' END,
               CASE WHEN f.state = 'blocked' THEN k.detail END, c.created_by,
               now() + CASE WHEN f.state = 'waiting' THEN interval '1 hour' ELSE interval '0' END,
               CASE WHEN f.state IN ('blocked', 'already_current') THEN now() END
          FROM selected_devices(c.selector) d
               JOIN campaign_class k ON k.campaign_id = which AND k.sig = d.sig
               CROSS JOIN LATERAL (
               SELECT CASE WHEN k.outcome = 'current' THEN 'already_current'
                           WHEN k.outcome = 'blocked' AND k.reason <> 'unknown_inventory' THEN 'blocked'
                           WHEN d.online THEN 'pending' ELSE 'waiting' END AS state) f
         WHERE stage IS NOT NULL
           AND NOT EXISTS (SELECT FROM device_update u WHERE u.campaign_id = which AND u.device_id = d.id)
         LIMIT most
        ON CONFLICT (campaign_id, device_id) DO NOTHING
        RETURNING id, device_id, state
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
        SELECT which, id, device_id, who, 'update', NULL, state, jsonb_build_object('action', 'join', 'stage', stage) FROM put
    )
    SELECT count(*) INTO n FROM put;
    RETURN n;
END $$;

-- --- the tick ---

-- A stage enters a state, with its event; its sentence is that of the campaign when it holds it up.
CREATE FUNCTION stage_enter(which bigint, stage smallint, was text, becomes text, who text, said jsonb) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO update_event (campaign_id, actor, kind, from_state, to_state, detail)
    VALUES (which, who, 'stage', was, becomes, coalesce(said, '{}') || jsonb_build_object('stage', stage))
$$;

CREATE FUNCTION campaign_enter(c campaign, becomes text, why_paused text, sentence text, who text) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE campaign SET state = becomes, rev = rev + 1, pause_reason = why_paused, why = sentence,
           ended_at = CASE WHEN becomes IN ('aborted', 'completed') THEN now() ELSE ended_at END
     WHERE id = c.id AND state = c.state AND rev = c.rev;
    IF NOT FOUND THEN
        RETURN false; -- a person was faster
    END IF;
    INSERT INTO update_event (campaign_id, actor, kind, from_state, to_state, detail)
    VALUES (c.id, who, 'campaign', c.state, becomes, jsonb_strip_nulls(jsonb_build_object('pause_reason', why_paused, 'sentence', sentence)));
    INSERT INTO audit (actor, action, target, before, after, reason)
    VALUES (who, 'campaign.' || becomes, 'campaign/' || c.id, jsonb_build_object('state', c.state),
            jsonb_build_object('state', becomes, 'rev', c.rev + 1), sentence);
    RETURN true;
END $$;

-- What the gates said (gate.c) of stages as they were counted: a stage that was counted otherwise meanwhile is looked at
-- again in a second; only a stop does not wait for that. verdicts: [{"ord":, "rev":, "kind":, "admits":, "sentence":,
-- "ok":, "failed":, "lost":, "open":, "tail":, "gone":, "blocked":, ..}].
CREATE FUNCTION campaign_judge(c campaign, verdicts jsonb, who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v record;
    g campaign_stage;
    said jsonb;
BEGIN
    FOR v IN SELECT j.*, e.body
               FROM jsonb_array_elements(verdicts) e (body),
                    jsonb_to_record(e.body) AS j (ord smallint, rev integer, kind text, sentence text, ok integer, failed integer,
                                                  lost integer, open integer, tail integer, gone integer, blocked integer)
              ORDER BY j.ord LOOP
        SELECT * INTO g FROM campaign_stage
         WHERE campaign_id = c.id AND ord = v.ord AND rev = v.rev AND state IN ('running', 'soaking', 'held', 'passed')
           FOR NO KEY UPDATE;
        CONTINUE WHEN NOT FOUND;
        said := (v.body - 'ord' - 'rev' - 'kind') || jsonb_build_object('state', v.kind);
        IF v.kind = 'failed' THEN
            UPDATE campaign_stage SET state = 'failed', rev = rev + 1, verdict = said, ended_at = now()
             WHERE campaign_id = c.id AND ord = v.ord;
            PERFORM stage_enter(c.id, v.ord, g.state, 'failed', who, said);
            RETURN v.sentence;
        END IF;
        CONTINUE WHEN g.state = 'passed'; -- whatever comes of its tail but a stop
        CONTINUE WHEN (g.n_ok, g.n_failed, g.n_lost, g.n_open, g.n_tail, g.n_gone, g.n_blocked)
                      IS DISTINCT FROM (v.ok, v.failed, v.lost, v.open, v.tail, v.gone, v.blocked);
        IF v.kind IN ('soaking', 'passed') AND (g.health_at IS NULL OR g.health_at < g.last_success_at
                                                OR g.health_at < now() - interval '30 s') THEN
            UPDATE campaign_stage SET health_at = now(), n_unhealthy =
                   (SELECT count(*) FROM device d JOIN device_update u ON u.campaign_id = c.id AND u.device_id = d.id
                     WHERE d.status = 'safe_mode' AND u.stage_ord = v.ord AND u.state = 'succeeded')
             WHERE campaign_id = c.id AND ord = v.ord;
            CONTINUE; -- and judged with what was found
        END IF;
        CONTINUE WHEN g.state = v.kind AND g.verdict ->> 'sentence' IS NOT DISTINCT FROM v.sentence;
        UPDATE campaign_stage SET
            state = v.kind, rev = rev + CASE WHEN state <> v.kind THEN 1 ELSE 0 END, verdict = said,
            soak_until = CASE WHEN v.kind = 'soaking' THEN coalesce(last_success_at, now())
                                   + coalesce((gate ->> 'soak_s')::bigint, 0) * interval '1 s' END,
            ended_at = CASE WHEN v.kind = 'passed' THEN now() END
         WHERE campaign_id = c.id AND ord = v.ord;
        IF g.state <> v.kind THEN
            PERFORM stage_enter(c.id, v.ord, g.state, v.kind, who, said);
            UPDATE campaign SET why = CASE WHEN v.kind = 'held' THEN v.sentence END WHERE id = c.id;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- One after the other: the next stage is open when none is.
CREATE FUNCTION campaign_open_stage(which bigint, who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stage smallint;
BEGIN
    IF EXISTS (SELECT FROM campaign_stage WHERE campaign_id = which AND state IN ('running', 'soaking', 'held', 'failed')) THEN
        RETURN;
    END IF;
    UPDATE campaign_stage SET state = 'running', rev = rev + 1, started_at = now()
     WHERE campaign_id = which AND ord = (SELECT min(ord) FROM campaign_stage WHERE campaign_id = which AND state = 'pending')
    RETURNING ord INTO stage;
    IF stage IS NOT NULL THEN
        PERFORM stage_enter(which, stage, 'pending', 'running', who, NULL);
    END IF;
END $$;

-- How many devices may start now by the pace of the campaign; NULL: as many as come. The bucket holds ten seconds' worth,
-- and is empty at the start: the pace begins slowly.
CREATE FUNCTION campaign_starts(c campaign) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    per_min double precision := (c.limits ->> 'start_per_min')::double precision;
    left_over double precision;
BEGIN
    IF per_min IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE campaign_pace SET
        starts = least(greatest(per_min / 6, 1), starts + per_min / 60 * extract(epoch FROM clock_timestamp() - at)),
        at = clock_timestamp()
     WHERE campaign_id = c.id RETURNING starts INTO left_over;
    RETURN floor(left_over)::integer;
END $$;

-- Places that are free: transfers and disruption. Devices of which nothing moves (in backoff, gone offline) hold none.
CREATE FUNCTION campaign_places(c campaign) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT greatest(0, least(
        coalesce((c.limits ->> 'transfers')::bigint, 100) - (
            SELECT count(*) FROM device_update u LEFT JOIN device d ON d.id = u.device_id
                   LEFT JOIN update_step s ON s.update_id = u.id AND s.state IN ('ready', 'claimed', 'starting', 'transferring',
                                                                                'finishing', 'rebooting', 'describing', 'backoff')
             WHERE u.campaign_id = c.id AND u.state = 'active'
               AND (s.state IN ('claimed', 'starting', 'transferring', 'finishing')
                    OR d.online AND (s.id IS NULL OR s.state IN ('ready', 'backoff') AND s.next_at <= now()))),
        coalesce((c.limits ->> 'disruption')::bigint, 1000000000) - (
            SELECT count(*) FROM device_update u WHERE u.campaign_id = c.id AND u.disrupts)))::integer
$$;

-- Places of a class: all, once one of its devices took what is dangerous; else 1 % of it, at least one. Devices that failed
-- or were lost keep theirs.
CREATE FUNCTION class_places(which bigint, class_sig bigint, class_devices integer, canary bigint[]) RETURNS integer
    LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN NOT EXISTS (SELECT FROM unnest(canary) m
                                  WHERE NOT EXISTS (SELECT FROM class_proof p WHERE p.sig = class_sig AND p.module_id = m))
                THEN 1000000000
                ELSE greatest(1, class_devices / 100) - (SELECT count(*) FROM device_update u
                      WHERE u.campaign_id = which AND u.sig = class_sig AND u.state IN ('active', 'verifying', 'failed', 'lost'))
                END::integer
$$;

-- Lets devices of open stages go, as many as there are places: earlier stages first, who waited longest first. The offline
-- ones on the way are put aside until they come. How many may go.
CREATE FUNCTION campaign_admit(c campaign, most integer, who text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    room integer := least(campaign_places(c), campaign_starts(c), most);
    admitted integer;
BEGIN
    IF room <= 0 THEN
        RETURN 0;
    END IF;
    WITH stages AS MATERIALIZED (
        SELECT ord FROM campaign_stage
         WHERE campaign_id = c.id AND (state IN ('running', 'soaking', 'passed', 'skipped')
                                       OR state = 'held' AND (verdict ->> 'admits')::boolean)
    ), classes AS MATERIALIZED (
        SELECT k.sig, class_places(c.id, k.sig, k.devices, k.canary) AS places
          FROM campaign_class k WHERE k.campaign_id = c.id
    ), due AS MATERIALIZED (
        SELECT u.*, g.ord, k.places
          FROM stages g CROSS JOIN classes k CROSS JOIN LATERAL (
               SELECT u.id, u.rev, u.device_id, u.state, u.reason, u.next_at, u.sig FROM device_update u
                WHERE u.campaign_id = c.id AND u.stage_ord = g.ord AND u.sig = k.sig AND u.state IN ('pending', 'waiting')
                  AND u.next_at <= now()
                ORDER BY u.next_at, u.id LIMIT least(k.places, room) + 100 FOR UPDATE SKIP LOCKED) u
         WHERE k.places > 0
         ORDER BY g.ord LIMIT 3000
    ), looked AS MATERIALIZED (
        SELECT due.*, CASE
            WHEN d.id IS NULL THEN 'excluded'
            WHEN d.quarantined THEN 'quarantined'
            WHEN NOT d.online THEN CASE WHEN d.last_heard IS NULL THEN 'offline_never_seen' ELSE 'offline_since' END
            WHEN EXISTS (SELECT FROM device_update o WHERE o.device_id = d.id AND o.state IN ('active', 'verifying'))
                THEN 'busy_in_campaign'
            WHEN c.mode = 'consent' AND d.updates_enabled IS NOT TRUE AND d.updates_forced IS NOT TRUE THEN 'awaiting_consent'
            -- once it is told of the update, it says itself when it may come
            WHEN c.mode = 'soft' AND due.state = 'waiting' AND due.reason = 'updates_disabled' AND d.updates_enabled IS FALSE
                THEN 'updates_disabled' END AS holds
          FROM due LEFT JOIN device d ON d.id = due.device_id
    ), in_class AS MATERIALIZED (
        SELECT l.*, holds IS NOT NULL OR row_number() OVER (PARTITION BY sig, holds IS NULL ORDER BY ord, next_at, id) <= l.places
                    AS fits
          FROM looked l
    ), decided AS MATERIALIZED (
        SELECT d.*, CASE holds WHEN 'excluded' THEN 'excluded' WHEN 'quarantined' THEN 'blocked' ELSE
                    CASE WHEN holds IS NULL THEN 'active' ELSE 'waiting' END END AS becomes,
               row_number() OVER (PARTITION BY holds IS NULL ORDER BY ord, next_at, id) AS place
          FROM in_class d WHERE fits
    ), moved AS (
        UPDATE device_update u SET
            state = d.becomes, reason = CASE WHEN holds <> 'excluded' THEN holds END, detail = NULL,
            rev = u.rev + CASE WHEN u.state <> d.becomes OR u.reason IS DISTINCT FROM d.holds THEN 1 ELSE 0 END,
            started_at = CASE WHEN d.becomes = 'active' THEN coalesce(u.started_at, now()) ELSE u.started_at END,
            ended_at = CASE WHEN d.becomes IN ('excluded', 'blocked') THEN now() END,
            next_at = now() + CASE WHEN holds IS NULL THEN interval '0' WHEN holds IN ('offline_since', 'offline_never_seen') THEN interval '1 hour'
                                   WHEN holds = 'busy_in_campaign' THEN interval '30 s' ELSE interval '60 s' END
          FROM decided d
         WHERE u.id = d.id AND (d.becomes <> 'active' OR d.place <= room)
        RETURNING u.id, u.device_id, d.state AS was, u.state, d.reason AS was_reason, u.reason
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
        SELECT c.id, id, device_id, who, 'update', was, state, jsonb_strip_nulls(jsonb_build_object('reason', reason))
          FROM moved WHERE was <> state OR was_reason IS DISTINCT FROM reason
    )
    SELECT count(*) INTO admitted FROM moved WHERE state = 'active';
    UPDATE campaign_pace SET starts = starts - admitted WHERE campaign_id = c.id AND c.limits ? 'start_per_min';
    RETURN admitted;
EXCEPTION WHEN unique_violation THEN
    RETURN 0; -- an update of its own began on one of them this moment: seen next time
END $$;

-- Devices that went offline with nothing under way join the tail: they are not waited for.
CREATE FUNCTION campaign_set_aside(which bigint, who text) RETURNS void LANGUAGE sql AS $$
    WITH gone AS MATERIALIZED (
        SELECT u.id FROM device_update u JOIN device d ON d.id = u.device_id
         WHERE u.campaign_id = which AND u.state = 'active' AND NOT d.online AND d.last_heard < now() - interval '60 s'
           AND u.started_at < now() - interval '60 s'
           AND NOT EXISTS (SELECT FROM update_step s WHERE s.update_id = u.id AND s.state IN
                           ('claimed', 'starting', 'transferring', 'finishing', 'rebooting', 'describing'))
         ORDER BY u.id LIMIT 1000 FOR UPDATE OF u SKIP LOCKED
    ), moved AS (
        UPDATE device_update u SET state = 'waiting', rev = rev + 1, reason = 'offline_since', detail = NULL,
               disrupts = false, next_at = now() + interval '1 hour'
          FROM gone WHERE u.id = gone.id RETURNING u.id, u.device_id
    )
    INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
    SELECT which, id, device_id, who, 'update', 'active', 'waiting', '{"reason": "offline_since"}' FROM moved
$$;

-- Cancels what is not under way, at most so many at a time; what is runs to its end, or is stopped by its node.
CREATE FUNCTION campaign_cancel(which bigint, most integer, who text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    WITH idle AS MATERIALIZED (
        SELECT s.id FROM device_update u JOIN update_step s ON s.update_id = u.id
         WHERE u.campaign_id = which AND u.state IN ('active', 'waiting') AND s.state IN ('ready', 'backoff')
         LIMIT most FOR UPDATE OF s SKIP LOCKED
    ), stopped AS (
        UPDATE update_step s SET state = 'cancelled', rev = rev + 1, ended_at = now(), deadline_at = NULL
          FROM idle WHERE s.id = idle.id RETURNING 1
    )
    SELECT count(*) INTO n FROM stopped;
    WITH idle AS MATERIALIZED (
        SELECT u.id, u.state FROM device_update u
         WHERE u.campaign_id = which AND u.state IN ('pending', 'waiting', 'active')
           AND NOT EXISTS (SELECT FROM update_step s WHERE s.update_id = u.id AND s.state IN
                           ('ready', 'claimed', 'starting', 'transferring', 'finishing', 'rebooting', 'describing', 'backoff'))
         LIMIT most FOR UPDATE OF u SKIP LOCKED
    ), moved AS (
        UPDATE device_update u SET state = 'cancelled', rev = rev + 1, reason = NULL, ended_at = now(), disrupts = false
          FROM idle WHERE u.id = idle.id RETURNING u.id, u.device_id, idle.state AS was
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state)
        SELECT which, id, device_id, who, 'update', was, 'cancelled' FROM moved
    )
    SELECT count(*) INTO n FROM moved;
    RETURN n;
END $$;

-- Devices that did not come while the tail was open. They end as blocked, with the reason they waited for.
CREATE FUNCTION campaign_end_tail(which bigint, most integer, who text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    WITH left_over AS MATERIALIZED (
        SELECT id, state FROM device_update WHERE campaign_id = which AND state IN ('pending', 'waiting')
         LIMIT most FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE device_update u SET state = 'blocked', rev = rev + 1, reason = coalesce(reason, 'offline_since'), ended_at = now()
          FROM left_over l WHERE u.id = l.id RETURNING u.id, u.device_id, l.state AS was, u.reason
    ), told AS (
        INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
        SELECT which, id, device_id, who, 'update', was, 'blocked', jsonb_build_object('reason', reason) FROM moved
    )
    SELECT count(*) INTO n FROM moved;
    RETURN n;
END $$;

CREATE FUNCTION campaign_finish(c campaign, who text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    t record;
    tail_s bigint := coalesce((c.limits ->> 'tail_s')::bigint, 2592000);
    sentence text;
BEGIN
    SELECT bool_and(state IN ('passed', 'skipped')) AS done, max(ended_at) AS at, bool_or(state = 'skipped') AS skipped,
           bool_or(verdict ->> 'state' = 'resumed') AS resumed, sum(n_ok) - sum(n_current) AS ok, sum(n_current) AS current,
           sum(n_failed) AS failed, sum(n_lost) AS lost, sum(n_blocked) AS blocked, sum(n_gone) AS gone, sum(n_open) AS open,
           sum(n_total) - sum(n_ok) - sum(n_failed) - sum(n_lost) - sum(n_blocked) - sum(n_gone) AS left_over
      INTO t FROM campaign_stage WHERE campaign_id = c.id;
    IF c.state = 'running' AND NOT t.done THEN
        RETURN 0;
    ELSIF t.left_over > 0 THEN
        RETURN CASE WHEN c.state = 'running' AND t.left_over > t.open AND t.at + tail_s * interval '1 s' <= now()
                    THEN campaign_end_tail(c.id, 5000, who) ELSE 0 END;
    END IF;
    sentence := format('%s updated, %s had it already, %s failed, %s lost, %s blocked, %s taken out.', t.ok, t.current, t.failed,
                       t.lost, t.blocked, t.gone);
    UPDATE campaign SET verdict = jsonb_build_object(
        'state', CASE WHEN c.state = 'aborting' THEN 'aborted'
                      WHEN t.failed + t.lost > 0 THEN 'with_failures'
                      WHEN t.blocked + t.gone > 0 THEN 'with_gaps' ELSE 'succeeded' END,
        'sentence', sentence, 'let_pass', t.skipped OR t.resumed, 'ok', t.ok, 'current', t.current, 'failed', t.failed,
        'lost', t.lost, 'blocked', t.blocked, 'gone', t.gone)
     WHERE id = c.id AND state = c.state AND rev = c.rev;
    PERFORM campaign_enter(c, CASE WHEN c.state = 'aborting' THEN 'aborted' ELSE 'completed' END, NULL,
                           coalesce(CASE WHEN c.state = 'aborting' THEN c.why || ' ' END, '') || sentence, who);
    RETURN 0;
END $$;

-- A second of a campaign. busy: another node is at it. moved: how many devices were.
CREATE FUNCTION campaign_tick(which bigint, verdicts jsonb, most integer, who text, OUT busy boolean, OUT moved integer)
    LANGUAGE plpgsql AS $$
DECLARE
    c campaign;
    stop text;
BEGIN
    moved := 0;
    busy := NOT pg_try_advisory_xact_lock(3001, (which % 2147483647)::integer);
    IF busy THEN
        RETURN;
    END IF;
    SELECT * INTO c FROM campaign WHERE id = which;
    IF c.state = 'aborting' THEN
        moved := campaign_cancel(which, greatest(most, 1) * 4, who);
        PERFORM campaign_finish(c, who);
        RETURN;
    ELSIF c.state = 'paused' AND c.pause_reason = 'window' AND window_is_open(c.limits -> 'window', now()) THEN
        PERFORM campaign_enter(c, 'running', NULL, NULL, who);
        RETURN;
    ELSIF c.state IS DISTINCT FROM 'running' THEN
        RETURN;
    END IF;
    stop := campaign_withdrawn(c.release_id);
    IF stop IS NOT NULL THEN
        PERFORM campaign_enter(c, 'paused', 'safety', stop, who);
        RETURN;
    ELSIF NOT window_is_open(c.limits -> 'window', now()) THEN
        PERFORM campaign_enter(c, 'paused', 'window', format('Outside its window until %s.',
            coalesce(iso_time(window_next_opening(c.limits -> 'window', now())), 'ever')), who);
        RETURN;
    END IF;
    stop := campaign_judge(c, verdicts, who);
    IF stop IS NOT NULL THEN
        PERFORM campaign_enter(c, 'aborting', NULL, stop, who);
        RETURN;
    END IF;
    PERFORM campaign_set_aside(which, who);
    PERFORM campaign_open_stage(which, who);
    moved := campaign_admit(c, most, who);
    moved := moved + campaign_finish(c, who);
END $$;

-- Whether a step may be claimed, or go on, now: NULL: yes; else the reason of the closed list. A step that waits may not
-- take a place others have meanwhile; a bootloader or a network co-processor is tried on 1 % of a class first.
CREATE OR REPLACE FUNCTION step_may_start(which bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.status = 'withdrawn' THEN 'module_withdrawn'
                WHEN u.state <> 'active' THEN 'stage_not_open'
                WHEN c.id IS NULL THEN NULL
                WHEN c.state <> 'running' THEN 'stage_not_open'
                WHEN g.state NOT IN ('running', 'soaking', 'held', 'passed', 'skipped') THEN 'stage_not_open'
                WHEN s.state = 'backoff' AND c.limits ? 'transfers' AND (c.limits ->> 'transfers')::bigint <= (
                     SELECT count(*) FROM device_update o JOIN update_step t ON t.update_id = o.id
                      WHERE o.campaign_id = c.id AND o.state = 'active'
                        AND t.state IN ('claimed', 'starting', 'transferring', 'finishing')) THEN 'rate_limited'
                WHEN s.state IN ('ready', 'backoff') AND m.func IN (2, 7)
                     AND NOT EXISTS (SELECT FROM class_proof p WHERE p.sig = u.sig AND p.module_id = s.module_id)
                     AND greatest(1, k.devices / 100) <= (
                     SELECT count(*) FROM device_update o JOIN update_step t ON t.update_id = o.id LEFT JOIN device d ON d.id = o.device_id
                      WHERE o.campaign_id = c.id AND o.sig = u.sig AND o.state IN ('active', 'verifying', 'failed', 'lost')
                        AND t.module_id = s.module_id AND t.id <> s.id
                        AND (t.state NOT IN ('ready', 'backoff', 'cancelled')
                             OR t.state <> 'cancelled' AND t.id < s.id AND t.next_at <= now() AND d.online))
                     THEN 'rate_limited' END
      FROM update_step s JOIN device_update u ON u.id = s.update_id JOIN module_binary m ON m.id = s.module_id
      LEFT JOIN campaign c ON c.id = u.campaign_id
      LEFT JOIN campaign_stage g ON g.campaign_id = u.campaign_id AND g.ord = u.stage_ord
      LEFT JOIN campaign_class k ON k.campaign_id = u.campaign_id AND k.sig = u.sig
     WHERE s.id = which
$$;

-- --- what people read, as REST shows it ---

CREATE FUNCTION stage_counts_json(g campaign_stage) RETURNS json LANGUAGE sql IMMUTABLE
    RETURN json_build_object('total', g.n_total, 'open', g.n_open, 'ok', g.n_ok, 'current', g.n_current, 'failed', g.n_failed,
                             'lost', g.n_lost, 'blocked', g.n_blocked, 'gone', g.n_gone, 'offline', g.n_tail);

CREATE FUNCTION campaign_json(c campaign) RETURNS json LANGUAGE sql STABLE
    RETURN json_build_object('id', c.id, 'name', c.name,
        'release', (SELECT json_build_object('id', r.id, 'name', r.name) FROM release r WHERE r.id = c.release_id),
        'state', c.state, 'rev', c.rev, 'mode', c.mode, 'selector', c.selector, 'dynamic', c.is_dynamic, 'limits', c.limits,
        'pause_reason', c.pause_reason, 'why', c.why, 'plan_hash', encode(c.plan_hash, 'hex'),
        'plan', c.plan_summary - 'rules', 'verdict', c.verdict,
        'window_opens_at', CASE WHEN c.pause_reason = 'window'
                                THEN iso_time(window_next_opening(c.limits -> 'window', now())) END,
        'stages', (SELECT coalesce(json_agg(json_build_object('n', g.ord, 'name', g.name, 'state', g.state,
                          'percent', g.percent, 'max_devices', g.max_devices, 'gate', g.gate, 'counts', stage_counts_json(g),
                          'verdict', g.verdict, 'started_at', iso_time(g.started_at), 'soak_until', iso_time(g.soak_until),
                          'ended_at', iso_time(g.ended_at)) ORDER BY g.ord), '[]')
                     FROM campaign_stage g WHERE g.campaign_id = c.id),
        'created_by', c.created_by, 'approved_by', c.approved_by, 'created_at', iso_time(c.created_at),
        'planned_at', iso_time(c.planned_at), 'started_at', iso_time(c.started_at), 'ended_at', iso_time(c.ended_at));

CREATE FUNCTION list_meta(page bigint, per_page bigint, total bigint) RETURNS json LANGUAGE sql IMMUTABLE
    RETURN json_build_object('page', page, 'per_page', per_page, 'total', total,
                             'total_pages', (total + per_page - 1) / per_page);

CREATE FUNCTION campaigns_json(in_state text, page bigint, per_page bigint) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('campaigns', (
        SELECT coalesce(json_agg(campaign_json(c) ORDER BY c.id DESC), '[]')
          FROM (SELECT * FROM campaign c WHERE in_state IS NULL AND c.state <> 'archived' OR c.state = in_state
                 ORDER BY c.id DESC LIMIT per_page OFFSET (page - 1) * per_page) c),
        'meta', list_meta(page, per_page, (SELECT count(*) FROM campaign c
                                            WHERE in_state IS NULL AND c.state <> 'archived' OR c.state = in_state)))
$$;

-- Of the last 200 devices that succeeded: how long one takes, from its start to its end.
CREATE FUNCTION campaign_durations(which bigint, OUT p50_s double precision, OUT p90_s double precision) LANGUAGE sql STABLE AS $$
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s), percentile_cont(0.9) WITHIN GROUP (ORDER BY s)
      FROM (SELECT extract(epoch FROM u.ended_at - u.started_at)::double precision AS s
              FROM campaign_stage g CROSS JOIN LATERAL (
                   SELECT * FROM device_update u WHERE u.campaign_id = which AND u.stage_ord = g.ord
                      AND u.started_at IS NOT NULL AND u.ended_at IS NOT NULL AND u.state = 'succeeded'
                    ORDER BY u.ended_at DESC LIMIT 200) u
             WHERE g.campaign_id = which ORDER BY u.ended_at DESC LIMIT 200) d
$$;

-- The estimate: what is left goes in rounds of as many devices as the campaign may have under way, or has.
CREATE FUNCTION campaign_progress_json(which bigint) RETURNS json LANGUAGE sql STABLE AS $$
    WITH steps AS MATERIALIZED (
        SELECT s.state FROM device_update u JOIN update_step s ON s.update_id = u.id
         WHERE u.campaign_id = which AND u.state = 'active'
    )
    SELECT json_build_object('progress', json_build_object(
        'campaign', json_build_object('id', c.id, 'name', c.name, 'state', c.state, 'rev', c.rev, 'why', c.why,
                                      'pause_reason', c.pause_reason, 'verdict', c.verdict),
        'stages', (SELECT coalesce(json_agg(json_build_object('n', g.ord, 'name', g.name, 'state', g.state, 'percent', g.percent,
                          'counts', stage_counts_json(g), 'done_percent', f.done_percent, 'rate_per_min', f.per_10_min / 10.0,
                          'eta_p50_s', ceil(f.rounds * t.p50_s), 'eta_p90_s', ceil(f.rounds * t.p90_s),
                          'soak_until', iso_time(g.soak_until), 'verdict', g.verdict) ORDER BY g.ord), '[]')
                     FROM campaign_stage g CROSS JOIN campaign_durations(which) t CROSS JOIN LATERAL (
                          SELECT g.n_total - g.n_ok - g.n_failed - g.n_lost - g.n_blocked - g.n_gone - g.n_tail AS remaining) l
                          CROSS JOIN LATERAL (
                          SELECT CASE WHEN g.n_total > g.n_gone THEN round(100.0 * (g.n_ok + g.n_failed + g.n_lost)
                                                                           / (g.n_total - g.n_gone), 1) ELSE 100 END AS done_percent,
                                 ceil(l.remaining::double precision / least(greatest(l.remaining, 1),
                                      coalesce((c.limits ->> 'transfers')::integer, 100))) AS rounds,
                                 (SELECT count(*) FROM device_update u WHERE u.campaign_id = which AND u.stage_ord = g.ord
                                     AND u.started_at IS NOT NULL AND u.ended_at > now() - interval '10 min') AS per_10_min) f
                    WHERE g.campaign_id = c.id),
        'transferring', (SELECT count(*) FROM steps WHERE state IN ('claimed', 'starting', 'transferring', 'finishing')),
        'rebooting', (SELECT count(*) FROM steps WHERE state = 'rebooting'),
        'describing', (SELECT count(*) FROM steps WHERE state = 'describing'),
        'not_seen_30d', (SELECT count(*) FROM device_update u JOIN device d ON d.id = u.device_id
                          WHERE u.campaign_id = which AND u.state = 'waiting'
                            AND (d.last_heard IS NULL OR d.last_heard < now() - interval '30 days'))))
      FROM campaign c WHERE c.id = which
$$;

CREATE FUNCTION campaign_device_json(u device_update) RETURNS json LANGUAGE sql STABLE
    RETURN json_build_object('id', encode(u.device_id, 'hex'), 'name', (SELECT d.name FROM device d WHERE d.id = u.device_id),
        'stage', u.stage_ord, 'state', u.state, 'reason', u.reason, 'sentence', update_sentence(u.reason, u.detail),
        'unblock', u.detail -> 'unblock',
        'step', (SELECT json_build_object('state', s.state, 'function', substr('nrbmsu?ca', m.func + 1, 1),
                        'index', m.idx, 'version', m.version, 'acked_bytes', s.acked_bytes, 'size_bytes', m.size_bytes)
                   FROM update_step s JOIN module_binary m ON m.id = s.module_id
                  WHERE s.update_id = u.id ORDER BY s.ord DESC LIMIT 1),
        'started_at', iso_time(u.started_at), 'ended_at', iso_time(u.ended_at));

CREATE FUNCTION campaign_devices_json(which bigint, in_state text, for_reason text, page bigint, per_page bigint)
    RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('devices', (
        SELECT coalesce(json_agg(campaign_device_json(u) ORDER BY u.id), '[]')
          FROM (SELECT * FROM device_update u WHERE u.campaign_id = which AND (in_state IS NULL OR u.state = in_state)
                   AND (for_reason IS NULL OR u.reason = for_reason)
                 ORDER BY u.id LIMIT per_page OFFSET (page - 1) * per_page) u),
        'meta', list_meta(page, per_page, (SELECT count(*) FROM (
            SELECT FROM device_update u WHERE u.campaign_id = which AND (in_state IS NULL OR u.state = in_state)
               AND (for_reason IS NULL OR u.reason = for_reason) LIMIT page * per_page + 1000) x)))
      FROM campaign c WHERE c.id = which
$$;

-- Events after one, oldest first, as lines. What transactions still write stays out, so that no event is passed over: an
-- event of a later number may be there before one of an earlier.
CREATE FUNCTION campaign_events_lines(which bigint, past bigint, most integer, OUT found boolean, OUT last bigint,
                                      OUT lines text) LANGUAGE sql STABLE AS $$
    WITH e AS MATERIALIZED (
        SELECT id, at, kind, detail -> 'stage' AS stage, device_id, update_id, step_id, actor, from_state, to_state, detail
          FROM update_event
         WHERE campaign_id = which AND id > past
           AND at < coalesce((SELECT min(xact_start) FROM pg_stat_activity
                               WHERE backend_xid IS NOT NULL AND datname = current_database()), clock_timestamp())
                    - interval '50 ms'
         ORDER BY id LIMIT most
    )
    SELECT true, (SELECT max(id) FROM e), (SELECT string_agg(json_build_object('id', id, 'at', iso_time(at), 'kind', kind,
               'stage', stage, 'device', encode(device_id, 'hex'), 'update', update_id, 'step', step_id, 'actor', actor,
               'from', from_state, 'to', to_state, 'detail', detail)::text || E'\n', '' ORDER BY id) FROM e)
      FROM campaign c
     WHERE c.id = which
$$;

-- A slice of a campaign's devices in the order of their updates, one a line: CSV or JSON. past: the update of the line before.
CREATE FUNCTION campaign_export_lines(which bigint, past bigint, most integer, as_csv boolean, OUT last bigint, OUT lines text)
    LANGUAGE sql STABLE AS $$
    SELECT max(x.id), string_agg(CASE WHEN as_csv THEN concat_ws(',', encode(x.device_id, 'hex'), coalesce(x.name, ''), x.stage_ord,
               x.state, coalesce(x.reason, ''),
               '"' || replace(coalesce(update_sentence(x.reason, x.detail), ''), '"', '""') || '"', x.attempts,
               coalesce(iso_time(x.started_at), ''), coalesce(iso_time(x.ended_at), ''))
           ELSE json_build_object('id', encode(x.device_id, 'hex'), 'name', x.name, 'stage', x.stage_ord, 'state', x.state,
               'reason', x.reason, 'sentence', update_sentence(x.reason, x.detail), 'attempts', x.attempts,
               'started_at', iso_time(x.started_at), 'ended_at', iso_time(x.ended_at))::text END || E'\n', '' ORDER BY x.id)
      FROM (SELECT u.*, d.name FROM device_update u LEFT JOIN device d ON d.id = u.device_id
             WHERE u.campaign_id = which AND u.id > past ORDER BY u.id LIMIT most) x
$$;
-- its order
CREATE INDEX device_update_campaign ON device_update (campaign_id, id);

-- What they ask is large and is over in milliseconds: compiling it first takes longer than all of it.
ALTER FUNCTION campaign_drift_slice SET jit = off;
ALTER FUNCTION campaign_plan_begin SET jit = off;
ALTER FUNCTION campaign_plan_slice SET jit = off;
ALTER FUNCTION campaign_join SET jit = off;
ALTER FUNCTION campaign_tick SET jit = off;
ALTER FUNCTION campaign_progress_json SET jit = off;
