-- Which installation this is: its id stands in the marker object of every bucket prefix that it sweeps. A backup that is
-- restored is the same installation.
CREATE TABLE installation (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- `missing_since`: when a sweep found that the bytes are not there (NULL: they were, when last looked for). `adopted_at`:
-- when a sweep made this row from the bytes of a work that no row knew; its generation is unknown until it asks for it.
ALTER TABLE objects ADD COLUMN missing_since timestamptz, ADD COLUMN adopted_at timestamptz;
-- In the order in which a bucket lists its keys, whatever the collation of the database.
CREATE INDEX objects_in_order ON objects (tier, key COLLATE "C");

-- When the bytes were gone for good. The row then stays as a trace for 60 days, never due (next_try_at = infinity): bytes
-- that turn up under its key are garbage, and not a work that a restored database has forgotten.
ALTER TABLE removals ADD COLUMN gone_at timestamptz;
CREATE INDEX removals_pending ON removals (id) WHERE seen_gone_at IS NULL;
CREATE INDEX removals_gone ON removals (gone_at) WHERE gone_at IS NOT NULL;

-- Keys whose bytes belong to nothing: marked by one sweep, removed by a later one.
CREATE TABLE orphans (
    tier text NOT NULL CHECK (tier IN ('s3', 'local')),
    key text NOT NULL,
    object_id uuid NOT NULL,
    size_bytes bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tier, key)
);

-- How each ingest, upload and move ended; `created_at` is when it began. Kept for 90 days.
CREATE TABLE upload_log (
    id uuid PRIMARY KEY,
    object_id uuid NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    tier text CHECK (tier IN ('s3', 'local')),
    size_bytes bigint NOT NULL,
    duration_ms bigint NOT NULL,
    failure_reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL
);
CREATE INDEX upload_log_by_age ON upload_log (created_at);

-- What S3 was asked to do, by day (UTC), added up over all replicas.
CREATE TABLE usage_days (
    day date PRIMARY KEY,
    write_operations bigint NOT NULL DEFAULT 0,
    read_operations bigint NOT NULL DEFAULT 0,
    egress_bytes bigint NOT NULL DEFAULT 0
);
