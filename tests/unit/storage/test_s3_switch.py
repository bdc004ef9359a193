"""E1: the S3 tier is changed at run time, and the old one lives as long as somebody works with it."""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest

from deploy.local import ports
from services.kernel.egress import Egress, EgressRefused, Policy
from services.kernel.ids import new_id
from services.storage.configuration.switch import S3Switch
from services.storage.objects import Tier
from services.storage.ports import Part, Place, TierFailed
from services.storage.s3.target import S3Target
from services.storage.store.transfers import Store
from services.storage.tiers import Tiers

TARGET = S3Target(
    endpoint=f"http://127.0.0.1:{ports.choose()}",
    public_endpoint="",
    region="auto",
    bucket="works",
    access_key_id="an-id",
    secret_access_key="the-secret",
    prefix="",
    path_style=True,
    cdn_url="",
    private=True,
)


@pytest.fixture
def tiers() -> Tiers:
    return Tiers(None, None, cast("Store", None))  # asked about local disk only


@pytest.fixture
async def switch(tiers: Tiers) -> AsyncIterator[S3Switch]:
    async with Egress(Policy()) as egress, S3Switch(tiers, egress) as switch:
        yield switch
    assert switch.open_count == 0


async def closed_to(switch: S3Switch, count: int) -> None:
    gc.collect()
    async with asyncio.timeout(5):
        while switch.open_count != count:
            await asyncio.sleep(0.01)


async def test_the_old_client_is_closed_when_its_last_user_is_gone(
    switch: S3Switch, tiers: Tiers
) -> None:
    await switch.use(TARGET)
    user = tiers.get(Tier.S3)
    for number in range(3):
        await switch.use(replace(TARGET, cdn_url=f"https://cdn{number}.example.com"))
    await closed_to(switch, 2)
    assert tiers.get(Tier.S3) is not user
    assert (await user.link("a", "")).url.startswith(TARGET.endpoint)
    del user
    await closed_to(switch, 1)
    await switch.use(None)
    await closed_to(switch, 0)
    assert tiers.s3 is None


async def test_a_tier_that_does_not_answer_is_taken_all_the_same_and_says_why(
    switch: S3Switch, tiers: Tiers
) -> None:
    await switch.use(TARGET)
    assert tiers.s3 is not None
    assert not tiers.is_healthy(Tier.S3)
    assert tiers.trouble(Tier.S3)


async def test_an_address_that_is_not_allowed_changes_nothing(
    switch: S3Switch, tiers: Tiers
) -> None:
    await switch.use(TARGET)
    before = tiers.s3
    with pytest.raises(EgressRefused):
        await switch.use(replace(TARGET, private=False))
    assert tiers.s3 is before


async def test_what_is_on_its_way_to_a_bucket_that_was_left_does_not_end_there(
    switch: S3Switch, tiers: Tiers
) -> None:
    where = Place("a.mp4", "video/mp4", new_id(), whole=True, again=False)
    part = Part(1, 0, memoryview(b"bytes"), 0)
    await switch.use(TARGET)
    old = tiers.s3
    assert old is not None
    await switch.use(replace(TARGET, cdn_url="https://cdn.example.com"))
    assert not old.abandoned
    old = tiers.s3
    assert old is not None
    await switch.use(None)
    await switch.use(replace(TARGET, bucket="others"))
    with pytest.raises(TierFailed) as caught:
        await (await old.create(where)).write(part)
    assert caught.value.trouble == "missing"
    await switch.use(TARGET)
    assert not old.abandoned
