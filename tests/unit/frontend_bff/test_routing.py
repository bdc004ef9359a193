"""A handler's signature is its contract."""

import pytest
from aiohttp import web

from services.frontend_bff.routes import TABLE
from services.frontend_bff.routing import Call, Routes
from services.frontend_bff.schemas.answers import Health
from services.frontend_bff.schemas.requests import Credentials, GenerationPath


def test_a_row_knows_what_its_handler_takes_and_gives() -> None:
    routes = Routes("tests")

    @routes.post("/x/{id}", status=201)
    async def handler(call: Call, path: GenerationPath, body: Credentials) -> Health:
        raise NotImplementedError

    (row,) = routes.table
    assert (row.method, row.path, row.status, row.tag) == ("POST", "/x/{id}", 201, "tests")
    assert row.inputs == {"path": GenerationPath, "body": Credentials}
    assert row.answer is Health
    assert not row.head


def test_a_parameter_that_comes_from_nowhere_is_refused_at_the_start() -> None:
    routes = Routes("tests")

    async def handler(call: Call, cookies: str) -> Health:
        raise NotImplementedError

    with pytest.raises(TypeError, match="cookies"):
        routes.get("/x")(handler)


def test_every_address_and_method_is_there_once() -> None:
    rows = [(row.method, row.path) for row in TABLE]

    assert len(set(rows)) == len(rows)
    assert all(row.answer is not web.Response for row in TABLE)


def test_only_what_must_be_is_open_to_everybody() -> None:
    open_to_all = {row.path for row in TABLE if not row.needs_token}

    assert open_to_all == {
        "/api/v1/settings/public",
        "/api/v1/auth/register",
        "/api/v1/auth/login",
        "/api/v1/auth/refresh",
        "/api/v1/auth/logout",
        "/healthz",
        "/health",
        "/readyz",
    }
