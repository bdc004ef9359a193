"""What becomes of a request that quota refuses (D2, G7)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from services.gateway.catalogue import Catalogue, Wish
from services.gateway.clients import QuotaClient, StorageClient
from services.gateway.generations import MAX_ACTIVE_PER_USER
from services.gateway.offer import Offer
from services.gateway.prices import Price, Prices
from services.gateway.service import Generations, Request
from services.gateway.store.generations import Filter, GenerationStore
from services.kernel.errors import ReelgateError, ResourceExhausted, Unavailable

BOAT = Request(model="sora2-landscape-10s", prompt="a paper boat", wish=Wish())


@dataclass
class Quota:
    """Refuses with `error`, once it is set."""

    error: ReelgateError | None = None
    admitted: list[tuple[int, int]] = field(default_factory=list)
    released: list[UUID] = field(default_factory=list)
    price_list: list[Price] = field(default_factory=list)

    async def prices(self) -> list[Price]:
        return self.price_list

    async def admit(self, *call: Any) -> None:
        if self.error is not None:
            raise self.error
        self.admitted.append(call[3:])

    async def release_unclaimed(self, generation_id: UUID, *_: Any) -> None:
        self.released.append(generation_id)


class EverythingOffered:
    async def includes(self, *_: Any) -> bool:
        return True


@pytest.fixture
def quota() -> Quota:
    return Quota()


@pytest.fixture
def generations(store: GenerationStore, quota: Quota) -> Generations:
    return Generations(
        store,
        cast("Offer", EverythingOffered()),
        Catalogue.default(),
        cast("StorageClient", None),
        cast("QuotaClient", quota),
        Prices(quota),
    )


async def test_g3_bytes_and_price_are_asked_for_together(
    generations: Generations, quota: Quota, owner: UUID
) -> None:
    _, made, _ = await generations.create(owner, None, BOAT, None)
    assert made is not None
    assert made.credits > 0
    assert quota.admitted == [(made.reserved_bytes, made.credits)]


async def test_g8_the_price_that_is_set_is_held_and_recorded(
    generations: Generations, quota: Quota, owner: UUID
) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    quota.price_list = [Price(BOAT.model, 10, 77, began), Price(BOAT.model, 0, 5, began)]
    _, made, _ = await generations.create(owner, None, BOAT, None)
    assert made is not None
    assert made.credits == 77
    assert [price for _, price in quota.admitted] == [77]


@pytest.mark.parametrize("reason", ["INSUFFICIENT_CREDITS", "QUOTA_EXCEEDED"])
async def test_g7_what_quota_refuses_leaves_no_row_and_takes_no_place(
    generations: Generations, quota: Quota, store: GenerationStore, owner: UUID, reason: str
) -> None:
    quota.error = ResourceExhausted("no", reason=reason, metadata={"balance": "3", "price": "10"})
    for _ in range(MAX_ACTIVE_PER_USER + 1):
        with pytest.raises(ResourceExhausted) as refused:
            await generations.create(owner, None, BOAT, None)
        assert refused.value.reason == reason
        assert refused.value.metadata == {"balance": "3", "price": "10"}
    assert await store.page(Filter(owner), before=None, limit=10) == []
    assert quota.released == [], "nothing was held"
    quota.error = None
    await generations.create(owner, None, BOAT, None)


async def test_an_admission_whose_answer_was_lost_is_given_back(
    generations: Generations, quota: Quota, store: GenerationStore, owner: UUID
) -> None:
    quota.error = Unavailable("lost")
    with pytest.raises(Unavailable):
        await generations.create(owner, None, BOAT, None)
    [released] = quota.released
    assert not await store.exists(released)
