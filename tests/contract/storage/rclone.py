"""A second S3 server: rclone's, which serves a directory."""

import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import ports
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import new_password
from deploy.local.process import Program
from tests.conftest import S3Access

_BUCKET = "reelgate"
_ID = "tests"


@dataclass(frozen=True, slots=True)
class Rclone:
    """One server with one bucket."""

    directory: Path
    port: int = field(default_factory=ports.choose)
    secret: str = field(default_factory=new_password, repr=False)

    @property
    def access(self) -> S3Access:
        return S3Access(f"http://{LOOPBACK}:{self.port}", _BUCKET, _ID, self.secret)

    def program(self) -> Program:
        served = self.directory / "served"
        (served / _BUCKET).mkdir(parents=True, exist_ok=True)
        rclone = Path(sysconfig.get_path("scripts")) / "rclone"
        return Program(
            name="rclone",
            argv=(
                str(rclone), "serve", "s3", "--addr", f"{LOOPBACK}:{self.port}",
                "--auth-key", f"{_ID},{self.secret}", "--no-cleanup", str(served),
            ),
            environment={"HOME": str(self.directory), "RCLONE_CONFIG": "", "PATH": "/usr/bin:/bin"},
            log=self.directory / "rclone.log",
            probe=self.answers,
        )  # fmt: skip

    def answers(self) -> bool:
        """Whether it listens."""
        return not ports.is_free(self.port)
