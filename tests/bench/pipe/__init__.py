"""URL → S3 through the storage service, against others, into SeaweedFS and into an S3 that keeps nothing."""
