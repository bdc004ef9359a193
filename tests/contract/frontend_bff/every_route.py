"""A good request for every row of the table of routes, and what an ordinary user gets of each service.

A row that needs a body or a query and is not here fails the tests that go over the table.
"""

import re
from pathlib import Path
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from services.frontend_bff.routes import TABLE
from services.frontend_bff.routing import Route
from services.kernel.errors import PermissionDenied
from tests.contract.frontend_bff.fakes import SERVICES
from tests.contract.frontend_bff.messages import OBJECT

_PROTOS = Path("protos/reelgate")
_CREDENTIALS = {"email": "ada@example.org", "password": "correct horse"}
_S3 = {"enabled": True, "endpoint": "https://s3.example", "region": "eu-1", "bucket": "works"}
_BODIES: dict[str, Any] = {
    "register": _CREDENTIALS,
    "login": _CREDENTIALS,
    "generate": {"model": "m", "prompt": "p"},
    "presign_upload": {"size_bytes": 1, "content_type": "image/png"},
    "update_s3_settings": _S3 | {"etag": "e"},
    "test_s3_settings": _S3,
    "create_user": _CREDENTIALS,
    "update_user": {"disabled": True, "quota_limit_bytes": 5},
    "grant_credits": {"amount": 1, "reason": "a present"},
    "create_group": {"name": "team", "quota_limit_bytes": 5},
    "update_group": {"name": "team", "quota_limit_bytes": 5},
    "set_default_quota": {"quota_limit_bytes": 5},
    "set_prices": {"prices": [{"model": "m", "credits": 1}]},
}
_QUERIES = {"reset_s3_settings": "?etag=e"}

ROWS = [row for row in TABLE if row.needs_token]
ADMINISTRATORS_ROWS = [row for row in ROWS if row.path.startswith("/api/v1/admin/")]
CHANGING_ROWS = [row for row in TABLE if row.method != "GET"]


def name(row: Route) -> str:
    """For the report of a test."""
    return f"{row.method} {row.path}"


def request(row: Route) -> tuple[str, str, Any]:
    """Method, path with its query, and body (None without one)."""
    path = re.sub(r"\{\w+\}", OBJECT, row.path) + _QUERIES.get(row.handler.__name__, "")
    return row.method, path, _BODIES[row.handler.__name__] if "body" in row.inputs else None


def administrators_methods() -> set[str]:
    """The RPCs of which the contracts say that they are for administrators."""
    found: set[str] = set()
    for file in _PROTOS.rglob("*.proto"):
        comment, whole_service = "", False
        for line in map(str.strip, file.read_text().splitlines()):
            if line.startswith("//"):
                comment += line.removeprefix("//")
                continue
            is_limited = re.search(r"\bAdministrators\b", comment) is not None
            if line.startswith("service "):
                whole_service = is_limited
            elif (rpc := re.match(r"rpc (\w+)\(", line)) and (is_limited or whole_service):
                found.add(rpc[1])
            comment = ""
    return found


def answers_to_a_user() -> dict[str, Any]:
    """What each RPC answers to somebody who is no administrator: a refusal, or an empty message."""
    refused = administrators_methods()
    answers: dict[str, Any] = {}
    for module, service, _ in SERVICES:
        for method in module.DESCRIPTOR.services_by_name[service].methods:
            if method.name in refused:
                answers[method.name] = PermissionDenied("Only an administrator may do this.")
            elif method.server_streaming:
                answers[method.name] = []
            else:
                answers[method.name] = GetMessageClass(method.output_type)()
    return answers
