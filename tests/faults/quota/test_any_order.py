"""G1-G3, G5, G7: calls in any order, repeated, late, lost or broken off; the service agrees with an oracle."""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest

from services.kernel.migrations import migrate
from services.quota.__main__ import MIGRATIONS
from tests.faults.campaign import PATIENT, Campaign, Trial
from tests.faults.report import Outcome
from tests.integration.quota.test_state_machine import Real, compare

pytestmark = PATIENT

_HISTORIES: Final = 5
_CALLS: Final = 100

HISTORIES: Final = Campaign(
    "Calls to quota in any order",
    f"{_HISTORIES} histories a trial, of up to {_CALLS} steps each, made by Hypothesis: runs, saves, holds, grants, "
    "limits, days that pass; some calls are lost and repeated, some break off before their commit. After each step "
    "every figure is what the oracle says, after each history all that is written adds up.",
    trials=100,
    slice_trials=2,
    slice_seconds=4,
)


@pytest.fixture
def real(database: str) -> Iterator[Real]:
    asyncio.run(migrate(database, MIGRATIONS))
    real = Real(database)
    yield real
    real.close()


async def test_g2_g3_g7_thousands_of_calls_in_any_order_agree_with_the_oracle(real: Real) -> None:
    async def attempt(trial: Trial) -> Outcome:
        # Hypothesis, and the service within it, run an event loop of their own.
        calls = await asyncio.to_thread(
            compare, real, examples=_HISTORIES, steps=_CALLS, seed=trial.chance.getrandbits(32)
        )
        return Outcome("agreed", {"calls": calls})

    await HISTORIES.run(attempt)
