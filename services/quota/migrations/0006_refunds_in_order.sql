-- What nobody ended is refunded in the order it was admitted in: the ledger of a user is not to depend on the plan of a query.

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
            SELECT generation_id, run, user_id, create_time FROM reservations
            WHERE state = 'reserved' AND create_time < now() - p_age
              AND (save_time IS NULL OR save_time < now() - p_age)
            ORDER BY create_time LIMIT p_limit
        ) old
        ORDER BY user_id, create_time
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

CREATE OR REPLACE FUNCTION refund_expired(p_limit integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    candidate record;
    u subjects;
    h holds;
    refunded integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext(current_schema() || '.refund_expired')) THEN
        RETURN 0;
    END IF;
    FOR candidate IN
        SELECT old.* FROM (
            SELECT request_id, user_id, expire_time FROM holds
            WHERE state = 'held' AND expire_time <= now()
            ORDER BY expire_time LIMIT p_limit
        ) old
        ORDER BY user_id, expire_time
    LOOP
        SELECT * INTO u FROM subjects WHERE user_id = candidate.user_id FOR NO KEY UPDATE;
        SELECT * INTO h FROM holds WHERE request_id = candidate.request_id AND state = 'held';
        IF FOUND THEN
            u := hold_ended(u, h, 'released', 'expired');
            refunded := refunded + 1;
        END IF;
    END LOOP;
    RETURN refunded;
END
$$;
