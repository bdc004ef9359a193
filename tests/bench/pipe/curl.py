"""The peer: one PUT of a file by curl, to an address signed for it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.session import get_session


@dataclass(frozen=True, slots=True)
class Put:
    """One PUT: seconds on the clock and of CPU."""

    seconds: float
    cpu_seconds: float


def put(file: Path, url: str) -> Put:
    """Puts the file there. Raises CalledProcessError when it is refused."""
    words = [
        "curl", "--silent", "--show-error", "--fail", "--output", os.devnull,
        "--write-out", "%{time_total}", "--header", "Expect:", "--upload-file", str(file), url,
    ]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seconds = process.stdout.read()
        # Waited for here: only so does the kernel tell what this one child has used.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "curl")
    return Put(float(seconds), used.ru_utime + used.ru_stime)


def presigned(s3: dict[str, str], key: str) -> str:
    """An address at which the key can be put, for an hour."""
    client: Any = get_session().create_client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name=s3["region"],
        aws_access_key_id=s3["access_key_id"],
        aws_secret_access_key=s3["secret_access_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    where = {"Bucket": s3["bucket"], "Key": key}
    return str(client.generate_presigned_url("put_object", Params=where))
