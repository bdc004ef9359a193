"""The parts of a local stack: their names, their order, how each is run and known to be ready."""

import http.client
import sys
from contextlib import closing
from urllib.parse import urlsplit

from deploy.local.addresses import ADMIN_LISTEN, url
from deploy.local.environments import Environments
from deploy.local.process import Probe, Program
from deploy.local.ready import Ready

SERVERS = ("postgres", "s3")
# In tiers: stopped last first, so that whoever drains still has what it needs.
TIERS = (
    ("studio", "quota", "storage"),
    ("gateway", "gateway_edge", "gateway_worker"),
    ("frontend_bff",),
)
NAMES = (*SERVERS, *(name for tier in TIERS for name in tier))
_MODULES = {
    "gateway": ("services.gateway", "api"),
    "gateway_edge": ("services.gateway", "edge"),
    "gateway_worker": ("services.gateway", "worker"),
}
# Those whose own port speaks HTTP have a page there as well.
_HEALTH_PAGES = ("studio", "gateway_edge", "frontend_bff")
_PROBE_SECONDS = 1.0


def service(name: str, environments: Environments) -> Program:
    """One of the services of ``TIERS`` as a program."""
    return Program(
        name=name,
        argv=(sys.executable, "-m", *_MODULES.get(name, (f"services.{name}",))),
        environment=environments.of(name),
        log=environments.home / "logs" / f"{name}.log",
        probe=_probe(name, environments),
    )


def ready(environments: Environments) -> Ready:
    """What the stack tells the world, still without process numbers."""
    addresses = environments.addresses
    storage, gateway, bff = map(environments.of, ("storage", "gateway", "frontend_bff"))
    return Ready(
        bff_url=bff["REELGATE_PUBLIC_URL"],
        gateway_url=url(addresses.listen("gateway_edge")),
        email=gateway["REELGATE_GATEWAY_SEED_EMAIL"],
        password=gateway["REELGATE_GATEWAY_SEED_PASSWORD"],
        api_key=gateway["REELGATE_GATEWAY_SEED_API_KEY"],
        grpc={name: addresses.listen(name) for name in ("gateway", "storage", "quota")},
        admin={name: url(addresses.admin(name)) for name in ADMIN_LISTEN},
        studio={
            "url": url(addresses.listen("studio")),
            "api_key": gateway["REELGATE_GATEWAY_SEED_STUDIO_KEY"],
        },
        s3={
            "endpoint": storage.get("S3_ENDPOINT", ""),
            "region": storage.get("S3_REGION", ""),
            "bucket": storage.get("S3_BUCKET_NAME", ""),
            "access_key_id": storage.get("S3_ACCESS_KEY_ID", ""),
            "secret_access_key": storage.get("S3_SECRET_ACCESS_KEY", ""),
        },
        database_url=environments.database_url,
    )


def _probe(name: str, environments: Environments) -> Probe:
    addresses, pages = environments.addresses, list[str]()
    if name in _HEALTH_PAGES:
        pages.append(f"{url(addresses.listen(name))}/healthz")
    if name in ADMIN_LISTEN:
        pages.append(f"{url(addresses.admin(name))}/readyz")
    return lambda: all(map(answers, pages))


def answers(page: str) -> bool:
    """Whether a GET of this HTTP address is answered with 200 within a second."""
    parts = urlsplit(page)
    try:
        with closing(
            http.client.HTTPConnection(parts.netloc, timeout=_PROBE_SECONDS)
        ) as connection:
            connection.request("GET", parts.path)
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
