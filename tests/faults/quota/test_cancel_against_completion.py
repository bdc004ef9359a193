"""G3, G7: the worker completes a run while its owner cancels it; one outcome, whoever comes first."""

import asyncio
from typing import Final

from tests.contract.quota.running import KEPT, NOT_KEPT, leased, new_run, verdict
from tests.contract.quota.test_credits import CAPTURE, GRANT, HOLD, REFUND
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.quota.conftest import Replicas
from tests.faults.report import Outcome

pytestmark = PATIENT

_AT_ONCE: Final = 32

RACES: Final = Campaign(
    "A cancel racing a completion",
    "The price is captured or refunded, never both and never neither; nothing is left reserved or used, and a repeat "
    "of either call changes nothing.",
    trials=10_000,
    slice_trials=300,
    slice_seconds=5,
)


async def test_g3_g7_a_run_that_is_cancelled_and_completed_has_one_outcome(
    replicas: Replicas,
) -> None:
    async def attempt(trial: Trial) -> Outcome:
        return await one_race(trial, replicas)

    await RACES.run(attempt, at_once=_AT_ONCE, afterwards=replicas.add_up)


async def one_race(trial: Trial, replicas: Replicas) -> Outcome:
    """One run of a new user. Each of the two calls may be made twice at once."""
    chance = trial.chance
    user, (worker, owner) = replicas.gateways()
    run, price = new_run(), chance.randint(1, 50)
    stored, outcome = chance.choice(((8, KEPT), (0, NOT_KEPT)))
    await worker.admit(run, user, 10, price)

    async def settle() -> str:
        await asyncio.sleep(chance.uniform(0, 0.006))
        return await verdict(worker.settle(leased(run, 1), stored, outcome))

    async def release() -> str:
        await asyncio.sleep(chance.uniform(0, 0.006))
        # Whoever cancels takes the lease away first.
        return await verdict(owner.release(leased(run, 2)))

    settles = [asyncio.create_task(settle()) for _ in range(chance.choice((1, 1, 2)))]
    releases = [asyncio.create_task(release()) for _ in range(chance.choice((1, 1, 2)))]
    settled = {await call for call in settles}
    assert {await call for call in releases} == {"ok"}
    assert settled <= {"ok", "STALE_LEASE"}
    assert await settle() == "STALE_LEASE"
    assert await release() == "ok"

    captured = "ok" in settled
    quota, credits_ = await owner.get(), await worker.credits()
    assert (quota.used_bytes, quota.reserved_bytes) == (0, 0)
    spent = price if captured else 0
    assert (credits_.balance, credits_.held, credits_.total_spent) == (1000 - spent, 0, spent)
    entries = (await owner.transactions(page_size=3)).transactions
    assert [entry.kind for entry in entries] == [CAPTURE if captured else REFUND, HOLD, GRANT]
    return Outcome("completed, then deleted" if captured else "cancelled and refunded")
