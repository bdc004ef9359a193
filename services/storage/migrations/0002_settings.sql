-- S3 settings that an operator edited: while the row is there, it wins over the environment. `sealed_secret` NULL means that
-- the secret of the environment is meant, if it belongs to the same access key.
CREATE TABLE s3_settings (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    etag uuid NOT NULL DEFAULT gen_random_uuid(),
    enabled boolean NOT NULL,
    endpoint text NOT NULL,
    public_endpoint text NOT NULL,
    region text NOT NULL,
    bucket text NOT NULL,
    access_key_id text NOT NULL,
    sealed_secret bytea,
    prefix text NOT NULL,
    path_style boolean NOT NULL,
    cdn_url text NOT NULL,
    delivery text NOT NULL CHECK (delivery IN ('redirect', 'proxy')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid NOT NULL
);

-- What servers were found to be able to do; `target` is a digest of endpoint, bucket and access key id.
CREATE TABLE s3_capabilities (
    target bytea PRIMARY KEY CHECK (length(target) = 32),
    listing boolean NOT NULL,
    checksums text NOT NULL CHECK (checksums IN ('verified', 'ignored', 'refused')),
    tried_at timestamptz NOT NULL DEFAULT now()
);
