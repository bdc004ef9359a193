-- What became of the runs of each day.
--
-- The day of a run is that of its admission, so `create_time` never changes any more: when it was tried to be saved is
-- written beside it. A tombstone of a run that was never admitted belongs to no day.

ALTER TABLE reservations
    ADD COLUMN save_time timestamptz,
    ADD COLUMN was_admitted boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN reservations.create_time IS 'When it was admitted; of a tombstone, when it was released';
COMMENT ON COLUMN reservations.save_time IS 'When it was last admitted anew to be saved';
COMMENT ON COLUMN reservations.was_admitted IS 'False: released before it was ever admitted';

-- Tombstones of before are told from free runs of no size, which hardly exist, by what they hold.
UPDATE reservations SET was_admitted = false
WHERE state = 'released' AND outcome IS NULL AND reserved_bytes = 0 AND price_credits = 0;

-- One user's runs, whole or by day; all runs of a day. The latter costs a statement next to nothing, and its intervals
-- bear it that an old row which is changed moves among new ones.
DROP INDEX reservations_kept;
CREATE INDEX reservations_of_user ON reservations (user_id, create_time);
CREATE INDEX reservations_by_time ON reservations
    USING brin (create_time timestamptz_minmax_multi_ops) WITH (autosummarize = on);

CREATE TYPE day_usage AS (
    user_id uuid, day date, runs bigint, kept bigint, delivered bigint, failed bigint,
    kept_bytes bigint, spent_credits bigint
);

-- The first `p_limit` days with runs from `p_first` to `p_last`, by date and user; of `p_first` only users behind
-- `p_after`, null = all of it. Of all users (`p_user_id` null) one day is counted after the other, so that a page costs
-- what its days cost and not what the whole time does. A run that settled once has an outcome, and its price is spent.
CREATE FUNCTION usage_by_day(p_user_id uuid, p_first date, p_last date, p_after uuid, p_limit integer)
RETURNS SETOF day_usage
-- Planned for what is asked for: of one user by the one index, of all by the other.
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan SET timezone = 'UTC' AS $$
DECLARE
    days integer := CASE WHEN p_user_id IS NULL THEN 1 ELSE p_last - p_first + 1 END;
    begins date := p_first;
    ends date;
    found integer;
BEGIN
    WHILE begins <= p_last AND p_limit > 0 LOOP
        ends := begins + days;
        RETURN QUERY
        SELECT r.user_id, r.create_time::date, count(*),
            count(*) FILTER (WHERE r.state = 'settled' AND r.outcome = 'kept'),
            count(*) FILTER (WHERE r.outcome IS NOT NULL AND NOT (r.state = 'settled' AND r.outcome = 'kept')),
            count(*) FILTER (WHERE r.outcome IS NULL AND r.state = 'released'),
            coalesce(sum(r.stored_bytes) FILTER (WHERE r.state = 'settled' AND r.outcome = 'kept'), 0)::bigint,
            coalesce(sum(r.held_credits) FILTER (WHERE r.outcome IS NOT NULL), 0)::bigint
        FROM reservations r
        WHERE r.was_admitted AND (p_user_id IS NULL OR r.user_id = p_user_id)
          AND r.create_time >= begins::timestamptz AND r.create_time < ends::timestamptz
          AND (p_after IS NULL OR (r.create_time::date, r.user_id) > (p_first, p_after))
        GROUP BY 1, 2
        ORDER BY 2, 1
        LIMIT p_limit;
        GET DIAGNOSTICS found = ROW_COUNT;
        p_limit := p_limit - found;
        begins := ends;
    END LOOP;
END
$$;

-- As of 0002, but a save does not change when the run was admitted. The run is found by its key alone: the indexes by user
-- and of what is open would lead to many.
CREATE OR REPLACE FUNCTION admit_save(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_user_id uuid, p_reserve bigint, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    u subjects;
    s standing;
    r reservations;
    verdict text;
BEGIN
    SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    s := standing_of(u, p_fallback);
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND OR r.user_id <> p_user_id THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    verdict := CASE
        WHEN p_lease_token < r.lease_token THEN 'stale'
        WHEN r.state = 'released' THEN 'ended'
        WHEN r.state = 'settled' AND r.outcome = 'not_kept' AND p_lease_token > r.lease_token THEN
            CASE WHEN p_reserve <= room(s) THEN 'done' ELSE 'exceeded' END
        WHEN r.save_bytes = p_reserve THEN 'replayed'
        ELSE 'mismatch'
    END;
    IF verdict = 'done' THEN
        UPDATE reservations
        SET state = 'reserved', save_bytes = p_reserve, lease_token = p_lease_token, save_time = clock_timestamp()
        WHERE generation_id = p_generation_id AND run = p_run;
        u.reserved_bytes := u.reserved_bytes + p_reserve;
        PERFORM keep(u);
        s.reserved_bytes := u.reserved_bytes;
    ELSIF verdict <> 'exceeded' AND p_lease_token > r.lease_token THEN
        -- A refused save may be repeated with the token it has, once there is room.
        UPDATE reservations SET lease_token = p_lease_token WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    RETURN (verdict, CASE WHEN verdict IN ('done', 'exceeded') THEN p_reserve ELSE 0 END, s)::answer;
END
$$;

-- As of 0002, but its tombstones say that nothing was admitted.
CREATE OR REPLACE FUNCTION release(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    u subjects;
    s standing;
    r reservations;
    reserved bigint := 0;
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
        INSERT INTO reservations (generation_id, run, user_id, state, lease_token, release_time, was_admitted)
        VALUES (p_generation_id, p_run, p_owner_id, 'released', p_lease_token, clock_timestamp(), false)
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
    UPDATE reservations
    SET state = 'released', lease_token = p_lease_token, release_time = clock_timestamp()
    WHERE generation_id = p_generation_id AND run = p_run;
    SELECT * INTO u FROM subjects WHERE user_id = p_owner_id;
    IF r.state = 'settled' THEN
        kept := r.stored_bytes;
    ELSE
        reserved := coalesce(r.save_bytes, r.reserved_bytes);
        IF r.save_bytes IS NULL THEN
            u := entered(u, 'refund', r.held_credits, p_generation_id, p_run);
        END IF;
    END IF;
    u.used_bytes := u.used_bytes - kept;
    u.reserved_bytes := u.reserved_bytes - reserved;
    PERFORM keep(u);
    s.used_bytes := u.used_bytes;
    s.reserved_bytes := u.reserved_bytes;
    s.balance := u.balance;
    RETURN ('done', kept + reserved, s)::answer;
END
$$;

-- As of 0002. A save begins the time of a run anew.
CREATE OR REPLACE FUNCTION release_abandoned(p_age interval, p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    candidate record;
    u subjects;
    r reservations;
    given_up integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext(current_schema() || '.release_abandoned')) THEN
        RETURN 0;
    END IF;
    FOR candidate IN
        SELECT old.* FROM (
            SELECT generation_id, run, user_id FROM reservations
            WHERE state = 'reserved' AND create_time < now() - p_age
              AND (save_time IS NULL OR save_time < now() - p_age)
            ORDER BY create_time LIMIT p_limit
        ) old
        ORDER BY user_id
    LOOP
        SELECT * INTO u FROM subjects WHERE user_id = candidate.user_id FOR NO KEY UPDATE;
        -- It may have been settled, and saved, since the list was made.
        UPDATE reservations
        SET state = CASE WHEN save_bytes IS NULL THEN 'released' ELSE 'settled' END::reservation_state,
            release_time = CASE WHEN save_bytes IS NULL THEN clock_timestamp() END
        WHERE generation_id = candidate.generation_id AND run = candidate.run AND state = 'reserved'
          AND (save_time IS NULL OR save_time < now() - p_age)
        RETURNING * INTO r;
        IF FOUND THEN
            IF r.save_bytes IS NULL THEN
                u := entered(u, 'refund', r.held_credits, r.generation_id, r.run, 'abandoned', 'quota');
            END IF;
            u.reserved_bytes := u.reserved_bytes - coalesce(r.save_bytes, r.reserved_bytes);
            PERFORM keep(u);
            given_up := given_up + 1;
        END IF;
    END LOOP;
    RETURN given_up;
END
$$;
