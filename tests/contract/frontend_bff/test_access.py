"""Who gets in, for every row of the table: nobody without a token, no user where administrators work."""

import pytest

from services.frontend_bff.routing import Route
from tests.contract.frontend_bff import every_route
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend

_ROWS = every_route.ROWS
_ADMINISTRATORS_ROWS = every_route.ADMINISTRATORS_ROWS
_CHANGING_ROWS = every_route.CHANGING_ROWS


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    backend.answers |= every_route.answers_to_a_user()


def test_the_contracts_name_what_is_for_administrators() -> None:
    methods = every_route.administrators_methods()

    assert {"ListUsers", "SetLimits", "GrantCredits", "UpdateS3Settings", "GetCosts"} <= methods
    assert methods.isdisjoint({"GetMe", "GetCredits", "ListDailyUsage", "CreateGeneration"})


@pytest.mark.parametrize("row", _ROWS, ids=every_route.name)
async def test_nobody_gets_in_without_a_token(bff: Bff, backend: Backend, row: Route) -> None:
    method, path, body = every_route.request(row)
    answer = await bff.call(method, path, headers={}, json=body)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert backend.caused() == []


@pytest.mark.parametrize("row", _ADMINISTRATORS_ROWS, ids=every_route.name)
async def test_a_user_is_refused_where_administrators_work(
    bff: Bff, backend: Backend, row: Route
) -> None:
    """The services answer him as they would: what they tell everybody must not slip through."""
    method, path, body = every_route.request(row)
    answer = await bff.call(method, path, json=body)

    assert answer.status == 403, await answer.text()
    assert (await answer.json())["code"] == "permission_denied"
    # Refused by the first call, before any other could do something.
    (call,) = backend.caused()
    assert call.method in every_route.administrators_methods()


@pytest.mark.parametrize("row", _CHANGING_ROWS, ids=every_route.name)
async def test_another_site_changes_nothing_with_a_browsers_cookies(
    bff: Bff, backend: Backend, row: Route
) -> None:
    method, path, body = every_route.request(row)
    for proof in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        headers = {"Cookie": f"reelgate_access={token()}"} | proof
        answer = await bff.call(method, path, headers=headers, json=body)

        assert answer.status == 403
        assert (await answer.json())["code"] == "cross_site"
    assert backend.caused() == []
