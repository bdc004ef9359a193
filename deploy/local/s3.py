"""An S3 server on this machine: SeaweedFS from its wheel, all in one process (`weed mini`)."""

import http.client
import shutil
import signal
import sysconfig
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program, StartError

REGION = "us-east-1"
# SeaweedFS puts the gRPC port of each of its parts this far above its HTTP port.
GRPC_OFFSET = 10_000
PARTS = ("s3", "master", "volume", "filer", "admin")
_PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class S3:
    """One server with one bucket: its files in ``directory``, a port for each of ``PARTS``."""

    directory: Path
    ports: dict[str, int]
    access_key_id: str
    secret_access_key: str = field(repr=False)
    bucket: str = "reelgate"

    @property
    def endpoint(self) -> str:
        """Where the S3 protocol is spoken, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    def program(self, log: Path) -> Program:
        """The server as a program; its directory is made here."""
        data, scratch = self.directory / "data", self.directory / "tmp"
        data.mkdir(parents=True, exist_ok=True)
        # A socket that a killed server left behind stops the next one.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        options = {
            "dir": str(data),
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "bucket": self.bucket,
            **{f"{part}.port": str(self.ports[part]) for part in PARTS},
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
            # Without this the filer hands out every object to anybody.
            "disableHttp": "true",
            # Relative to the working directory: the path of a socket must be shorter than 108 bytes.
            "s3.localSocket": "s3.sock",
            "filer.localSocket": "filer.sock",
        }
        return Program(
            name="s3",
            argv=(_weed(), "mini", *(f"-{name}={value}" for name, value in options.items())),
            environment={
                "AWS_ACCESS_KEY_ID": self.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
                "TMPDIR": str(scratch),
                "HOME": str(self.directory),
                "PATH": str(Path(_weed()).parent),
            },
            log=log,
            probe=self.answers,
            directory=scratch,
            # Asked politely it needs twelve seconds to end; it is made to survive being killed.
            stop_signal=signal.SIGKILL,
        )

    def answers(self) -> bool:
        """Whether the bucket can be reached with our key."""
        connection = http.client.HTTPConnection(LOOPBACK, self.ports["s3"], timeout=_PROBE_SECONDS)
        try:
            with closing(connection):
                connection.request("HEAD", f"/{self.bucket}", headers=self._signature())
                return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def _signature(self) -> dict[str, str]:
        # Imported where it is needed: it takes a quarter of a second, which the server's start covers.
        from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - see above
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - see above
        from botocore.credentials import Credentials  # noqa: PLC0415 - see above

        request = AWSRequest("HEAD", f"{self.endpoint}/{self.bucket}")
        credentials = Credentials(self.access_key_id, self.secret_access_key)
        S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
        return dict(request.headers.items())


def _weed() -> str:
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        raise StartError("the S3 server is not installed: run `make run`, or set S3_ENDPOINT")
    return str(weed)
