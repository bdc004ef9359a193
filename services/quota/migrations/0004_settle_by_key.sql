-- Settling finds its run by the key alone.
--
-- As of 0002 the statement also asked for what is open and for the user. Where few runs were open when the table was
-- last analyzed, the planner took the index of those, and every Settle went through all that had been opened since.

CREATE OR REPLACE FUNCTION settle(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid,
    p_stored bigint, p_outcome run_outcome, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    u subjects;
    s standing;
    r reservations;
    reserved bigint;
    verdict text;
BEGIN
    IF p_owner_id IS NULL THEN
        -- A reservation never changes its user, so he may be read before his lock is held.
        SELECT user_id INTO p_owner_id FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    SELECT * INTO u FROM subjects WHERE user_id = p_owner_id FOR NO KEY UPDATE;
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND OR r.user_id <> p_owner_id THEN
        RETURN ('unknown', 0, NULL)::answer;
    END IF;
    s := standing_of(u, p_fallback);
    reserved := coalesce(r.save_bytes, r.reserved_bytes);
    verdict := CASE
        WHEN p_lease_token < r.lease_token THEN 'stale'
        WHEN r.state = 'released' THEN 'ended'
        WHEN r.state = 'reserved' THEN CASE WHEN p_stored - reserved <= room(s) THEN 'done' ELSE 'exceeded' END
        WHEN (r.stored_bytes, r.outcome) = (p_stored, p_outcome) THEN 'replayed'
        ELSE 'mismatch'
    END;
    IF verdict = 'done' THEN
        UPDATE reservations
        SET state = 'settled', lease_token = p_lease_token, stored_bytes = p_stored, outcome = p_outcome,
            settle_time = clock_timestamp()
        WHERE generation_id = p_generation_id AND run = p_run;
        IF r.save_bytes IS NULL THEN
            u := entered(u, 'capture', r.held_credits, p_generation_id, p_run);
        END IF;
        u.used_bytes := u.used_bytes + p_stored;
        u.reserved_bytes := u.reserved_bytes - reserved;
        PERFORM keep(u);
        s.used_bytes := u.used_bytes;
        s.reserved_bytes := u.reserved_bytes;
        RETURN ('done', p_stored, s)::answer;
    END IF;
    IF p_lease_token > r.lease_token THEN
        UPDATE reservations SET lease_token = p_lease_token WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    RETURN (verdict, CASE verdict WHEN 'exceeded' THEN p_stored - reserved ELSE 0 END, s)::answer;
END
$$;
