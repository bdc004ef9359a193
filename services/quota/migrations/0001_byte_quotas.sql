-- Byte quotas: who may keep how much, who keeps how much, and what each run of a generation holds.
--
-- One rule makes everything exact: whoever changes figures of a user holds the lock of his row in `subjects` first, and
-- decides in a later statement. In READ COMMITTED each statement of a function sees what was committed when that
-- statement began, so a decision always sees the figures and the limits as they are once nobody else can change them.
-- Locks are taken in one order (subject, then reservation), so there is no deadlock.

CREATE TABLE group_limits (
    group_id uuid PRIMARY KEY,
    quota_bytes bigint NOT NULL CHECK (quota_bytes >= -1)
);
COMMENT ON COLUMN group_limits.quota_bytes IS '0 = not set, -1 = unlimited; the same everywhere';

CREATE TABLE default_limit (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    quota_bytes bigint NOT NULL DEFAULT 0 CHECK (quota_bytes >= -1)
);
INSERT INTO default_limit DEFAULT VALUES;

CREATE TABLE subjects (
    user_id uuid PRIMARY KEY,
    group_id uuid,
    group_version bigint NOT NULL DEFAULT 0,
    quota_bytes bigint NOT NULL DEFAULT 0 CHECK (quota_bytes >= -1),
    used_bytes bigint NOT NULL DEFAULT 0 CHECK (used_bytes >= 0),
    reserved_bytes bigint NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    update_time timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50); -- room for the next version of a row beside it: no index is touched by an update
COMMENT ON TABLE subjects IS 'A user as quota knows him; his row is the lock of everything he holds';
COMMENT ON COLUMN subjects.group_id IS 'As the gateway last told; null = no group';

CREATE TABLE reservations (
    generation_id uuid NOT NULL,
    run integer NOT NULL CHECK (run >= 0),
    user_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('reserved', 'settled', 'released')),
    lease_token bigint NOT NULL DEFAULT 0,
    reserved_bytes bigint NOT NULL DEFAULT 0 CHECK (reserved_bytes >= 0),
    price_credits bigint NOT NULL DEFAULT 0 CHECK (price_credits >= 0),
    stored_bytes bigint NOT NULL DEFAULT 0 CHECK (stored_bytes >= 0),
    outcome text CHECK (outcome IN ('kept', 'not_kept')),
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    settle_time timestamptz,
    release_time timestamptz,
    PRIMARY KEY (generation_id, run),
    CHECK ((outcome IS NULL) = (settle_time IS NULL)),
    CHECK ((state = 'released') = (release_time IS NOT NULL))
);
COMMENT ON TABLE reservations IS
    'One row for each run. A released one stays as a tombstone that refuses a late Admit; amounts stay as they were';
COMMENT ON COLUMN reservations.lease_token IS 'The highest one seen: a lower one is refused';
CREATE INDEX reservations_open ON reservations (create_time) WHERE state = 'reserved';

-- A user's figures together with the limit that is in force for him.
CREATE TYPE standing AS (
    user_id uuid,
    quota_bytes bigint,
    quota_source text,
    used_bytes bigint,
    reserved_bytes bigint
);

-- What became of a call: done | replayed | exceeded | mismatch | ended | stale | unknown; the bytes it moved (or, when
-- exceeded, wanted); the figures after it. Null figures: the user is not known.
CREATE TYPE answer AS (verdict text, amount_bytes bigint, standing standing);

-- Exactly one row, also for a user never heard of. `p_fallback` is the default from the settings (0 = none).
CREATE FUNCTION standing_of(p_user_id uuid, p_fallback bigint) RETURNS SETOF standing
LANGUAGE sql STABLE AS $$
    SELECT
        u.user_id,
        e.quota_bytes,
        CASE
            WHEN e.quota_bytes = -1 THEN 'unlimited'
            WHEN s.quota_bytes <> 0 THEN 'user'
            WHEN g.quota_bytes <> 0 THEN 'group'
            ELSE 'default'
        END,
        coalesce(s.used_bytes, 0),
        coalesce(s.reserved_bytes, 0)
    FROM (SELECT p_user_id AS user_id) u
    CROSS JOIN default_limit d
    LEFT JOIN subjects s ON s.user_id = u.user_id
    LEFT JOIN group_limits g ON g.group_id = s.group_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            nullif(s.quota_bytes, 0), nullif(g.quota_bytes, 0), nullif(d.quota_bytes, 0), nullif(p_fallback, 0), -1
        ) AS quota_bytes
    ) e
$$;

-- Locks the user's row until the end of the transaction (it is made when there is none) and tells how he stands.
CREATE FUNCTION lock_subject(p_user_id uuid, p_fallback bigint) RETURNS standing
LANGUAGE plpgsql AS $$
DECLARE
    s standing;
BEGIN
    PERFORM 1 FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO subjects (user_id) VALUES (p_user_id) ON CONFLICT (user_id) DO NOTHING;
        PERFORM 1 FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    END IF;
    SELECT * INTO s FROM standing_of(p_user_id, p_fallback);
    RETURN s;
END
$$;

-- What may still be added. Nothing asked for always fits. "Unlimited" ends at 4 EiB, where sums would begin to overflow.
CREATE FUNCTION room(s standing) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT greatest(
        0, CASE s.quota_bytes WHEN -1 THEN 4611686018427387904 ELSE s.quota_bytes END - s.used_bytes - s.reserved_bytes
    )
$$;

CREATE FUNCTION admit(
    p_generation_id uuid, p_run integer, p_user_id uuid, p_reserve bigint, p_price bigint, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql AS $$
DECLARE
    s standing := lock_subject(p_user_id, p_fallback);
    r reservations;
BEGIN
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND THEN
        IF p_reserve > room(s) THEN
            RETURN ('exceeded', p_reserve, s)::answer;
        END IF;
        INSERT INTO reservations (generation_id, run, user_id, state, reserved_bytes, price_credits)
        VALUES (p_generation_id, p_run, p_user_id, 'reserved', p_reserve, p_price)
        ON CONFLICT (generation_id, run) DO NOTHING;
        IF FOUND THEN
            UPDATE subjects
            SET reserved_bytes = reserved_bytes + p_reserve, update_time = clock_timestamp()
            WHERE user_id = p_user_id;
            s.reserved_bytes := s.reserved_bytes + p_reserve;
            RETURN ('done', p_reserve, s)::answer;
        END IF;
        -- The same run of another user came first: his lock is not ours.
        SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    RETURN (
        CASE
            WHEN r.user_id <> p_user_id THEN 'mismatch'
            WHEN r.state = 'released' THEN 'ended'
            WHEN (r.reserved_bytes, r.price_credits) <> (p_reserve, p_price) THEN 'mismatch'
            ELSE 'replayed'
        END, 0, s
    )::answer;
END
$$;

-- `p_owner_id` is the user it must belong to; null = whoever's it is.
CREATE FUNCTION settle(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid,
    p_stored bigint, p_outcome text, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql AS $$
DECLARE
    s standing;
    r reservations;
    excess bigint;
    verdict text;
BEGIN
    -- A reservation never changes its user, so he may be read before his lock is held; all else is read after.
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND OR r.user_id <> p_owner_id THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    s := lock_subject(r.user_id, p_fallback);
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;

    excess := p_stored - r.reserved_bytes;
    verdict := CASE
        WHEN p_lease_token < r.lease_token THEN 'stale'
        WHEN r.state = 'released' THEN 'ended'
        WHEN r.state = 'settled' AND (r.stored_bytes, r.outcome) = (p_stored, p_outcome) THEN 'replayed'
        WHEN r.state = 'settled' THEN 'mismatch'
        WHEN excess > room(s) THEN 'exceeded'
        ELSE 'done'
    END;
    IF verdict = 'done' THEN
        UPDATE reservations
        SET state = 'settled', lease_token = p_lease_token, stored_bytes = p_stored, outcome = p_outcome,
            settle_time = clock_timestamp()
        WHERE generation_id = p_generation_id AND run = p_run;
        UPDATE subjects
        SET used_bytes = used_bytes + p_stored, reserved_bytes = reserved_bytes - r.reserved_bytes,
            update_time = clock_timestamp()
        WHERE user_id = r.user_id;
        s.used_bytes := s.used_bytes + p_stored;
        s.reserved_bytes := s.reserved_bytes - r.reserved_bytes;
        RETURN (verdict, p_stored, s)::answer;
    END IF;
    IF p_lease_token > r.lease_token THEN
        UPDATE reservations SET lease_token = p_lease_token WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    RETURN (verdict, CASE verdict WHEN 'exceeded' THEN excess ELSE 0 END, s)::answer;
END
$$;

-- `p_owner_id` as above, but it is needed for a run never admitted, which is then refused for ever.
CREATE FUNCTION release(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql AS $$
DECLARE
    s standing;
    r reservations;
    held bigint := 0;
    kept bigint := 0;
BEGIN
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND THEN
        IF p_owner_id IS NULL THEN
            RETURN ('unknown', 0, NULL)::answer;
        END IF;
        s := lock_subject(p_owner_id, p_fallback);
        INSERT INTO reservations (generation_id, run, user_id, state, lease_token, release_time)
        VALUES (p_generation_id, p_run, p_owner_id, 'released', p_lease_token, clock_timestamp())
        ON CONFLICT (generation_id, run) DO NOTHING;
        IF FOUND THEN
            RETURN ('done', 0, s)::answer;
        END IF;
        -- An Admit came first after all.
        SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    IF r.user_id <> p_owner_id THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    s := lock_subject(r.user_id, p_fallback);
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;

    IF p_lease_token < r.lease_token THEN
        RETURN ('stale', 0, s)::answer;
    END IF;
    IF r.state = 'released' THEN
        IF p_lease_token > r.lease_token THEN
            UPDATE reservations SET lease_token = p_lease_token WHERE generation_id = p_generation_id AND run = p_run;
        END IF;
        RETURN ('replayed', 0, s)::answer;
    END IF;
    CASE r.state WHEN 'reserved' THEN held := r.reserved_bytes; ELSE kept := r.stored_bytes; END CASE;
    UPDATE reservations
    SET state = 'released', lease_token = p_lease_token, release_time = clock_timestamp()
    WHERE generation_id = p_generation_id AND run = p_run;
    UPDATE subjects
    SET used_bytes = used_bytes - kept, reserved_bytes = reserved_bytes - held, update_time = clock_timestamp()
    WHERE user_id = r.user_id;
    s.used_bytes := s.used_bytes - kept;
    s.reserved_bytes := s.reserved_bytes - held;
    RETURN ('done', held + kept, s)::answer;
END
$$;

-- Gives up at most `p_limit` reservations older than `p_age`; returns how many. Does nothing while another one does it.
CREATE FUNCTION release_abandoned(p_age interval, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    candidate record;
    held bigint;
    released integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext(current_schema() || '.release_abandoned')) THEN
        RETURN 0;
    END IF;
    FOR candidate IN
        SELECT old.* FROM (
            SELECT generation_id, run, user_id FROM reservations
            WHERE state = 'reserved' AND create_time < now() - p_age
            ORDER BY create_time LIMIT p_limit
        ) old
        ORDER BY user_id
    LOOP
        PERFORM 1 FROM subjects WHERE user_id = candidate.user_id FOR NO KEY UPDATE;
        -- It may have been settled since the list was made.
        UPDATE reservations SET state = 'released', release_time = clock_timestamp()
        WHERE generation_id = candidate.generation_id AND run = candidate.run AND state = 'reserved'
        RETURNING reserved_bytes INTO held;
        IF FOUND THEN
            UPDATE subjects SET reserved_bytes = reserved_bytes - held, update_time = clock_timestamp()
            WHERE user_id = candidate.user_id;
            released := released + 1;
        END IF;
    END LOOP;
    RETURN released;
END
$$;
