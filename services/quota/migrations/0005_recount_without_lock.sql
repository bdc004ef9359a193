-- Counting without repairing holds no lock: it can take seconds, and whoever shares a statement with that user's next
-- Admit would wait as long. Its figures belong together when the caller's transaction is REPEATABLE READ.

CREATE OR REPLACE FUNCTION recount(
    p_user_id uuid, p_generation_ids uuid[], p_runs integer[], p_bytes bigint[], p_listed timestamptz, p_repair boolean
) RETURNS recount
LANGUAGE plpgsql AS $$
DECLARE
    u subjects;
    c recount;
BEGIN
    IF p_repair THEN
        SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO u FROM subjects WHERE user_id = p_user_id;
    END IF;
    c.user_id := p_user_id;
    c.recorded_used := coalesce(u.used_bytes, 0);
    c.recorded_reserved := coalesce(u.reserved_bytes, 0);
    c.recorded_balance := coalesce(u.balance, 0);
    c.recorded_held := coalesce(u.held, 0);
    c.recorded_spent := coalesce(u.spent, 0);

    WITH found AS (
        SELECT f.generation_id, f.run, sum(f.bytes)::bigint AS bytes
        FROM unnest(p_generation_ids, p_runs, p_bytes) AS f (generation_id, run, bytes)
        GROUP BY f.generation_id, f.run
    ), counted AS (
        SELECT r.generation_id, r.run, r.stored_bytes,
            CASE WHEN r.settle_time > p_listed THEN r.stored_bytes ELSE coalesce(f.bytes, 0) END AS bytes
        FROM reservations r LEFT JOIN found f USING (generation_id, run)
        WHERE r.user_id = p_user_id AND r.state = 'settled' AND r.outcome = 'kept'
    )
    SELECT coalesce(sum(bytes), 0),
        array_agg(generation_id ORDER BY generation_id, run) FILTER (WHERE bytes <> stored_bytes),
        array_agg(run ORDER BY generation_id, run) FILTER (WHERE bytes <> stored_bytes),
        array_agg(stored_bytes ORDER BY generation_id, run) FILTER (WHERE bytes <> stored_bytes),
        array_agg(bytes ORDER BY generation_id, run) FILTER (WHERE bytes <> stored_bytes)
    INTO c.counted_used, c.generation_ids, c.runs, c.recorded_bytes, c.found_bytes
    FROM counted;

    SELECT coalesce(sum(f.bytes), 0) INTO c.unaccounted
    FROM unnest(p_generation_ids, p_runs, p_bytes) AS f (generation_id, run, bytes)
    LEFT JOIN reservations r ON r.generation_id = f.generation_id AND r.run = f.run AND r.user_id = p_user_id
    WHERE r.state IS NULL OR r.state = 'released' OR (r.state = 'settled' AND r.outcome = 'not_kept');

    SELECT coalesce(sum(coalesce(save_bytes, reserved_bytes)), 0),
        coalesce(sum(held_credits) FILTER (WHERE save_bytes IS NULL), 0)
    INTO c.counted_reserved, c.open_holds
    FROM reservations WHERE state = 'reserved' AND user_id = p_user_id;
    c.open_holds := c.open_holds
        + coalesce((SELECT sum(credits) FROM holds WHERE state = 'held' AND user_id = p_user_id), 0);

    SELECT
        coalesce(sum(amount) FILTER (WHERE to_account = 'available'), 0)
            - coalesce(sum(amount) FILTER (WHERE from_account = 'available'), 0),
        coalesce(sum(amount) FILTER (WHERE to_account = 'held'), 0)
            - coalesce(sum(amount) FILTER (WHERE from_account = 'held'), 0),
        coalesce(sum(amount) FILTER (WHERE to_account = 'spent'), 0)
    INTO c.counted_balance, c.counted_held, c.counted_spent
    FROM ledger WHERE user_id = p_user_id;

    -- Where the ledger and what is open contradict one another, no counting tells which is right.
    IF p_repair AND u.user_id IS NOT NULL AND c.counted_held = c.open_holds THEN
        UPDATE reservations r SET stored_bytes = d.bytes
        FROM unnest(c.generation_ids, c.runs, c.found_bytes) AS d (generation_id, run, bytes)
        WHERE r.generation_id = d.generation_id AND r.run = d.run;
        u.used_bytes := c.counted_used;
        u.reserved_bytes := c.counted_reserved;
        u.balance := c.counted_balance;
        u.held := c.counted_held;
        u.spent := c.counted_spent;
        PERFORM keep(u);
    END IF;
    RETURN c;
END
$$;
