"""Days of works: one's own, and everybody's for administrators (G6, G7)."""

from datetime import UTC, date, datetime, timedelta

import pytest

from reelgate.gateway.v1 import identity_pb2
from reelgate.quota.v1 import quota_pb2
from services.kernel.errors import InvalidArgument, PermissionDenied
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.conftest import Bff
from tests.contract.frontend_bff.fakes import Backend
from tests.contract.frontend_bff.messages import GROUP, USER

_OWN = "/api/v1/sora/usage"
_ALL = "/api/v1/admin/usage"
_DAYS = "first_date=2026-01-30&last_date=2026-02-02"


@pytest.fixture(autouse=True)
def known(backend: Backend) -> None:
    day = quota_pb2.DailyUsage(
        user_id=USER,
        date="2026-01-31",
        run_count=6,
        kept_count=3,
        delivered_count=2,
        failed_count=1,
        kept_bytes=2**40,
        spent_credits=50,
    )
    backend.answers |= {
        "GetMe": identity_pb2.GetMeResponse(user=messages.user()),
        "ListUsage": quota_pb2.ListUsageResponse(usages=[messages.usage()]),
        "ListDailyUsage": quota_pb2.ListDailyUsageResponse(days=[day], next_page_token="more"),
    }


@pytest.mark.parametrize(
    ("path", "user_id"),
    [
        (f"{_OWN}?{_DAYS}", USER),
        (f"{_ALL}?{_DAYS}", ""),
        (f"{_ALL}?{_DAYS}&user_id={GROUP}", GROUP),
    ],
)
async def test_g7_days_have_pages(bff: Bff, backend: Backend, path: str, user_id: str) -> None:
    answer = await bff.call("GET", f"{path}&page_size=1&page_token=this")

    assert answer.status == 200
    assert await answer.json() == {
        "first_date": "2026-01-30",
        "last_date": "2026-02-02",
        "items": [
            {
                "date": "2026-01-31",
                "user_id": USER,
                "run_count": 6,
                "kept_count": 3,
                "delivered_count": 2,
                "failed_count": 1,
                "kept_bytes": 2**40,
                "spent_credits": 50,
            }
        ],
        "next_page_token": "more",
    }
    assert backend.asked("ListDailyUsage") == [
        quota_pb2.ListDailyUsageRequest(
            user_id=user_id,
            first_date="2026-01-30",
            last_date="2026-02-02",
            page_size=1,
            page_token="this",
        )
    ]


async def test_g7_an_administrator_sees_his_own_days_among_his_own(
    bff: Bff, backend: Backend
) -> None:
    """Without a name, quota would show him everybody's."""
    admin = messages.user(role=identity_pb2.ROLE_ADMIN)
    backend.answers["GetMe"] = identity_pb2.GetMeResponse(user=admin)
    await bff.call("GET", _OWN)

    assert [asked.user_id for asked in backend.asked("ListDailyUsage")] == [USER]


async def test_g7_a_user_does_not_get_his_own_days_from_the_administrators_page(
    bff: Bff, backend: Backend
) -> None:
    backend.answers["ListUsage"] = PermissionDenied("Only an administrator may do this.")
    for path in (_ALL, f"{_ALL}?user_id={USER}"):
        answer = await bff.call("GET", path)
        assert answer.status == 403
    assert backend.asked("ListDailyUsage") == []


@pytest.mark.parametrize("path", [_OWN, _ALL])
async def test_g7_without_dates_it_is_the_last_thirty_days(
    bff: Bff, backend: Backend, path: str
) -> None:
    before = datetime.now(UTC).date()
    answer = await bff.call("GET", path)
    after = datetime.now(UTC).date()

    body = await answer.json()
    first, last = (date.fromisoformat(body[name]) for name in ("first_date", "last_date"))
    assert before <= last <= after
    assert (last - first) == timedelta(days=29)
    (asked,) = backend.asked("ListDailyUsage")
    assert (asked.first_date, asked.last_date) == (body["first_date"], body["last_date"])


@pytest.mark.parametrize(
    ("last", "first"),
    [("2026-03-01", "2026-01-31"), ("0001-01-15", "0001-01-01"), ("9999-12-31", "9999-12-02")],
)
async def test_g7_the_last_day_alone_means_the_thirty_that_end_with_it(
    bff: Bff, last: str, first: str
) -> None:
    answer = await bff.call("GET", f"{_OWN}?last_date={last}")

    assert (await answer.json())["first_date"] == first


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("first_date=yesterday", "first_date"),
        ("first_date=", "first_date"),
        ("first_date=2026-02-30", "first_date"),
        ("first_date=20260130", "first_date"),
        ("first_date=2026-W05-5", "first_date"),
        ("last_date=2026-01-30T00:00:00Z", "last_date"),
        ("last_date=%D9%A2026-01-30", "last_date"),
        ("last_date=0000-01-01", "last_date"),
        ("page_size=0", "page_size"),
        ("user_id=somebody", "user_id"),
    ],
)
async def test_a_bad_query_is_400_and_names_the_parameter(
    bff: Bff, backend: Backend, query: str, field: str
) -> None:
    answer = await bff.call("GET", f"{_ALL}?{query}")

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == [field]
    assert backend.caused() == []


async def test_days_that_quota_refuses_are_400(bff: Bff, backend: Backend) -> None:
    error = InvalidArgument("Ask for 1 to 366 days.", field="last_date")
    backend.answers["ListDailyUsage"] = error
    answer = await bff.call("GET", f"{_OWN}?first_date=2020-01-01")

    assert answer.status == 400
    assert [error["field"] for error in (await answer.json())["errors"]] == ["last_date"]
