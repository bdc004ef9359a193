-- A small picture of each object lies beside it. 'pending': nobody has tried yet; 'making': bytes of one may lie there, and who
-- makes it has until `thumbnail_due_at` before another may; 'none': there will never be one.
ALTER TABLE objects
    ADD COLUMN thumbnail_state text NOT NULL DEFAULT 'pending'
        CHECK (thumbnail_state IN ('pending', 'making', 'done', 'none')),
    ADD COLUMN thumbnail_bytes integer NOT NULL DEFAULT 0,
    ADD COLUMN thumbnail_tries integer NOT NULL DEFAULT 0,
    ADD COLUMN thumbnail_due_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX objects_without_thumbnail ON objects (thumbnail_due_at) WHERE thumbnail_state IN ('pending', 'making');
