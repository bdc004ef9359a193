"""The storage service: keeps bytes in S3, else on local disk, and knows whose they are."""
