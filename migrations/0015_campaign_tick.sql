-- Campaigns: what the tick of a second does, and what people read.

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
