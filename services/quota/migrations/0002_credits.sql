-- Credits: a ledger of which every balance is the sum, prices, holds for runs and for requests, and recounting.
--
-- The user's row in `subjects` is the lock of his credits, too, so the rules of 0001 hold for them word for word. A
-- function reads the row under its lock, works out on paper what it becomes (`entered` writes the ledger's part of it)
-- and writes it back once.
--
-- Functions of 0001 that are replaced keep their signatures: processes of the release before call them as ever, and
-- end runs with their money. Their `admit` holds none, and for them no run has a price.

-- How much a user can spend, what his runs and requests hold, and what he spent. What he earned needs no column:
-- whatever was issued to him lies in one of these three.
ALTER TABLE subjects
    ADD COLUMN balance bigint NOT NULL DEFAULT 0,
    ADD COLUMN held bigint NOT NULL DEFAULT 0,
    ADD COLUMN spent bigint NOT NULL DEFAULT 0,
    ADD COLUMN ledger_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN is_welcomed boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT subjects_check,
    ADD CONSTRAINT subjects_check CHECK (
        least(used_bytes, reserved_bytes, quota_bytes + 1, balance, held, spent, ledger_seq) >= 0
    );
COMMENT ON COLUMN subjects.ledger_seq IS 'How many entries of the ledger are his';
COMMENT ON COLUMN subjects.is_welcomed IS 'What new users get has been given to him (it may be nothing)';

CREATE TYPE ledger_kind AS ENUM ('grant', 'correction', 'hold', 'capture', 'refund');
CREATE TYPE ledger_account AS ENUM ('issued', 'available', 'held', 'spent');

CREATE TABLE ledger (
    user_id uuid NOT NULL,
    seq bigint NOT NULL,
    kind ledger_kind NOT NULL,
    from_account ledger_account NOT NULL,
    to_account ledger_account NOT NULL,
    amount bigint NOT NULL,
    balance_before bigint NOT NULL,
    balance_after bigint NOT NULL,
    held_before bigint NOT NULL,
    held_after bigint NOT NULL,
    cause_id uuid NOT NULL,
    run integer NOT NULL,
    is_end boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, seq),
    -- For one cause credits are issued or held once, and what is held ends once: the rules say so, and this says it again.
    UNIQUE (cause_id, run, is_end),
    -- Each statement that writes prepares this anew: said in full, for every account and kind, it took longer than all the
    -- rest. That no balance is negative is said by `subjects`.
    CHECK (amount > 0)
);
COMMENT ON TABLE ledger IS
    'Double entry: each row moves a positive amount from one account of a user to another. Rows are never changed or removed';
COMMENT ON COLUMN ledger.seq IS '1, 2, 3 ... for each user';
COMMENT ON COLUMN ledger.cause_id IS
    'The generation when run >= 0; the request of a hold when it is -1; when it is -2 the request of a grant or correction, or the user himself for what new users get';
COMMENT ON COLUMN ledger.is_end IS 'A capture or a refund: it ends what a hold began';
COMMENT ON COLUMN ledger.actor IS 'Who did it, where a person or service decided; empty: the course of the run';

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is never changed: correct it with another entry';
END
$$;
CREATE TRIGGER ledger_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE reservations
    ADD COLUMN held_credits bigint NOT NULL DEFAULT 0,
    ADD COLUMN save_bytes bigint,
    DROP CONSTRAINT reservations_check,
    ADD CONSTRAINT reservations_check CHECK (
        least(run, lease_token, reserved_bytes, price_credits, stored_bytes, held_credits, save_bytes) >= 0
    );
COMMENT ON COLUMN reservations.held_credits IS
    'What was held at its admission: captured when it settles first, refunded when it is released before that';
COMMENT ON COLUMN reservations.save_bytes IS
    'Reserved to keep after all what had settled as not kept, the price long captured; null = that was never tried';
COMMENT ON COLUMN reservations.create_time IS 'When it was admitted, or admitted anew to be saved';
CREATE INDEX reservations_kept ON reservations (user_id) WHERE state = 'settled' AND outcome = 'kept';

CREATE TYPE hold_state AS ENUM ('held', 'captured', 'released');
CREATE TABLE holds (
    request_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    credits bigint NOT NULL CHECK (credits >= 0),
    state hold_state NOT NULL,
    expire_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    end_time timestamptz
);
COMMENT ON TABLE holds IS 'Credits set aside for one request; a released one stays as a tombstone that refuses a late hold';
CREATE INDEX holds_open ON holds (expire_time) WHERE state = 'held';

CREATE TABLE prices (
    id bigint GENERATED ALWAYS AS IDENTITY,
    model text NOT NULL,
    duration_seconds integer NOT NULL CHECK (duration_seconds >= 0),
    credits bigint NOT NULL CHECK (credits >= 0),
    effective_time timestamptz NOT NULL,
    actor text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model, duration_seconds, effective_time, id)
);
COMMENT ON TABLE prices IS 'In force: the latest effective_time that has begun, of equal ones the row that came later';
COMMENT ON COLUMN prices.duration_seconds IS '0 = images, and videos of a duration without a price of its own';

ALTER TYPE standing ADD ATTRIBUTE balance bigint;

-- A user's figures together with the limit in force. A statement of its own: call it with the lock held.
CREATE FUNCTION standing_of(u subjects, p_fallback bigint) RETURNS standing
LANGUAGE plpgsql AS $$
DECLARE
    s standing;
BEGIN
    IF u.user_id IS NOT NULL THEN
        SELECT u.user_id, q.quota_bytes, q.quota_source, u.used_bytes, u.reserved_bytes, u.balance INTO s
        FROM effective_quota(u.quota_bytes, u.group_id, p_fallback) q;
    END IF;
    RETURN s;
END
$$;

-- Writes an entry of the ledger, and returns the user's row as it becomes by it; `keep` writes that.
CREATE FUNCTION entered(
    u subjects, p_kind ledger_kind, p_amount bigint, p_cause_id uuid, p_run integer,
    p_reason text DEFAULT '', p_actor text DEFAULT ''
) RETURNS subjects
LANGUAGE plpgsql AS $$
DECLARE
    from_account ledger_account;
    to_account ledger_account;
    balance_before bigint := u.balance;
    held_before bigint := u.held;
BEGIN
    IF p_amount = 0 THEN
        RETURN u;
    END IF;
    CASE p_kind
        WHEN 'hold' THEN
            from_account := 'available'; to_account := 'held';
            u.balance := u.balance - p_amount; u.held := u.held + p_amount;
        WHEN 'capture' THEN
            from_account := 'held'; to_account := 'spent';
            u.held := u.held - p_amount; u.spent := u.spent + p_amount;
        WHEN 'refund' THEN
            from_account := 'held'; to_account := 'available';
            u.held := u.held - p_amount; u.balance := u.balance + p_amount;
        WHEN 'grant' THEN
            from_account := 'issued'; to_account := 'available';
            u.balance := u.balance + p_amount;
        WHEN 'correction' THEN
            from_account := 'available'; to_account := 'issued';
            u.balance := u.balance - p_amount;
    END CASE;
    u.ledger_seq := u.ledger_seq + 1;
    INSERT INTO ledger (
        user_id, seq, kind, from_account, to_account, amount,
        balance_before, balance_after, held_before, held_after, cause_id, run, is_end, reason, actor
    ) VALUES (
        u.user_id, u.ledger_seq, p_kind, from_account, to_account, p_amount,
        balance_before, u.balance, held_before, u.held, p_cause_id, p_run, from_account = 'held', p_reason, p_actor
    );
    RETURN u;
END
$$;

CREATE FUNCTION keep(u subjects) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE subjects
    SET used_bytes = u.used_bytes, reserved_bytes = u.reserved_bytes, balance = u.balance, held = u.held,
        spent = u.spent, ledger_seq = u.ledger_seq, is_welcomed = u.is_welcomed, update_time = clock_timestamp()
    WHERE user_id = u.user_id;
END
$$;

-- Locks a user's row, makes it first when it is missing, and gives him once what new users get.
CREATE FUNCTION welcomed(p_user_id uuid, p_welcome bigint) RETURNS subjects
LANGUAGE plpgsql AS $$
DECLARE
    u subjects;
BEGIN
    SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO subjects (user_id) VALUES (p_user_id) ON CONFLICT (user_id) DO NOTHING;
        SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    END IF;
    IF NOT u.is_welcomed THEN
        u := entered(u, 'grant', p_welcome, p_user_id, -2, 'welcome', 'quota');
        u.is_welcomed := true;
        PERFORM keep(u);
    END IF;
    RETURN u;
END
$$;

-- As of 0001, with the price held in the same step. `p_welcome`: credits of a user who is new. More verdicts: poor (the
-- amount is then the price). Whoever lacks credits and room is told of the credits: no deleting would help him.
CREATE FUNCTION admit(
    p_generation_id uuid, p_run integer, p_user_id uuid, p_reserve bigint, p_price bigint, p_fallback bigint,
    p_welcome bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    u subjects;
    s standing;
    r reservations;
BEGIN
    SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND OR NOT u.is_welcomed THEN
        u := welcomed(p_user_id, p_welcome);
    END IF;
    s := standing_of(u, p_fallback);
    IF p_price <= u.balance AND p_reserve <= room(s) THEN
        INSERT INTO reservations (generation_id, run, user_id, state, reserved_bytes, price_credits, held_credits)
        VALUES (p_generation_id, p_run, p_user_id, 'reserved', p_reserve, p_price, p_price)
        ON CONFLICT (generation_id, run) DO NOTHING;
        IF FOUND THEN
            u := entered(u, 'hold', p_price, p_generation_id, p_run);
            u.reserved_bytes := u.reserved_bytes + p_reserve;
            PERFORM keep(u);
            s.reserved_bytes := u.reserved_bytes;
            s.balance := u.balance;
            RETURN ('done', p_reserve, s)::answer;
        END IF;
    END IF;
    SELECT * INTO r FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    IF NOT FOUND THEN
        IF p_price > u.balance THEN
            RETURN ('poor', p_price, s)::answer;
        END IF;
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

-- Admits the bytes of a run that settled as not kept, so that its result can be kept after all. Its money is done with.
-- A save is a claim of its own, so it brings a token that nobody brought before: a repeat that arrives when the save has
-- ended reserves nothing.
CREATE FUNCTION admit_save(
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
    SELECT * INTO r FROM reservations
    WHERE generation_id = p_generation_id AND run = p_run AND user_id = p_user_id;
    IF NOT FOUND THEN
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
        SET state = 'reserved', save_bytes = p_reserve, lease_token = p_lease_token, create_time = clock_timestamp()
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

CREATE OR REPLACE FUNCTION settle(
    p_generation_id uuid, p_run integer, p_lease_token bigint, p_owner_id uuid,
    p_stored bigint, p_outcome run_outcome, p_fallback bigint
) RETURNS answer
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    u subjects;
    s standing;
    r reservations;
    verdict text;
BEGIN
    IF p_owner_id IS NULL THEN
        -- A reservation never changes its user, so he may be read before his lock is held.
        SELECT user_id INTO p_owner_id FROM reservations WHERE generation_id = p_generation_id AND run = p_run;
    END IF;
    SELECT * INTO u FROM subjects WHERE user_id = p_owner_id FOR NO KEY UPDATE;
    s := standing_of(u, p_fallback);
    UPDATE reservations
    SET state = 'settled', lease_token = p_lease_token, stored_bytes = p_stored, outcome = p_outcome,
        settle_time = clock_timestamp()
    WHERE generation_id = p_generation_id AND run = p_run AND user_id = p_owner_id
      AND state = 'reserved' AND lease_token <= p_lease_token
      AND p_stored - coalesce(save_bytes, reserved_bytes) <= room(s)
    RETURNING * INTO r;
    IF FOUND THEN
        IF r.save_bytes IS NULL THEN
            u := entered(u, 'capture', r.held_credits, p_generation_id, p_run);
        END IF;
        u.used_bytes := u.used_bytes + p_stored;
        u.reserved_bytes := u.reserved_bytes - coalesce(r.save_bytes, r.reserved_bytes);
        PERFORM keep(u);
        s.used_bytes := u.used_bytes;
        s.reserved_bytes := u.reserved_bytes;
        RETURN ('done', p_stored, s)::answer;
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
    RETURN (
        verdict,
        CASE verdict WHEN 'exceeded' THEN p_stored - coalesce(r.save_bytes, r.reserved_bytes) ELSE 0 END,
        s
    )::answer;
END
$$;

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

-- As of 0001, and refunds. A save that nobody ended is given up like any other, but the run is where it was before it.
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
            ORDER BY create_time LIMIT p_limit
        ) old
        ORDER BY user_id
    LOOP
        SELECT * INTO u FROM subjects WHERE user_id = candidate.user_id FOR NO KEY UPDATE;
        -- It may have been settled since the list was made.
        UPDATE reservations
        SET state = CASE WHEN save_bytes IS NULL THEN 'released' ELSE 'settled' END::reservation_state,
            release_time = CASE WHEN save_bytes IS NULL THEN clock_timestamp() END
        WHERE generation_id = candidate.generation_id AND run = candidate.run AND state = 'reserved'
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

-- A user's credits at one moment, and what became of the call: done | replayed | poor | excessive | mismatch | captured |
-- released | expired | unknown.
CREATE TYPE credit_answer AS (verdict text, user_id uuid, balance bigint, held bigint, spent bigint);

CREATE FUNCTION credits_of(u subjects, p_verdict text) RETURNS credit_answer
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_verdict, u.user_id, u.balance, u.held, u.spent
$$;

CREATE FUNCTION welcome(p_user_id uuid, p_welcome bigint) RETURNS credit_answer
LANGUAGE plpgsql AS $$
BEGIN
    RETURN credits_of(welcomed(p_user_id, p_welcome), 'done');
END
$$;

-- A negative amount takes back. All that was ever issued to one user stays below `p_most`, where no sum overflows.
CREATE FUNCTION grant_credits(
    p_user_id uuid, p_amount bigint, p_request_id uuid, p_reason text, p_actor text, p_welcome bigint, p_most bigint
) RETURNS credit_answer
LANGUAGE plpgsql AS $$
DECLARE
    u subjects := welcomed(p_user_id, p_welcome);
    e ledger;
BEGIN
    SELECT * INTO e FROM ledger WHERE cause_id = p_request_id AND run = -2;
    IF FOUND THEN
        RETURN credits_of(u, CASE
            WHEN e.user_id = p_user_id AND e.balance_after - e.balance_before = p_amount AND e.reason = p_reason
            THEN 'replayed' ELSE 'mismatch'
        END);
    END IF;
    IF u.balance + p_amount < 0 THEN
        RETURN credits_of(u, 'poor');
    END IF;
    IF u.balance + u.held + u.spent + p_amount > p_most THEN
        RETURN credits_of(u, 'excessive');
    END IF;
    BEGIN
        u := entered(
            u, CASE WHEN p_amount > 0 THEN 'grant' ELSE 'correction' END::ledger_kind, abs(p_amount),
            p_request_id, -2, p_reason, p_actor
        );
    EXCEPTION WHEN unique_violation THEN
        -- Another user's grant with the same request id was faster: his lock is not ours.
        RETURN credits_of(u, 'mismatch');
    END;
    PERFORM keep(u);
    RETURN credits_of(u, 'done');
END
$$;

CREATE FUNCTION hold_credits(
    p_request_id uuid, p_user_id uuid, p_credits bigint, p_life interval, p_welcome bigint
) RETURNS credit_answer
LANGUAGE plpgsql AS $$
DECLARE
    u subjects := welcomed(p_user_id, p_welcome);
    h holds;
BEGIN
    IF p_credits <= u.balance THEN
        INSERT INTO holds (request_id, user_id, credits, state, expire_time)
        VALUES (p_request_id, p_user_id, p_credits, 'held', clock_timestamp() + p_life)
        ON CONFLICT (request_id) DO NOTHING;
        IF FOUND THEN
            u := entered(u, 'hold', p_credits, p_request_id, -1);
            PERFORM keep(u);
            RETURN credits_of(u, 'done');
        END IF;
    END IF;
    SELECT * INTO h FROM holds WHERE request_id = p_request_id;
    RETURN credits_of(u, CASE
        WHEN NOT FOUND THEN 'poor'
        WHEN h.user_id <> p_user_id THEN 'mismatch'
        WHEN h.state = 'released' THEN 'released'
        WHEN h.credits <> p_credits THEN 'mismatch'
        ELSE 'replayed'
    END);
END
$$;

-- Ends a hold whose user's lock is held, if it is still open; returns his row as it becomes.
CREATE FUNCTION hold_ended(u subjects, h holds, p_state hold_state, p_reason text) RETURNS subjects
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE holds SET state = p_state, end_time = clock_timestamp() WHERE request_id = h.request_id;
    u := entered(
        u, CASE p_state WHEN 'captured' THEN 'capture' ELSE 'refund' END::ledger_kind, h.credits,
        h.request_id, -1, p_reason, CASE p_reason WHEN '' THEN '' ELSE 'quota' END
    );
    PERFORM keep(u);
    RETURN u;
END
$$;

-- One that expired is refunded, whoever notices it first.
CREATE FUNCTION capture_hold(p_request_id uuid, p_user_id uuid) RETURNS credit_answer
LANGUAGE plpgsql AS $$
DECLARE
    u subjects;
    h holds;
BEGIN
    SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
    SELECT * INTO h FROM holds WHERE request_id = p_request_id AND user_id = p_user_id;
    IF NOT FOUND THEN
        RETURN credits_of(u, 'unknown');
    END IF;
    IF h.state <> 'held' THEN
        RETURN credits_of(u, CASE h.state WHEN 'captured' THEN 'replayed' ELSE 'released' END);
    END IF;
    IF h.expire_time <= clock_timestamp() THEN
        RETURN credits_of(hold_ended(u, h, 'released', 'expired'), 'expired');
    END IF;
    RETURN credits_of(hold_ended(u, h, 'captured', ''), 'done');
END
$$;

CREATE FUNCTION release_hold(p_request_id uuid, p_user_id uuid, p_welcome bigint) RETURNS credit_answer
LANGUAGE plpgsql AS $$
DECLARE
    u subjects := welcomed(p_user_id, p_welcome);
    h holds;
BEGIN
    INSERT INTO holds (request_id, user_id, credits, state, end_time)
    VALUES (p_request_id, p_user_id, 0, 'released', clock_timestamp())
    ON CONFLICT (request_id) DO NOTHING;
    IF FOUND THEN
        RETURN credits_of(u, 'done');
    END IF;
    SELECT * INTO h FROM holds WHERE request_id = p_request_id AND user_id = p_user_id;
    IF NOT FOUND THEN
        RETURN credits_of(u, 'unknown');
    END IF;
    IF h.state <> 'held' THEN
        RETURN credits_of(u, CASE h.state WHEN 'released' THEN 'replayed' ELSE 'captured' END);
    END IF;
    RETURN credits_of(hold_ended(u, h, 'released', ''), 'done');
END
$$;

-- Refunds at most `p_limit` holds that expired; returns how many. Does nothing while another one does it.
CREATE FUNCTION refund_expired(p_limit integer) RETURNS integer
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
            SELECT request_id, user_id FROM holds
            WHERE state = 'held' AND expire_time <= now()
            ORDER BY expire_time LIMIT p_limit
        ) old
        ORDER BY user_id
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

-- What the books say of one user, and what counting says.
CREATE TYPE recount AS (
    user_id uuid,
    recorded_used bigint, counted_used bigint, unaccounted bigint,
    recorded_reserved bigint, counted_reserved bigint,
    recorded_balance bigint, counted_balance bigint,
    recorded_held bigint, counted_held bigint, open_holds bigint,
    recorded_spent bigint, counted_spent bigint,
    generation_ids uuid[], runs integer[], recorded_bytes bigint[], found_bytes bigint[]
);

-- Counts one user's bytes by what storage really holds of his runs (three arrays of one length), his reservations and
-- holds by their rows, his credits by the ledger. A run that settled after `p_listed` is taken as it is recorded: it may
-- have been stored after the list was made. Bytes of runs that keep nothing (reserved ones apart) are unaccounted.
CREATE FUNCTION recount(
    p_user_id uuid, p_generation_ids uuid[], p_runs integer[], p_bytes bigint[], p_listed timestamptz, p_repair boolean
) RETURNS recount
LANGUAGE plpgsql AS $$
DECLARE
    u subjects;
    c recount;
BEGIN
    SELECT * INTO u FROM subjects WHERE user_id = p_user_id FOR NO KEY UPDATE;
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
