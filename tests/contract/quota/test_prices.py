"""Prices are data with a date (G8)."""

from datetime import UTC, datetime, timedelta

import pytest

from reelgate.quota.v1.credit_pb2 import Price
from services.kernel.errors import InvalidArgument, NotFound
from services.kernel.ids import new_id
from tests.contract.quota.running import Callers

NOW = datetime.now(UTC)


def price(model: str, seconds: int, credits_: int, *, hours: float | None = None) -> Price:
    """In force so many hours from now on; None does not say."""
    message = Price(model=model, duration_seconds=seconds, credits=credits_)
    if hours is not None:
        message.effective_time.FromDatetime(NOW + timedelta(hours=hours))
    return message


async def test_g8_the_price_of_the_very_duration_goes_before_the_one_of_any(
    callers: Callers,
) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(price(model, 10, 30), price(model, 0, 20))
    anyone = callers.person(new_id())
    assert await anyone.quote(model, 10) == 30
    assert await anyone.quote(model, 15) == await anyone.quote(model) == 20
    assert await anyone.quote(model, 10, 3) == 90


async def test_g8_the_latest_that_has_begun_is_in_force(callers: Callers) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(
        price(model, 10, 1, hours=-3), price(model, 10, 2, hours=-1), price(model, 10, 3, hours=1)
    )
    assert await callers.admin.quote(model, 10) == 2
    await callers.admin.set_prices(price(model, 10, 9, hours=-2))
    assert await callers.admin.quote(model, 10) == 2, "an older date does not go before"
    await callers.admin.set_prices(price(model, 10, 4, hours=-1))
    assert await callers.admin.quote(model, 10) == 4, "of equal dates the one set last"
    await callers.admin.set_prices(price(model, 10, 5))
    assert await callers.admin.quote(model, 10) == 5


async def test_a_coming_price_of_the_duration_does_not_hide_the_one_of_any(
    callers: Callers,
) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(price(model, 10, 30, hours=1), price(model, 0, 20))
    assert await callers.admin.quote(model, 10) == 20


async def test_everyone_sees_what_is_in_force_and_what_is_to_come(callers: Callers) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(
        price(model, 10, 1, hours=-3),
        price(model, 10, 7, hours=-1),
        price(model, 10, 2, hours=-1),
        price(model, 10, 3, hours=1),
        price(model, 10, 4, hours=2),
        price(model, 0, 5, hours=2),
        price(model, 15, 6),
    )
    found = [one for one in await callers.person(new_id()).prices() if one.model == model]
    assert [(one.duration_seconds, one.credits) for one in found] == [
        (0, 5),
        (10, 2),
        (10, 3),
        (10, 4),
        (15, 6),
    ]
    assert found[1].effective_time.ToDatetime(UTC) == NOW - timedelta(hours=1)


async def test_a_model_without_a_price_is_not_found(callers: Callers) -> None:
    with pytest.raises(NotFound) as refused:
        await callers.admin.quote("nobody's")
    assert refused.value.reason == "NO_PRICE"


async def test_something_may_cost_nothing(callers: Callers) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(price(model, 0, 0))
    assert await callers.admin.quote(model, 10, 1000) == 0


async def test_no_product_is_absurd(callers: Callers) -> None:
    model = f"model-{new_id()}"
    await callers.admin.set_prices(price(model, 0, 2**53))
    assert await callers.admin.quote(model) == 2**53
    with pytest.raises(InvalidArgument) as refused:
        await callers.admin.quote(model, 0, 2)
    assert refused.value.field == "count"
