"""Credits: one's own, the ledger, grants, prices (G7, G8)."""

from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from reelgate.gateway.v1 import identity_pb2
from reelgate.quota.v1 import credit_pb2, quota_pb2
from services.kernel.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff, token
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import CREATED, GENERATION, GROUP, USER

_TRANSACTIONS = "/api/v1/sora/credits/transactions"
_GRANT = f"/api/v1/admin/users/{USER}/credits"
_PRICES = "/api/v1/admin/prices"
_REQUEST = "01930000-0000-4000-8000-0000000000dd"
_FIGURES = {"balance": 70, "held": 10, "total_earned": 100, "total_spent": 20}


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    price = credit_pb2.Price(model="m", duration_seconds=10, credits=12, effective_time=CREATED)
    backend.answers |= {
        "GetCredits": credit_pb2.GetCreditsResponse(credits=messages.credits()),
        "GetUser": identity_pb2.GetUserResponse(user=messages.user()),
        "GrantCredits": credit_pb2.GrantCreditsResponse(credits=messages.credits()),
        "ListPrices": credit_pb2.ListPricesResponse(
            prices=[price, credit_pb2.Price(model="n", credits=0)]
        ),
        "SetPrices": credit_pb2.SetPricesResponse(),
    }


async def test_g7_a_user_sees_his_own_credits(bff: Bff, backend: Backend) -> None:
    answer = await bff.call("GET", "/api/v1/sora/credits")

    assert answer.status == 200
    assert await answer.json() == _FIGURES
    assert backend.asked("GetCredits") == [credit_pb2.GetCreditsRequest()]
    assert backend.subjects("GetCredits") == [USER]


async def test_g7_the_ledger_has_pages(bff: Bff, backend: Backend) -> None:
    capture = credit_pb2.Transaction(
        id=f"{USER}:2",
        kind=credit_pb2.TRANSACTION_KIND_CAPTURE,
        balance_before=90,
        balance_after=90,
        held_amount=-10,
        held_before=10,
        generation_id=GENERATION,
        run=1,
        create_time=CREATED,
    )
    grant = credit_pb2.Transaction(
        id=f"{USER}:1",
        kind=credit_pb2.TRANSACTION_KIND_GRANT,
        amount=100,
        balance_after=100,
        reason="a present",
        request_id=_REQUEST,
        actor="gateway",
        create_time=CREATED,
    )
    backend.answers["ListTransactions"] = credit_pb2.ListTransactionsResponse(
        transactions=[capture, grant], next_page_token="1"
    )
    answer = await bff.call("GET", f"{_TRANSACTIONS}?page_size=2&page_token=3")

    assert answer.status == 200
    assert await answer.json() == {
        "items": [
            {
                "id": f"{USER}:2",
                "kind": "capture",
                "amount": 0,
                "balance_before": 90,
                "balance_after": 90,
                "held_amount": -10,
                "held_before": 10,
                "held_after": 0,
                "reason": "",
                "generation_id": GENERATION,
                "run": 1,
                "request_id": None,
                "actor": None,
                "created_at": "2025-10-09T08:53:20Z",
            },
            {
                "id": f"{USER}:1",
                "kind": "grant",
                "amount": 100,
                "balance_before": 0,
                "balance_after": 100,
                "held_amount": 0,
                "held_before": 0,
                "held_after": 0,
                "reason": "a present",
                "generation_id": None,
                "run": 0,
                "request_id": _REQUEST,
                "actor": "gateway",
                "created_at": "2025-10-09T08:53:20Z",
            },
        ],
        "next_page_token": "1",
    }
    (asked,) = backend.asked("ListTransactions")
    assert asked == credit_pb2.ListTransactionsRequest(page_size=2, page_token="3")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page_token=%00", "page_token"),
        ("page_token=" + "9" * 1025, "page_token"),
    ],
)
async def test_a_bad_page_of_the_ledger_is_400(bff: Bff, query: str, field: str) -> None:
    answer = await bff.call("GET", f"{_TRANSACTIONS}?{query}")

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]


async def test_g8_a_grant_answers_with_what_the_user_has_then(bff: Bff, backend: Backend) -> None:
    body = {"amount": -5, "reason": "a mistake", "unknown": 1}
    answer = await bff.call("POST", _GRANT, json=body)
    await bff.call("POST", _GRANT, json=body)

    assert answer.status == 200
    assert await answer.json() == _FIGURES
    first, second = backend.asked("GrantCredits")
    assert (first.user_id, first.amount, first.reason) == (USER, -5, "a mistake")
    assert UUID(first.request_id) != UUID(second.request_id)


@pytest.mark.parametrize(
    ("header", "field"), [(_REQUEST.upper(), None), (None, _REQUEST), (_REQUEST, _REQUEST)]
)
async def test_g8_a_grant_has_the_id_that_the_caller_gave_it(
    bff: Bff, backend: Backend, header: str | None, field: str | None
) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    if header is not None:
        headers["Idempotency-Key"] = header
    body = {"amount": 1, "reason": "a present", "request_id": field}
    answer = await bff.call("POST", _GRANT, json=body, headers=headers)

    assert answer.status == 200
    assert backend.asked("GrantCredits")[0].request_id == _REQUEST


@pytest.mark.parametrize(
    ("header", "field", "named"),
    [("every monday", None, "Idempotency-Key"), (_REQUEST, GROUP, "request_id")],
)
async def test_g8_an_idempotency_key_that_could_not_hold_is_refused(
    bff: Bff, backend: Backend, header: str, field: str | None, named: str
) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": header}
    body = {"amount": 1, "reason": "a present", "request_id": field}
    answer = await bff.call("POST", _GRANT, json=body, headers=headers)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [named]
    assert backend.asked("GrantCredits") == []


async def test_g8_nobody_unknown_is_given_credits(bff: Bff, backend: Backend) -> None:
    backend.answers["GetUser"] = NotFound("There is no such user.")
    answer = await bff.call("POST", _GRANT, json={"amount": 1, "reason": "a present"})

    assert answer.status == 404
    assert backend.asked("GrantCredits") == []


_POOR = {"balance": "7", "price": "9"}


@pytest.mark.parametrize(
    ("error", "status", "code", "figures"),
    [
        (
            FailedPrecondition("Less.", reason="INSUFFICIENT_CREDITS", metadata=_POOR),
            409,
            "insufficient_credits",
            {"balance": 7, "price": 9},
        ),
        (FailedPrecondition("More.", reason="TOO_MANY_CREDITS"), 409, "too_many_credits", {}),
        (AlreadyExists("Another.", reason="REQUEST_MISMATCH"), 422, "request_mismatch", {}),
        (InvalidArgument("Say why.", field="reason"), 400, "invalid_argument", {}),
    ],
)
async def test_g8_a_refused_grant_says_why(
    bff: Bff, backend: Backend, error: Any, status: int, code: str, figures: dict[str, int]
) -> None:
    backend.answers["GrantCredits"] = error
    answer = await bff.call("POST", _GRANT, json={"amount": -9, "reason": " "})

    problem = await answer.json()
    assert (answer.status, problem["code"]) == (status, code)
    assert {name: problem[name] for name in ("balance", "price") if name in problem} == figures


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 2**53 + 1}, "amount"),
        ({"amount": -(2**53) - 1}, "amount"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "nul \0"}, "reason"),
        ({"reason": None}, "reason"),
        ({"request_id": "x"}, "request_id"),
        ({"request_id": 5}, "request_id"),
    ],
)
async def test_a_bad_grant_is_400_and_names_the_field(
    bff: Bff, backend: Backend, change: dict[str, Any], field: str
) -> None:
    answer = await bff.call("POST", _GRANT, json={"amount": 1, "reason": "a present"} | change)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.caused() == []


async def test_g8_prices_are_listed_for_administrators(bff: Bff, backend: Backend) -> None:
    backend.answers["ListUsage"] = quota_pb2.ListUsageResponse()
    answer = await bff.call("GET", _PRICES)

    assert answer.status == 200
    assert await answer.json() == [
        {
            "model": "m",
            "duration_seconds": 10,
            "credits": 12,
            "effective_at": "2025-10-09T08:53:20Z",
        },
        {"model": "n", "duration_seconds": 0, "credits": 0, "effective_at": None},
    ]


async def test_g8_prices_are_set_from_now_or_from_a_date_on(bff: Bff, backend: Backend) -> None:
    later = {"model": "m", "duration_seconds": 10, "credits": 12}
    body = {
        "prices": [
            {"model": "n", "credits": 0, "effective_at": None},
            later | {"effective_at": "2027-01-01T01:00:00+01:00"},
        ]
    }
    answer = await bff.call("POST", _PRICES, json=body)

    assert answer.status == 200
    assert [price["model"] for price in await answer.json()] == ["m", "n"]
    begin = Timestamp(seconds=1_798_761_600)
    assert backend.asked("SetPrices") == [
        credit_pb2.SetPricesRequest(
            prices=[
                credit_pb2.Price(model="n"),
                credit_pb2.Price(model="m", duration_seconds=10, credits=12, effective_time=begin),
            ]
        )
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prices"),
        ({"prices": []}, "prices"),
        ({"prices": {}}, "prices"),
        ({"prices": [{"model": "m", "credits": 1}] * 1001}, "prices"),
        ({"prices": [{"credits": 1}]}, "prices.0.model"),
        ({"prices": [{"model": "", "credits": 1}]}, "prices.0.model"),
        ({"prices": [{"model": "m"}]}, "prices.0.credits"),
        ({"prices": [{"model": "m", "credits": -1}]}, "prices.0.credits"),
        ({"prices": [{"model": "m", "credits": 2**53 + 1}]}, "prices.0.credits"),
        (
            {"prices": [{"model": "m", "credits": 1, "duration_seconds": -1}]},
            "prices.0.duration_seconds",
        ),
        (
            {"prices": [{"model": "m", "credits": 1, "effective_at": 5}]},
            "prices.0.effective_at",
        ),
        (
            {"prices": [{"model": "m", "credits": 1, "effective_at": "2027-01-01"}]},
            "prices.0.effective_at",
        ),
    ],
)
async def test_bad_prices_are_400_and_name_the_field(
    bff: Bff, backend: Backend, body: dict[str, Any], field: str
) -> None:
    answer = await bff.call("POST", _PRICES, json=body)

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.caused() == []
