-- The registry: people, devices, what devices are and said, and the trail of changes.
-- Times are timestamptz; the program sends and reads Unix milliseconds through to_ms() and from_ms().

CREATE FUNCTION to_ms(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN floor(extract(epoch FROM at) * 1000)::bigint;
CREATE FUNCTION from_ms(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 'epoch'::timestamptz + ms * interval '1 millisecond';

-- --- people ---

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    role text NOT NULL CHECK (role IN ('owner', 'operator', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The token itself is shown once and kept nowhere.
CREATE TABLE access_token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    prefix text NOT NULL,
    client text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX access_token_user ON access_token (user_id);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    before jsonb,
    after jsonb,
    reason text
);
CREATE INDEX audit_target ON audit (target, id DESC);

-- --- devices ---

CREATE TABLE device (
    id bytea PRIMARY KEY CHECK (length(id) = 12),
    owner_id bigint REFERENCES users ON DELETE SET NULL,
    name text CHECK (name ~ '^[A-Za-z0-9_-]{1,64}$' AND name !~ '^[0-9A-Fa-f]{24}$'),
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    quarantined boolean NOT NULL DEFAULT false,
    -- of the last Hello
    platform_id integer,
    product_id integer,
    product_version integer,
    system_version integer,
    hello_flags integer,
    max_message_bytes integer,
    max_binary_bytes bigint,
    chunk_bytes integer,
    -- presence
    online boolean NOT NULL DEFAULT false,
    online_session_id bigint, -- which made it online: only its end makes it offline
    node_id integer,
    session_id bigint, -- of the last Hello
    session_epoch bigint NOT NULL DEFAULT 0,
    last_heard timestamptz,
    last_handshake timestamptz,
    last_ip text,
    -- of describes
    serial_number text,
    iccid text,
    imei text,
    modem_version text,
    functions jsonb,
    variables jsonb,
    system_sha256 bytea,
    application_sha256 bytea,
    system_described_at timestamptz,
    application_described_at timestamptz,
    subscriptions_session bigint, -- whose list device_subscription holds, and which of its lists
    subscriptions_rev bigint,
    sig bigint NOT NULL DEFAULT 0, -- inventory class: platform and vector of module versions
    -- of system events
    status text NOT NULL DEFAULT 'normal' CHECK (status IN ('normal', 'safe_mode')),
    last_app text,
    last_reset text,
    updates_enabled boolean,
    updates_forced boolean,
    cc3000_patch_version text,
    -- of rules; deep_update_rule is the code of the rule that asks for it
    requires_deep_update boolean NOT NULL DEFAULT false,
    deep_update_rule text,
    CHECK (requires_deep_update = (deep_update_rule IS NOT NULL))
) WITH (fillfactor = 75);

CREATE UNIQUE INDEX device_name ON device (coalesce(owner_id, 0), name) WHERE name IS NOT NULL;
CREATE INDEX device_by_name ON device (name text_pattern_ops) WHERE name IS NOT NULL;
-- The order of every list of devices: last handshake first, never seen ones last.
CREATE INDEX device_list ON device (last_handshake DESC NULLS LAST, id);
CREATE INDEX device_list_owner ON device (owner_id, last_handshake DESC NULLS LAST, id);
CREATE INDEX device_list_product ON device (product_id, last_handshake DESC NULLS LAST, id);
CREATE INDEX device_list_platform ON device (platform_id, last_handshake DESC NULLS LAST, id);
CREATE INDEX device_list_deep_update ON device (last_handshake DESC NULLS LAST, id) WHERE requires_deep_update;
CREATE INDEX device_list_online ON device (last_handshake DESC NULLS LAST, id) WHERE online;
CREATE INDEX device_list_quarantined ON device (last_handshake DESC NULLS LAST, id) WHERE quarantined;
CREATE INDEX device_sig ON device (sig);
CREATE INDEX device_cc3000 ON device (platform_id, cc3000_patch_version) WHERE cc3000_patch_version IS NOT NULL;

CREATE TABLE device_key (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('p256', 'rsa', 'psk')),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    data bytea NOT NULL, -- SubjectPublicKeyInfo, or the pre-shared key
    state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'retired')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at timestamptz,
    last_used_at timestamptz,
    UNIQUE (device_id, sha256)
);
-- A public key names one device; a pre-shared key is found by its identity.
CREATE UNIQUE INDEX device_key_live ON device_key (sha256) WHERE state = 'live' AND kind <> 'psk';

-- Modules as last described. last_known is the newest version that is not 0: a network co-processor (function 7) that
-- says 0, or is left out, is unknown, not gone.
CREATE TABLE device_module (
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    store smallint NOT NULL, -- 0 main, 1 factory, 2 backup, 3 scratchpad
    func smallint NOT NULL,
    idx smallint NOT NULL,
    version integer NOT NULL,
    last_known integer,
    valid boolean NOT NULL,
    max_size_bytes bigint NOT NULL,
    checked_flags bigint NOT NULL,
    passed_flags bigint NOT NULL,
    hash bytea,
    dependencies jsonb NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, store, func, idx)
);
CREATE INDEX device_module_known ON device_module (func, idx, last_known) WHERE store = 0;

-- NULL version: absent.
CREATE TABLE device_module_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    func smallint NOT NULL,
    idx smallint NOT NULL,
    old_version integer,
    new_version integer,
    cause text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX device_module_history_device ON device_module_history (device_id, id DESC);

-- Vitals: the newest row is the last; the newest 100 of a device are kept.
CREATE TABLE device_vitals (
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    at timestamptz NOT NULL,
    vitals jsonb NOT NULL, -- {"<id>": value, ...}, {"<id>": {"err": code}} for one that failed
    PRIMARY KEY (device_id, at)
);

CREATE TABLE device_subscription (
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    place smallint NOT NULL,
    prefix text NOT NULL,
    scope "char" NOT NULL,  -- o owner's devices, p public, d one device
    format "char" NOT NULL, -- t text, c CBOR, b any
    from_device bytea,
    PRIMARY KEY (device_id, place)
);

-- The newest 200 of a device are kept.
CREATE TABLE device_connection (
    device_id bytea NOT NULL REFERENCES device ON DELETE CASCADE,
    session_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_ms bigint,
    reason text,
    ip text,
    node_id integer NOT NULL,
    resumed boolean NOT NULL,
    goodbye jsonb,
    PRIMARY KEY (device_id, started_at, session_id)
);
CREATE INDEX device_connection_open ON device_connection (device_id, session_id) WHERE ended_at IS NULL;

-- subject: the device, else the key, else the address; the newest 20 of each are kept, and 7 days in all.
CREATE TABLE handshake_attempt (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL,
    stage text NOT NULL,
    profile text NOT NULL,
    alert smallint NOT NULL,
    ip text NOT NULL,
    identity text,
    key_sha256 bytea,
    device_id bytea,
    took_ms integer NOT NULL
);
CREATE INDEX handshake_attempt_at ON handshake_attempt (at);
CREATE INDEX handshake_attempt_subject ON handshake_attempt (subject, id DESC);
CREATE INDEX handshake_attempt_ip ON handshake_attempt (ip, id DESC);
CREATE INDEX handshake_attempt_key ON handshake_attempt (key_sha256, id DESC) WHERE key_sha256 IS NOT NULL;

-- key names an event once and for all; storing it twice is storing it once.
CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE CHECK (length(key) = 16),
    device_id bytea NOT NULL,
    name text NOT NULL,
    data bytea, -- NULL: a secret that is not kept (claim codes)
    content_format integer NOT NULL,
    ttl_s bigint NOT NULL,
    is_public boolean NOT NULL,
    is_system boolean NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX event_device ON event (device_id, id DESC);
CREATE INDEX event_received ON event (received_at);

CREATE TABLE claim_code (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32),
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_by bytea,
    used_at timestamptz
);

-- What module headers do not say. Rules are data; the sentence is for people.
CREATE TABLE transition_rule (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    platform_id integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('requires', 'forbids', 'unreachable', 'must_pass_through',
                                       'deep_update_needed', 'collateral')),
    body jsonb NOT NULL,
    explain text NOT NULL,
    evidence text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    rev integer NOT NULL DEFAULT 1
);
