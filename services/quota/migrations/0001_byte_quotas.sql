-- Byte quotas: who may keep how much, who keeps how much, and what each run of a generation holds.
--
-- One rule makes everything exact: whoever changes figures of a user holds the lock of his row in `subjects` first, and
-- decides in a later statement. In READ COMMITTED each statement of a function sees what was committed when that
-- statement began, so a decision always sees the figures and the limits as they are once nobody else can change them.
-- Locks are taken in one order (subject, then reservation), so there is no deadlock.
--
-- `force_generic_plan`: each statement is planned once for each connection. Left to itself the planner plans the look at
-- the limits anew at every call, which doubles the cost of all of it.

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
    quota_bytes bigint NOT NULL DEFAULT 0,
    used_bytes bigint NOT NULL DEFAULT 0,
    reserved_bytes bigint NOT NULL DEFAULT 0,
    update_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (used_bytes >= 0 AND reserved_bytes >= 0 AND quota_bytes >= -1)
) WITH (fillfactor = 50); -- room for the next version of a row beside it: no index is touched by an update
COMMENT ON TABLE subjects IS 'A user as quota knows him; his row is the lock of everything he holds';
COMMENT ON COLUMN subjects.group_id IS 'As the gateway last told; null = no group';

CREATE TYPE reservation_state AS ENUM ('reserved', 'settled', 'released');
CREATE TYPE run_outcome AS ENUM ('kept', 'not_kept');

CREATE TABLE reservations (
    generation_id uuid NOT NULL,
    run integer NOT NULL,
    user_id uuid NOT NULL,
    state reservation_state NOT NULL,
    lease_token bigint NOT NULL DEFAULT 0,
    reserved_bytes bigint NOT NULL DEFAULT 0,
    price_credits bigint NOT NULL DEFAULT 0,
    stored_bytes bigint NOT NULL DEFAULT 0,
    outcome run_outcome,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    settle_time timestamptz,
    release_time timestamptz,
    PRIMARY KEY (generation_id, run),
    -- One constraint, since each one costs every statement that writes.
    CHECK (least(run, lease_token, reserved_bytes, price_credits, stored_bytes) >= 0)
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

-- The limit in force: the user's own, else his group's, else the default that an administrator set, else the one of the
-- settings (`p_fallback`), else none. Exactly one row.
CREATE FUNCTION effective_quota(p_own bigint, p_group_id uuid, p_fallback bigint)
RETURNS TABLE (quota_bytes bigint, quota_source text)
LANGUAGE sql STABLE AS $$
    SELECT
        e.quota_bytes,
        CASE
            WHEN e.quota_bytes = -1 THEN 'unlimited'
            WHEN p_own <> 0 THEN 'user'
            WHEN g.quota_bytes <> 0 THEN 'group'
            ELSE 'default'
        END
    FROM default_limit d
    LEFT JOIN group_limits g ON g.group_id = p_group_id
    CROSS JOIN LATERAL (
        SELECT coalesce(
            nullif(p_own, 0), nullif(g.quota_bytes, 0), nullif(d.quota_bytes, 0), nullif(p_fallback, 0), -1
        ) AS quota_bytes
    ) e
$$;

-- Locks the user's row until the end of the transaction and tells how he stands; null when he is not known.
CREATE FUNCTION lock_subject(p_user_id uuid, p_fallback bigint) RETURNS standing
LANGUAGE plpgsql AS $$
DECLARE
    r subjects;
    s standing;
BEGIN
    SELECT * INTO r FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF FOUND THEN
        -- A statement of its own: what was changed while we waited for the lock counts.
        SELECT r.user_id, q.quota_bytes, q.quota_source, r.used_bytes, r.reserved_bytes INTO s
        FROM effective_quota(r.quota_bytes, r.group_id, p_fallback) q;
    END IF;
    RETURN s;
END
$$;

-- The same for a user who may be new.
CREATE FUNCTION lock_or_make_subject(p_user_id uuid, p_fallback bigint) RETURNS standing
LANGUAGE plpgsql AS $$
DECLARE
    s standing := lock_subject(p_user_id, p_fallback);
BEGIN
    IF s.user_id IS NULL THEN
        INSERT INTO subjects (user_id) VALUES (p_user_id) ON CONFLICT (user_id) DO NOTHING;
        s := lock_subject(p_user_id, p_fallback);
    END IF;
    RETURN s;
END
$$;

-- Changes what a user holds. Call it with his lock held; returns how he stands after it.
CREATE FUNCTION move(s standing, p_used bigint, p_reserved bigint) RETURNS standing
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE subjects
    SET used_bytes = used_bytes + p_used, reserved_bytes = reserved_bytes + p_reserved, update_time = clock_timestamp()
    WHERE user_id = s.user_id
    RETURNING used_bytes, reserved_bytes INTO s.used_bytes, s.reserved_bytes;
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
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    s standing := lock_or_make_subject(p_user_id, p_fallback);
    fits boolean := p_reserve <= room(s);
    r reservations;
BEGIN
    IF fits THEN
        INSERT INTO reservations (generation_id, run, user_id, state, reserved_bytes, price_credits)
        VALUES (p_generation_id, p_run, p_user_id, 'reserved', p_reserve, p_price)
        ON CONFLICT (generation_id, run) DO NOTHING;
        IF FOUND THEN
            RETURN ('done', p_reserve, move(s, 0, p_reserve))::answer;
        END IF;
    END IF;
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND THEN
        RETURN ('exceeded', p_reserve, s)::answer;
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
    p_stored bigint, p_outcome run_outcome, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    s standing;
    r reservations;
    verdict text;
BEGIN
    IF p_owner_id IS NULL THEN
        -- A reservation never changes its user, so he may be read before his lock is held.
        SELECT user_id INTO p_owner_id FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    s := lock_subject(p_owner_id, p_fallback);
    UPDATE reservations
    SET state = 'settled', lease_token = p_lease_token, stored_bytes = p_stored, outcome = p_outcome,
        settle_time = clock_timestamp()
    WHERE generation_id = p_generation_id AND run = p_run AND user_id = p_owner_id
      AND state = 'reserved' AND lease_token <= p_lease_token AND p_stored - reserved_bytes <= room(s)
    RETURNING * INTO r;
    IF FOUND THEN
        RETURN ('done', p_stored, move(s, p_stored, -r.reserved_bytes))::answer;
    END IF;

    SELECT * INTO r FROM reservations
    WHERE generation_id = p_generation_id AND run = p_run AND user_id = p_owner_id;
    IF NOT FOUND THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    verdict := CASE
        WHEN p_lease_token < r.lease_token THEN 'stale'
        WHEN r.state = 'released' THEN 'ended'
        WHEN r.state = 'reserved' THEN 'exceeded'
        WHEN (r.stored_bytes, r.outcome) = (p_stored, p_outcome) THEN 'replayed'
        ELSE 'mismatch'
    END;
    IF p_lease_token > r.lease_token THEN
        UPDATE reservations SET lease_token = p_lease_token WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    RETURN (verdict, CASE verdict WHEN 'exceeded' THEN p_stored - r.reserved_bytes ELSE 0 END, s)::answer;
END
$$;

-- `p_owner_id` as above, but it is needed for a run never admitted, which is then refused for ever.
CREATE FUNCTION release(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    s standing;
    r reservations;
    held bigint := 0;
    kept bigint := 0;
BEGIN
    IF p_owner_id IS NULL THEN
        SELECT user_id INTO p_owner_id FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
        IF NOT FOUND THEN
            RETURN ('unknown', 0, NULL)::answer;
        END IF;
    END IF;
    s := lock_or_make_subject(p_owner_id, p_fallback);
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND THEN
        INSERT INTO reservations (generation_id, run, user_id, state, lease_token, release_time)
        VALUES (p_generation_id, p_run, p_owner_id, 'released', p_lease_token, clock_timestamp())
        ON CONFLICT (generation_id, run) DO NOTHING;
        IF FOUND THEN
            RETURN ('done', 0, s)::answer;
        END IF;
        -- The same run of another user came first: his lock is not ours.
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    IF r.user_id <> p_owner_id THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
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
    RETURN ('done', held + kept, move(s, -kept, -held))::answer;
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
