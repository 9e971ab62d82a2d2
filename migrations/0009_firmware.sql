-- Module binaries, and releases of them. A binary never changes; withdrawn, it is sent to nobody any more.

-- The file as it was uploaded, stored once however many rows name it.
CREATE TABLE module_content (
    sha256 bytea PRIMARY KEY CHECK (length(sha256) = 32), -- of the whole file: what an update starts with
    data bytea NOT NULL
);
ALTER TABLE module_content ALTER COLUMN data SET STORAGE EXTERNAL; -- does not compress, and is read whole

CREATE TABLE module_binary (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform_id integer NOT NULL,
    func smallint NOT NULL CHECK (func BETWEEN 0 AND 255), -- device-protocol 5.5: 2 bootloader, 4 system, 5 user, 7 NCP, 8 radio
    idx smallint NOT NULL CHECK (idx BETWEEN 0 AND 255),
    mcu smallint NOT NULL DEFAULT 0,
    version integer NOT NULL CHECK (version BETWEEN 0 AND 65535),
    sha256 bytea NOT NULL REFERENCES module_content,
    suffix_sha256 bytea, -- what a describe states as hash; NULL: the file has none
    size_bytes integer NOT NULL CHECK (size_bytes > 0),
    flags integer NOT NULL DEFAULT 0,
    product_id integer,
    product_version integer,
    -- [{"func": 2, "index": 0, "version": 3100}, ...]
    dependencies jsonb NOT NULL DEFAULT '[]',
    -- what else is in a combined file, in order: [{"func": .., "index": .., "version": ..}]
    combined jsonb NOT NULL DEFAULT '[]',
    file_name text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'withdrawn')),
    withdrawn_reason text,
    uploaded_by text NOT NULL,
    uploaded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (platform_id, func, idx, mcu, version, sha256)
);
CREATE INDEX module_binary_sha256 ON module_binary (sha256);

CREATE TABLE release (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'published', 'withdrawn')),
    notes text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    withdrawn_reason text
);

-- target: must end up on the device; stepping_stone: may be used on the way.
CREATE TABLE release_module (
    release_id bigint NOT NULL REFERENCES release ON DELETE CASCADE,
    module_id bigint NOT NULL REFERENCES module_binary,
    role text NOT NULL CHECK (role IN ('target', 'stepping_stone')),
    PRIMARY KEY (release_id, module_id)
);
CREATE INDEX release_module_module ON release_module (module_id);
