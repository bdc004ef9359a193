"""Contests that two replicas hold on one set of books: as long as is wished, each round checked."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Sequence

from services.kernel.errors import ReelgateError
from services.kernel.ids import new_id
from tests.contract.quota.running import Callers, leased, new_run

CROWD = 200


async def verdict(call: Awaitable[object]) -> str:
    """Either "ok" or the reason of the refusal."""
    try:
        await call
    except ReelgateError as error:
        return error.reason
    return "ok"


async def admissions_at_the_limit(replicas: Sequence[Callers], rounds: int) -> int:
    """Many admissions at once of a user who can pay for, or has room for, only some: exactly those succeed.

    Returns how many operations that were.
    """
    admin = replicas[0].admin
    for _ in range(rounds):
        user = new_id()
        gateways = [replica.gateway_for(user) for replica in replicas]
        size, price = random.randint(1, 100), random.randint(1, 20)
        purse = random.randint(0, CROWD)
        # A limit of 0 would be none at all.
        limit = max(1, random.randint(0, CROWD) * size + random.randint(0, size - 1))
        await admin.limit_user(user, limit)
        wealth = purse * price + random.randint(0, price - 1)
        if wealth != 1000:
            await admin.grant(user, wealth - 1000, "what the round is about")
        runs = [new_run() for _ in range(CROWD)]

        said = Counter(
            await asyncio.gather(
                *(
                    verdict(gateways[i % len(gateways)].admit(run, user, size, price))
                    for i, run in enumerate(runs)
                )
            )
        )

        succeeding = min(limit // size, purse, CROWD)
        assert said["ok"] == succeeding, said
        assert set(said) <= {"ok", "QUOTA_EXCEEDED", "INSUFFICIENT_CREDITS"}
        quota, credits_ = await admin.get(user), await admin.credits(user)
        assert quota.used_bytes + quota.reserved_bytes == succeeding * size <= limit
        assert (credits_.balance, credits_.held) == (
            wealth - succeeding * price,
            succeeding * price,
        )
    return rounds * CROWD


async def cancels_against_completions(replicas: Sequence[Callers], times: int) -> Counter[str]:
    """The worker settles while the owner cancels: the price is captured or refunded, never both, never neither.

    Returns how often which of them came first.
    """
    outcomes: Counter[str] = Counter()
    user = new_id()
    first, second = (replica.gateway_for(user) for replica in replicas)
    admin = replicas[0].admin
    await admin.grant(user, 10 * times)

    async def race() -> None:
        run = new_run()
        await first.admit(run, user, 10, 7)
        settled, released = await asyncio.gather(
            verdict(first.settle(leased(run, 1), 8)), verdict(second.release(leased(run, 1)))
        )
        assert released == "ok"
        assert settled in ("ok", "RUN_ENDED")
        outcomes["captured" if settled == "ok" else "refunded"] += 1

    for begun in range(0, times, CROWD):
        await asyncio.gather(*(race() for _ in range(min(CROWD, times - begun))))
    quota, credits_ = await admin.get(user), await admin.credits(user)
    assert (quota.used_bytes, quota.reserved_bytes) == (0, 0)
    assert (credits_.held, credits_.total_spent) == (0, 7 * outcomes["captured"])
    assert credits_.balance == 1000 + 10 * times - 7 * outcomes["captured"]
    return outcomes
