"""ready.json: what a program on the same machine needs to know of a stack that answers."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from deploy.local.secrets import write_private

FILE_NAME = "ready.json"


@dataclass(frozen=True, slots=True, repr=False)
class Ready:
    """Addresses (`http://host:port`; gRPC: `host:port`), process numbers and the secrets of the demo."""

    bff_url: str
    gateway_url: str
    email: str
    password: str
    api_key: str
    grpc: dict[str, str]
    admin: dict[str, str]
    studio: dict[str, str]
    s3: dict[str, str]
    database_url: str
    pids: dict[str, int] = field(default_factory=dict)

    def with_pids(self, pids: dict[str, int]) -> Self:
        """The same with these process numbers."""
        return replace(self, pids=pids)

    def write(self, home: Path) -> None:
        """Write the file, whole or not at all."""
        write_private(home / FILE_NAME, json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, home: Path) -> Self:
        """What a running stack wrote. Raises FileNotFoundError when none is ready there."""
        return cls(**json.loads((home / FILE_NAME).read_text()))
