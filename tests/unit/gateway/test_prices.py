"""G8: what a generation costs, by the list that is set in quota and by the catalogue."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.catalogue import Catalogue, Model, Wish
from services.gateway.prices import Price, PriceList, Prices
from services.kernel.errors import Unavailable

NOW = datetime(2026, 11, 29, tzinfo=UTC)
BEFORE, EARLIER, LATER = (NOW + timedelta(days=days) for days in (-1, -2, 1))
VIDEO, _ = Catalogue.default().choose("sora2-landscape-10s", Wish())
IMAGE, _ = Catalogue.default().choose("gpt-image", Wish())


class Board:
    """Whoever keeps the prices; away while `list` is None."""

    def __init__(self) -> None:
        self.list: Sequence[Price] | None = ()
        self.asked = 0

    async def prices(self) -> Sequence[Price]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.list is None:
            raise Unavailable("away")
        return self.list


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, which go by when the test says so."""
    now = [1000.0]
    monkeypatch.setattr("services.gateway.prices.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("model", "listed", "costs"),
    [
        (VIDEO, [], VIDEO.credits),
        (VIDEO, [(VIDEO.id, 10, 7, BEFORE)], 7),
        (VIDEO, [(VIDEO.id, 0, 5, BEFORE)], 5),
        (VIDEO, [(VIDEO.id, 0, 5, BEFORE), (VIDEO.id, 10, 7, EARLIER)], 7),
        (VIDEO, [(VIDEO.id, 15, 7, BEFORE)], VIDEO.credits),
        (VIDEO, [(VIDEO.id, 10, 7, LATER)], VIDEO.credits),
        (VIDEO, [(VIDEO.id, 10, 7, LATER), (VIDEO.id, 0, 5, BEFORE)], 5),
        (VIDEO, [(VIDEO.id, 10, 7, EARLIER), (VIDEO.id, 10, 8, BEFORE)], 8),
        (VIDEO, [(VIDEO.id, 10, 7, NOW)], 7),
        (VIDEO, [(VIDEO.id, 10, 0, BEFORE)], 0),
        (VIDEO, [(IMAGE.id, 0, 5, BEFORE)], VIDEO.credits),
        (IMAGE, [(IMAGE.id, 0, 5, BEFORE)], 5),
    ],
)
def test_g8_the_latest_price_of_the_very_duration_else_of_any_else_the_catalogues(
    model: Model, listed: list[tuple[str, int, int, datetime]], costs: int
) -> None:
    assert PriceList([Price(*one) for one in listed]).of(model, NOW) == costs


async def test_g8_many_at_once_read_the_list_once_and_a_change_is_seen_in_5_seconds(
    clock: list[float],
) -> None:
    board = Board()
    prices = Prices(board)
    await asyncio.gather(*(prices.now() for _ in range(50)))
    assert board.asked == 1
    board.list = [Price(VIDEO.id, 10, 7, EARLIER)]
    clock[0] += 5
    assert (await prices.now()).of(VIDEO) == 7
    assert board.asked == 2


async def test_g8_a_short_outage_goes_unnoticed_and_a_long_one_is_told(clock: list[float]) -> None:
    board = Board()
    prices = Prices(board)
    board.list = [Price(VIDEO.id, 10, 7, EARLIER)]
    await prices.now()
    board.list = None
    clock[0] += 59
    assert (await prices.now()).of(VIDEO) == 7
    clock[0] += 1
    with pytest.raises(Unavailable):
        await prices.now()
    board.list = ()
    clock[0] += 1
    assert (await prices.now()).of(VIDEO) == VIDEO.credits


async def test_g8_while_quota_is_away_it_is_asked_once_a_second_at_most(clock: list[float]) -> None:
    board = Board()
    board.list = None
    prices = Prices(board)
    for _ in range(20):
        with pytest.raises(Unavailable):
            await prices.now()
    assert board.asked == 1
