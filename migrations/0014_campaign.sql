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
