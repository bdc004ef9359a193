"""A URL into S3 by boto3's `upload_fileobj`, as most programs do it. Arguments: URL, bucket, key."""

import importlib
import sys
import urllib.request

boto3 = importlib.import_module("boto3")  # of the peers' environment, unknown in ours

source, bucket, key = sys.argv[1:]
with urllib.request.urlopen(source) as body:
    boto3.client("s3").upload_fileobj(body, bucket, key)
