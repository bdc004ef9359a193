"""The OpenAPI document: valid, served, and the one that the web UI's types come from."""

import json
import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from services.frontend_bff import openapi
from services.frontend_bff.routes import TABLE
from tests.contract.frontend_bff.conftest import Bff

_SNAPSHOT = Path("services/frontend_bff/web/openapi.json")


def test_the_document_is_valid_openapi_3_1() -> None:
    document = openapi.document(TABLE)

    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)


def test_the_snapshot_is_the_document() -> None:
    """If this fails: `python -m services.frontend_bff openapi > services/frontend_bff/web/openapi.json`."""
    assert _SNAPSHOT.read_text() == openapi.text(TABLE)


def test_the_command_prints_it_without_any_setting() -> None:
    command = [sys.executable, "-m", "services.frontend_bff", "openapi"]
    environment = {"PYTHONPATH": ".:protos/gen", "PATH": ""}
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert printed.stdout == _SNAPSHOT.read_text()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    operations = [
        operation
        for methods in openapi.document(TABLE)["paths"].values()
        for operation in methods.values()
    ]

    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"].endswith(".") for operation in operations)


async def test_it_is_served_with_a_page_to_read_and_try_it(bff: Bff) -> None:
    served = await bff.call("GET", "/api/openapi.json", headers={})
    page = await bff.call("GET", "/api/docs", headers={})

    assert json.loads(await served.read()) == openapi.document(TABLE)
    assert page.content_type == "text/html"
    text = await page.text()
    assert "<script>" not in text
    assert "<style" not in text
    for path in ("/api/docs/page.js", "/api/docs/page.css"):
        assert path in text
        assert (await bff.call("GET", path, headers={})).status == 200
