-- People.

CREATE TABLE groups (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'admin')),
    group_id uuid REFERENCES groups ON DELETE SET NULL,
    disabled boolean NOT NULL DEFAULT false,
    -- Grows in the transaction of each change of a generation of this user: order of commit = order of revs.
    rev bigint NOT NULL DEFAULT 0,
    -- Deletions up to this rev are forgotten: a watcher that saw less must start anew.
    watch_horizon bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A session is a chain of refresh tokens of which only the newest works; using an older one ends the session. The id is
-- random and stands in its refresh tokens only: who knows it has held one of them.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    -- SHA-256 of the newest secret.
    secret_hash bytea NOT NULL,
    generation integer NOT NULL DEFAULT 0,
    -- Of the secret before, and what the newest was derived with from it: two tabs that show the same token at once get
    -- the same next one. Null before the first rotation.
    previous_hash bytea,
    salt bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_age ON sessions (expires_at);

CREATE TABLE login_failures (
    email_hash bytea NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_failures_recent ON login_failures (email_hash, failed_at);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    hint text NOT NULL,
    secret_hash bytea NOT NULL UNIQUE,
    models text[] NOT NULL DEFAULT '{}',
    concurrency_limit integer NOT NULL DEFAULT 0,
    requests_per_minute integer NOT NULL DEFAULT 0,
    expires_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX api_keys_user ON api_keys (user_id);

-- Upstream accounts.

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    dialect text NOT NULL,
    base_url text NOT NULL,
    sealed_credential bytea NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    concurrency_limit integer NOT NULL DEFAULT 0,
    group_ids uuid[] NOT NULL DEFAULT '{}',
    models text[] NOT NULL DEFAULT '{}',
    model_map jsonb NOT NULL DEFAULT '{}',
    options jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled', 'error')),
    failures integer NOT NULL DEFAULT 0,
    cooldown_until timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Generations. The row is its own queue: `next_run_at` says when somebody has to look at it (null: nothing is owed), the
-- lease says who does. `lease_token` grows with each claim and each change by the owner; whoever carries an older one
-- writes nothing.

CREATE TABLE generations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    api_key_id uuid,
    run integer NOT NULL DEFAULT 0,
    rev bigint NOT NULL,

    model text NOT NULL,
    prompt text NOT NULL,
    media_type text NOT NULL CHECK (media_type IN ('video', 'image')),
    orientation text NOT NULL,
    duration_seconds integer,
    count integer NOT NULL DEFAULT 1,
    parameters jsonb NOT NULL DEFAULT '{}',
    input_urls text[] NOT NULL DEFAULT '{}',

    status text NOT NULL CHECK (status IN ('pending', 'generating', 'completed', 'failed', 'cancelled')),
    stage text NOT NULL
        CHECK (stage IN ('admitting', 'queued', 'submitting', 'generating', 'unknown', 'storing', 'stored')),
    progress_percent integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    storage_type text NOT NULL DEFAULT 'none' CHECK (storage_type IN ('none', 's3', 'local', 'upstream')),
    size_bytes bigint NOT NULL DEFAULT 0,
    error_code text,
    error_message text,
    notice_code text,
    notice_message text,
    credits bigint NOT NULL DEFAULT 0,
    reserved_bytes bigint NOT NULL DEFAULT 0,
    cached boolean NOT NULL DEFAULT false,

    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    expires_at timestamptz,
    deadline_at timestamptz NOT NULL,
    unknown_since timestamptz,
    deleted_at timestamptz,

    next_run_at timestamptz,
    lease_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    -- Unexpected errors of ours: three put it in quarantine.
    crashes integer NOT NULL DEFAULT 0
);
CREATE INDEX generations_due ON generations (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX generations_of_user ON generations (user_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX generations_rev ON generations (user_id, rev);
CREATE INDEX generations_active ON generations (user_id) WHERE status IN ('pending', 'generating');

-- Intent before effect: the row exists before the submit. `upstream_task_id` is written once, by whoever learns it.
CREATE TABLE attempts (
    generation_id uuid NOT NULL REFERENCES generations ON DELETE CASCADE,
    run integer NOT NULL,
    number integer NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts,
    upstream_task_id text,
    -- open: being submitted or followed; refused: surely not accepted; ended: nothing more to do at the upstream.
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'refused', 'ended')),
    detail text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation_id, run, number)
);
CREATE INDEX attempts_open ON attempts (account_id) WHERE state = 'open';

-- What a run brought. `upstream_url` is where the upstream has it (the credential comes from the account).
CREATE TABLE media (
    generation_id uuid NOT NULL REFERENCES generations ON DELETE CASCADE,
    run integer NOT NULL,
    index integer NOT NULL,
    object_id uuid NOT NULL UNIQUE,
    account_id uuid NOT NULL REFERENCES accounts,
    upstream_url text NOT NULL,
    upstream_expires_at timestamptz,
    tier text CHECK (tier IN ('s3', 'local')),
    content_type text NOT NULL DEFAULT '',
    size_bytes bigint NOT NULL DEFAULT 0,
    width integer NOT NULL DEFAULT 0,
    height integer NOT NULL DEFAULT 0,
    duration_seconds double precision,
    PRIMARY KEY (generation_id, run, index)
);

-- What a watcher has to forget; kept for a week.
CREATE TABLE deleted_generations (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    rev bigint NOT NULL,
    generation_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, rev)
);
CREATE INDEX deleted_generations_age ON deleted_generations (deleted_at);

CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    route text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    generation_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Hints. Listeners read for themselves; a lost one costs a few seconds.
CREATE FUNCTION notify_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('generations_changed', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER users_rev AFTER UPDATE OF rev ON users FOR EACH ROW EXECUTE FUNCTION notify_changed();

CREATE FUNCTION notify_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('generations_due', NEW.id::text);
    RETURN NULL;
END $$;
-- Free and due now: whoever is idle shall claim it; whoever thought to hold it shall see that it does not.
CREATE TRIGGER generations_due_hint AFTER INSERT OR UPDATE OF next_run_at, lease_until ON generations
    FOR EACH ROW WHEN (NEW.next_run_at <= now() AND NEW.lease_until IS NULL) EXECUTE FUNCTION notify_due();
