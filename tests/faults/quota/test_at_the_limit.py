"""G2, G7: a crowd at the limit of room or credits; exactly what fits is admitted, and at no moment more."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.contract.quota.running import Caller, new_run, verdict
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.quota.conftest import Replicas
from tests.faults.report import Outcome

pytestmark = PATIENT

CROWD: Final = 200
WELCOME: Final = 1000

CROWDS: Final = Campaign(
    "A crowd at the limit of bytes or credits",
    f"Of {CROWD} admissions at once, at two processes, exactly those that fit succeed; used and reserved bytes never "
    "exceed the quota, no balance is negative, and all ledgers add up to the balances.",
    trials=1000,
    slice_trials=20,
    slice_seconds=6,
)


async def test_g2_g7_exactly_what_fits_is_admitted(replicas: Replicas) -> None:
    async def attempt(trial: Trial) -> Outcome:
        return await one_crowd(trial, replicas)

    await CROWDS.run(attempt, afterwards=replicas.add_up)


async def one_crowd(trial: Trial, replicas: Replicas) -> Outcome:
    """A user who has room for some of what is asked for, and credits for some."""
    chance, admin = trial.chance, replicas.admin
    user, gateways = replicas.gateways()
    size, price = chance.randint(1, 100), chance.randint(1, 20)
    # A limit of 0 would be none at all.
    limit = max(1, chance.randint(0, CROWD) * size + chance.randrange(size))
    wealth = chance.randint(0, CROWD) * price + chance.randrange(price)
    if trial.number % 3 == 1:
        limit = -1
    elif trial.number % 3 == 2:
        price = 0
    await admin.limit_user(user, limit)
    if wealth != WELCOME:
        await admin.grant(user, wealth - WELCOME, "what the crowd is about")

    over = asyncio.Event()
    watching = asyncio.create_task(_watch(gateways, limit, wealth, over))
    calls = [
        verdict(gateways[number % 2].admit(new_run(), user, size, price)) for number in range(CROWD)
    ]
    said = Counter(await asyncio.gather(*calls))
    over.set()
    await watching

    room = CROWD if limit == -1 else limit // size
    purse = CROWD if price == 0 else wealth // price
    fitting = min(room, purse, CROWD)
    assert said["ok"] == fitting, said
    assert set(said) <= {"ok", "QUOTA_EXCEEDED", "INSUFFICIENT_CREDITS"}
    quota, credits_ = await gateways[0].get(), await gateways[1].credits()
    assert (quota.used_bytes, quota.reserved_bytes) == (0, fitting * size)
    assert (credits_.balance, credits_.held) == (wealth - fitting * price, fitting * price)
    what = (
        "all fit"
        if fitting == CROWD
        else "credits end first"
        if purse < room
        else "room ends first"
    )
    return Outcome(what, {"admitted": fitting, "refused": CROWD - fitting})


async def _watch(gateways: Sequence[Caller], limit: int, wealth: int, over: asyncio.Event) -> None:
    while not over.is_set():
        for gateway in gateways:
            quota, credits_ = await gateway.get(), await gateway.credits()
            assert limit == -1 or quota.used_bytes + quota.reserved_bytes <= limit
            assert credits_.balance >= 0
            assert credits_.balance + credits_.held == wealth
