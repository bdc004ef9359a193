-- Who may still write for a run: the highest fencing token seen, and whether its objects are forbidden for good.
CREATE TABLE runs (
    generation_id uuid NOT NULL,
    run integer NOT NULL CHECK (run >= 0),
    owner_id uuid NOT NULL,
    lease_token bigint NOT NULL,
    tombstoned_at timestamptz,
    PRIMARY KEY (generation_id, run)
);

-- Bytes that are complete, verified and durable under their key.
CREATE TABLE objects (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    generation_id uuid,
    run integer NOT NULL,
    media_index integer NOT NULL,
    tier text NOT NULL CHECK (tier IN ('s3', 'local')),
    key text NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    content_type text NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    width integer NOT NULL DEFAULT 0,
    height integer NOT NULL DEFAULT 0,
    duration_ms bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tier, key)
);
CREATE INDEX objects_by_owner ON objects (owner_id, id);
CREATE INDEX objects_by_run ON objects (generation_id, run);

-- Transfers under way: written before the first byte goes out, so that a crash leaves a trace. `attempt` owns the slot
-- until `alive_until`, or until a later call for the same object takes it over.
CREATE TABLE uploads (
    object_id uuid PRIMARY KEY,
    attempt uuid NOT NULL UNIQUE,
    generation_id uuid,
    run integer NOT NULL,
    lease_token bigint NOT NULL,
    tier text CHECK (tier IN ('s3', 'local')),
    key text,
    alive_until timestamptz NOT NULL
);
CREATE INDEX uploads_by_run ON uploads (generation_id, run);
CREATE INDEX uploads_by_age ON uploads (alive_until);

-- Bytes that must go: what was deleted, and what broken transfers may have left. A row ends when the bytes are gone;
-- where a transfer was broken off, when they are still gone a minute later.
CREATE TABLE removals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tier text NOT NULL CHECK (tier IN ('s3', 'local')),
    key text NOT NULL,
    object_id uuid NOT NULL,
    generation_id uuid,
    run integer NOT NULL,
    unfinished boolean NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz,
    seen_gone_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tier, key)
);
CREATE INDEX removals_due ON removals (next_try_at);
CREATE INDEX removals_by_object ON removals (object_id);
CREATE INDEX removals_by_run ON removals (generation_id, run);

-- The one volume that the local tier of all replicas must see.
CREATE TABLE volume (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    id uuid NOT NULL
);
