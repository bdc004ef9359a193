"""Where each part of a local stack listens; chosen once for a home and kept while the ports stay free."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deploy.local import ports
from deploy.local.ports import LOOPBACK
from deploy.local.process import StartError
from deploy.local.s3 import GRPC_OFFSET, PARTS
from deploy.local.secrets import write_private
from deploy.local.settings import Settings

LISTEN = {
    "studio": "REELGATE_STUDIO_LISTEN",
    "quota": "REELGATE_QUOTA_LISTEN",
    "storage": "REELGATE_STORAGE_LISTEN",
    "gateway": "REELGATE_GATEWAY_LISTEN",
    "gateway_edge": "REELGATE_GATEWAY_EDGE_LISTEN",
    "frontend_bff": "REELGATE_BFF_LISTEN",
}
ADMIN_LISTEN = {
    "quota": "REELGATE_QUOTA_ADMIN_LISTEN",
    "storage": "REELGATE_STORAGE_ADMIN_LISTEN",
    "gateway": "REELGATE_GATEWAY_ADMIN_LISTEN",
    "gateway_edge": "REELGATE_GATEWAY_ADMIN_LISTEN",
    "gateway_worker": "REELGATE_GATEWAY_ADMIN_LISTEN",
    "frontend_bff": "REELGATE_BFF_ADMIN_LISTEN",
}
_ADMIN = "{}_admin"
_S3 = "s3_{}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """``ports`` by name; ``environment`` holds the user's own LISTEN variables, which win."""

    ports: Mapping[str, int]
    environment: Mapping[str, str]

    def listen(self, name: str) -> str:
        """host:port of a service (gRPC, or HTTP for the edge, the BFF and the studio)."""
        return self.environment.get(LISTEN[name]) or f"{LOOPBACK}:{self.ports[name]}"

    def admin(self, name: str) -> str:
        """host:port of a process's admin pages. Three share the gateway's variable, so theirs is ours."""
        own = self.environment.get(ADMIN_LISTEN[name]) if "gateway" not in name else None
        return own or f"{LOOPBACK}:{self.ports[_ADMIN.format(name)]}"

    @property
    def s3(self) -> dict[str, int]:
        """The ports of the parts of the S3 server."""
        return {part: self.ports[_S3.format(part)] for part in PARTS}


def url(listen: str) -> str:
    """The HTTP address at which something that listens there is reached from this machine."""
    host, _, port = listen.rpartition(":")
    return f"http://{LOOPBACK if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 - compared, not bound


def choose(settings: Settings, names: Collection[str]) -> Addresses:
    """Ports for all parts; those in ``names`` (they will be started) must be free now.

    Raises StartError naming the variable to change.
    """
    file = settings.home / "ports.json"
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    given = {
        "frontend_bff": (settings.bff_port, "REELGATE_BFF_PORT"),
        "gateway_edge": (settings.gateway_port, "REELGATE_GATEWAY_PORT"),
    }
    chosen: dict[str, int] = {}
    for name in _all_ports():
        port, variable = given.get(name, (0, ""))
        if port and name in names and LISTEN[name] not in settings.environment:
            _demand(port, variable)
        chosen[name] = port or _keep_or_choose(kept.get(name), name, set(chosen.values()))
    write_private(file, json.dumps(chosen, indent=2))
    return Addresses(chosen, settings.environment)


def _all_ports() -> list[str]:
    return [
        "postgres",
        *(_S3.format(part) for part in PARTS),
        *LISTEN,
        *(_ADMIN.format(name) for name in ADMIN_LISTEN),
    ]


def _demand(port: int, variable: str) -> None:
    if not ports.is_free(port):
        raise StartError(f"port {port} is in use: set {variable} to a free one (0 chooses one)")


def _keep_or_choose(kept: int | None, name: str, taken: Collection[int]) -> int:
    companion = GRPC_OFFSET if name.startswith("s3_") else 0
    if kept and kept not in taken and all(map(ports.is_free, {kept, kept + companion})):
        return kept
    return ports.choose(taken, companion=companion)
