-- Who is in which group is told to quota. The user's row is its own outbox: what differs from what was told is to be
-- told, in any order and as often as it takes, since quota ignores an older version than the last one it saw.

ALTER TABLE users
    ADD COLUMN group_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN group_told_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN users.group_version IS 'Grows with every change of group_id, whoever makes it; 0 = never was in a group';
COMMENT ON COLUMN users.group_told_version IS 'The version that quota has confirmed';
UPDATE users SET group_version = 1 WHERE group_id IS NOT NULL;
CREATE INDEX users_group_untold ON users (id) WHERE group_told_version < group_version;

CREATE FUNCTION count_group_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.group_version := NEW.group_version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER users_group_given BEFORE INSERT ON users
    FOR EACH ROW WHEN (NEW.group_id IS NOT NULL) EXECUTE FUNCTION count_group_change();
-- Also when the group is removed: the foreign key then takes its users out.
CREATE TRIGGER users_group_changed BEFORE UPDATE OF group_id ON users
    FOR EACH ROW WHEN (NEW.group_id IS DISTINCT FROM OLD.group_id) EXECUTE FUNCTION count_group_change();

CREATE FUNCTION notify_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('memberships_changed', NEW.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER users_group_hint AFTER INSERT OR UPDATE OF group_id ON users
    FOR EACH ROW WHEN (NEW.group_told_version < NEW.group_version) EXECUTE FUNCTION notify_membership();

-- What is done now and then by whichever replica comes first.
CREATE TABLE timers (
    name text PRIMARY KEY,
    due_at timestamptz NOT NULL DEFAULT now(),
    position uuid
);
COMMENT ON COLUMN timers.due_at IS 'When somebody may do the next piece; in the future also while it is being done';
COMMENT ON COLUMN timers.position IS 'How far the present round has come; null = at its beginning';
INSERT INTO timers (name) VALUES ('reconciliation');

CREATE TABLE drifts (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    used_bytes bigint NOT NULL,
    reserved_bytes bigint NOT NULL,
    balance bigint NOT NULL,
    held bigint NOT NULL,
    spent bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE drifts IS
    'By how much the books of a user were too high when they were last compared; no row for one whose books are right';
