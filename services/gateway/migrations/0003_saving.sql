-- Saving a result that lies at its upstream: the row stays `completed` and is `storing` until it is over. `objects` are
-- what storage has kept of it so far; with a `failure` (reason, message, metadata) they are to be deleted, and when the
-- row is `stored` again the failure is how the last saving ended.
CREATE TABLE saves (
    generation_id uuid PRIMARY KEY REFERENCES generations ON DELETE CASCADE,
    objects uuid[] NOT NULL DEFAULT '{}',
    failure jsonb
);

-- A worker of the release before takes a completed row for one that nothing is owed to. Whoever knows better comes next.
CREATE FUNCTION still_saving() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.next_run_at := now() + interval '1 second';
    RETURN NEW;
END $$;
CREATE TRIGGER generations_still_saving BEFORE UPDATE ON generations
    FOR EACH ROW WHEN (NEW.status = 'completed' AND NEW.stage = 'storing' AND NEW.next_run_at IS NULL)
    EXECUTE FUNCTION still_saving();
