-- Updates: campaigns, their stages, what is done to each device, and the steps of that. A step is one module binary to one
-- device. Every move is one statement that names the state and the rev it comes from, with its event and its counters in the
-- same transaction; 0 rows mean that somebody else was faster.

CREATE TABLE campaign (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    release_id bigint NOT NULL REFERENCES release,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'planned', 'awaiting_approval', 'approved', 'running',
                                                         'paused', 'aborting', 'aborted', 'completed', 'archived')),
    rev integer NOT NULL DEFAULT 0,
    selector jsonb NOT NULL,          -- {"platform_id":, "product_id":, "requires_deep_update":, "devices": [..], ...}
    is_dynamic boolean NOT NULL DEFAULT false, -- devices that come to fit later join the first open stage
    limits jsonb NOT NULL DEFAULT '{}',
    mode text NOT NULL DEFAULT 'soft' CHECK (mode IN ('soft', 'forced', 'consent')),
    seed bigint NOT NULL DEFAULT (random() * 9007199254740991)::bigint, -- of the buckets
    pause_reason text CHECK (pause_reason IN ('operator', 'gate', 'safety', 'window')),
    why text,                         -- the sentence for people
    plan_hash bytea,
    plan_summary jsonb,
    planned_at timestamptz,
    created_by text NOT NULL,
    approved_by text,
    approved_hash bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz
);
CREATE INDEX campaign_live ON campaign (id) WHERE state IN ('running', 'paused', 'aborting');

CREATE TABLE campaign_stage (
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    ord smallint NOT NULL CHECK (ord >= 0),
    name text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'soaking', 'held', 'passed', 'failed', 'skipped')),
    rev integer NOT NULL DEFAULT 0,
    percent numeric(6, 3) CHECK (percent > 0 AND percent <= 100), -- cumulative: 5 is inside 25 is inside 100
    max_devices integer,
    gate jsonb NOT NULL DEFAULT '{}',
    verdict jsonb,
    started_at timestamptz,
    soak_until timestamptz,
    last_success_at timestamptz,
    ended_at timestamptz,
    -- device updates of this stage by what became of them
    n_total integer NOT NULL DEFAULT 0,
    n_open integer NOT NULL DEFAULT 0 CHECK (n_open >= 0), -- active, verifying
    n_ok integer NOT NULL DEFAULT 0,                       -- succeeded, already_current
    n_current integer NOT NULL DEFAULT 0,                  -- already_current among n_ok: proves nothing
    n_failed integer NOT NULL DEFAULT 0,
    n_lost integer NOT NULL DEFAULT 0,
    n_blocked integer NOT NULL DEFAULT 0,
    n_gone integer NOT NULL DEFAULT 0,                     -- cancelled, superseded, excluded
    PRIMARY KEY (campaign_id, ord)
);

-- What is done to one device, for a campaign or for itself (campaign_id NULL): a flash of one binary, or the healing of a
-- device in safe mode.
CREATE TABLE device_update (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('campaign', 'flash', 'heal')),
    campaign_id bigint REFERENCES campaign ON DELETE CASCADE,
    stage_ord smallint,
    release_id bigint REFERENCES release, -- NULL for a flash: its one step says all
    device_id bytea NOT NULL CHECK (length(device_id) = 12),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'waiting', 'active', 'verifying', 'succeeded',
        'already_current', 'blocked', 'failed', 'lost', 'cancelled', 'superseded', 'excluded')),
    rev integer NOT NULL DEFAULT 0,
    reason text,          -- of waiting, blocked, failed: of the closed lists
    detail jsonb,         -- sentence for people, and what would unblock it
    plan jsonb,           -- of the last planning: [{"module_id":, "because": [..]}, ..]
    before_modules jsonb, -- what it ran
    attempts integer NOT NULL DEFAULT 0,
    bucket integer,       -- 0 to 99999: hash of seed and device; a stage of p percent has those below 1000 p
    disrupts boolean NOT NULL DEFAULT false, -- holds a place of the disruption budget
    requested_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(), -- of waiting: looked at again
    started_at timestamptz,
    ended_at timestamptz,
    CHECK ((kind = 'campaign') = (campaign_id IS NOT NULL)),
    UNIQUE (campaign_id, device_id)
);
-- The safety net no code path can break: one running update a device in the whole fleet.
CREATE UNIQUE INDEX device_update_one_live ON device_update (device_id) WHERE state IN ('active', 'verifying');
CREATE INDEX device_update_due ON device_update (campaign_id, stage_ord, next_at, id) WHERE state IN ('pending', 'waiting');
CREATE INDEX device_update_device ON device_update (device_id, id DESC);
CREATE INDEX device_update_state ON device_update (campaign_id, state, id);

CREATE TABLE update_step (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    update_id bigint NOT NULL REFERENCES device_update ON DELETE CASCADE,
    ord smallint NOT NULL,
    module_id bigint NOT NULL REFERENCES module_binary,
    state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'claimed', 'starting', 'transferring', 'finishing',
        'rebooting', 'describing', 'backoff', 'verified', 'failed', 'lost', 'cancelled')),
    rev integer NOT NULL DEFAULT 0,
    node_id integer,
    session_epoch bigint,     -- of the claim: a device that opened another session since has to be claimed anew
    deadline_at timestamptz,  -- of every open state; the lease of a claim
    next_at timestamptz NOT NULL DEFAULT now(), -- of ready, backoff
    attempts smallint NOT NULL DEFAULT 0,       -- that count against the limit of their kind
    no_effects smallint NOT NULL DEFAULT 0,     -- times it came back with the old version
    is_held boolean NOT NULL DEFAULT false,     -- of ready, backoff: its update waits
    acked_bytes integer NOT NULL DEFAULT 0,     -- checkpoint
    sent_bytes bigint NOT NULL DEFAULT 0,
    reboots smallint NOT NULL DEFAULT 0,
    seen_modules jsonb,       -- of DESCRIBING: the vector that has to be seen once more
    seen_at timestamptz,
    last_error text,
    because jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz,
    ended_at timestamptz,
    UNIQUE (update_id, ord)
);
CREATE UNIQUE INDEX update_step_one_open ON update_step (update_id)
 WHERE state IN ('ready', 'claimed', 'starting', 'transferring', 'finishing', 'rebooting', 'describing', 'backoff');
-- Those of updates that wait, a million of offline devices, are not in the way of the others.
CREATE INDEX update_step_due ON update_step (next_at, id) WHERE state IN ('ready', 'backoff') AND NOT is_held;
CREATE INDEX update_step_module ON update_step (module_id) WHERE state IN ('ready', 'backoff');
CREATE INDEX update_step_deadline ON update_step (deadline_at)
 WHERE state IN ('claimed', 'starting', 'transferring', 'finishing', 'rebooting', 'describing');

CREATE TABLE update_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    campaign_id bigint,
    update_id bigint,
    step_id bigint,
    device_id bytea,
    actor text NOT NULL, -- a person, or node/N
    kind text NOT NULL,  -- campaign, stage, update, step
    from_state text,
    to_state text,
    detail jsonb
);
CREATE INDEX update_event_campaign ON update_event (campaign_id, id) WHERE campaign_id IS NOT NULL;
CREATE INDEX update_event_device ON update_event (device_id, id DESC) WHERE device_id IS NOT NULL;

-- What a request with this key was answered with: the same again does nothing again, another body is refused.
CREATE TABLE idempotency_key (
    actor text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_sha256 bytea NOT NULL,
    status integer,
    response jsonb,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);

-- --- moves ---

-- Moves an update, with its event; a trigger counts it into its stage (0013_campaign.sql). False: it is not in that state with that rev any more.
CREATE FUNCTION update_move(which bigint, was text, was_rev integer, becomes text, why text, more jsonb, who text)
    RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    u device_update;
BEGIN
    UPDATE device_update SET
        state = becomes, rev = rev + 1, reason = why, detail = more,
        started_at = coalesce(started_at, CASE WHEN becomes = 'active' THEN now() END),
        ended_at = CASE WHEN becomes IN ('succeeded', 'already_current', 'blocked', 'failed', 'lost', 'cancelled', 'superseded',
                                         'excluded') THEN now() END,
        disrupts = disrupts AND becomes IN ('active', 'verifying', 'lost')
     WHERE id = which AND state = was AND rev = was_rev
    RETURNING * INTO u;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO update_event (campaign_id, update_id, device_id, actor, kind, from_state, to_state, detail)
    VALUES (u.campaign_id, which, u.device_id, who, 'update', was, becomes,
            coalesce(more, '{}') || jsonb_strip_nulls(jsonb_build_object('reason', why)));
    RETURN true;
END $$;

-- Whether one more device of the campaign may be sent into a reboot: within its disruption budget. NULL: yes; else the reason.
-- An update for itself always may.
CREATE FUNCTION update_may_disrupt(which bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN u.campaign_id IS NULL OR u.disrupts THEN NULL
                WHEN (SELECT count(*) FROM device_update o WHERE o.campaign_id = u.campaign_id AND o.disrupts)
                     >= coalesce((c.limits ->> 'disruption')::bigint, 1000000000) THEN 'disruption_budget' END
      FROM device_update u LEFT JOIN campaign c ON c.id = u.campaign_id WHERE u.id = which
$$;

-- Whether a step may be claimed now: NULL: yes; else the reason of the closed list. Refined with the campaigns.
CREATE FUNCTION step_may_start(which bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN m.status = 'withdrawn' THEN 'module_withdrawn'
                WHEN c.id IS NOT NULL AND c.state <> 'running' THEN 'stage_not_open'
                WHEN c.id IS NOT NULL AND g.state NOT IN ('running', 'soaking', 'held', 'passed') THEN 'stage_not_open' END
      FROM update_step s JOIN device_update u ON u.id = s.update_id JOIN module_binary m ON m.id = s.module_id
      LEFT JOIN campaign c ON c.id = u.campaign_id
      LEFT JOIN campaign_stage g ON g.campaign_id = u.campaign_id AND g.ord = u.stage_ord
     WHERE s.id = which
$$;

-- Why an update is where it is, in a sentence: its own, else what its reason means.
CREATE FUNCTION update_sentence(reason text, detail jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(detail ->> 'sentence', CASE reason
        WHEN 'offline_never_seen' THEN 'The device was never seen.'
        WHEN 'offline_since' THEN 'The device is offline; it goes on when it connects.'
        WHEN 'unreachable_version' THEN 'A device with these versions cannot connect; it has to be updated over USB.'
        WHEN 'no_path' THEN 'No order of the binaries of the release leads there.'
        WHEN 'updates_disabled' THEN 'The application on the device does not want updates now.'
        WHEN 'outside_window' THEN 'It is outside the time window of the campaign.'
        WHEN 'awaiting_consent' THEN 'The owner of the device has not agreed yet.'
        WHEN 'busy_in_campaign' THEN 'Another update has the device.'
        WHEN 'release_lacks_platform' THEN 'The release has nothing for this platform.'
        WHEN 'module_withdrawn' THEN 'A binary it needs was withdrawn.'
        WHEN 'downgrade_refused' THEN 'It would be a step back to an older version.'
        WHEN 'development_device' THEN 'The device is marked as one for development.'
        WHEN 'locked_version' THEN 'The device is locked to a version.'
        WHEN 'quarantined' THEN 'The device is in quarantine.'
        WHEN 'disruption_budget' THEN 'As many devices as may be are rebooting or lost.'
        WHEN 'rate_limited' THEN 'Devices are started at the rate of the campaign; its turn comes.'
        WHEN 'stage_not_open' THEN 'Its stage has not begun.'
        WHEN 'unknown_inventory' THEN 'It is not known what the device runs; it has not described itself.'
        WHEN 'no_effect' THEN 'The device took it and came back as it was.'
        WHEN 'never_came_back' THEN 'The device did not come back from its reboot.'
        WHEN 'regressed' THEN 'The device had every target and fell back to an older version.' END);
