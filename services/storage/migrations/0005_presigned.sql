-- Uploads that browsers make by themselves with a link that they were given: written before the link is. The link works
-- until `expires_at`, whatever became of the upload; afterwards what lies under `key` in S3 is removed with the row.
CREATE TABLE presigned_uploads (
    object_id uuid PRIMARY KEY,
    owner_id uuid NOT NULL,
    key text NOT NULL UNIQUE,
    size_bytes bigint NOT NULL CHECK (size_bytes > 0),
    content_type text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    committing_until timestamptz
);
CREATE INDEX presigned_uploads_by_expiry ON presigned_uploads (expires_at);

-- From now on this row is written after the mark on the disk. One that was never used may stand for a replica that died
-- before it had made its mark: it is agreed on anew.
DELETE FROM volume
WHERE NOT EXISTS (SELECT 1 FROM objects WHERE tier = 'local')
  AND NOT EXISTS (SELECT 1 FROM uploads WHERE tier = 'local')
  AND NOT EXISTS (SELECT 1 FROM removals WHERE tier = 'local');
