"""Campaigns go on where they were interrupted, name what failed, and keep their record."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.faults import campaign
from tests.faults.campaign import Campaign, Ledger, Trial
from tests.faults.report import Outcome, Ran, publish


class Interrupted(BaseException):
    """Not one of the failures that a campaign collects."""


def of(trials: int) -> Campaign:
    return Campaign("A trial run", "It holds.", trials, slice_trials=3, slice_seconds=5)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As `make faults` runs them, with their files here."""
    monkeypatch.setattr(campaign, "FULL", True)
    real, report = Ledger.of, tmp_path / "REPORT.md"
    monkeypatch.setattr(Ledger, "of", lambda name: real(name, tmp_path))
    monkeypatch.setattr(campaign, "publish", partial(publish, file=report))
    return tmp_path


async def test_a_slice_takes_the_first_trials_and_always_the_same() -> None:
    seen: list[tuple[int, float]] = []

    async def note(trial: Trial) -> Outcome:
        seen.append((trial.number, trial.chance.random()))
        return Outcome("well")

    await of(10).run(note)
    first, seen[:] = list(seen), []
    await of(10).run(note)
    assert [number for number, _ in seen] == [0, 1, 2]
    assert seen == first


async def test_a_whole_campaign_goes_on_where_it_stopped(whole: Path) -> None:
    seeds: dict[int, list[str]] = {}

    async def stop_at_six(trial: Trial) -> Outcome:
        seeds.setdefault(trial.number, []).append(trial.seed)
        if trial.number == 6 and len(seeds[6]) == 1:
            raise Interrupted
        return Outcome("well", {"seconds": float(trial.number)})

    with pytest.raises(BaseExceptionGroup):
        await of(10).run(stop_at_six)
    (ledger,) = whole.glob("*.jsonl")
    ledger.write_text(ledger.read_text() + '{"trial": 9, "outc')  # as a kill leaves it
    outcomes = await of(10).run(stop_at_six)
    assert len(outcomes) == 10
    assert {number: len(given) for number, given in seeds.items()} == {
        number: 1 + (number == 6) for number in range(10)
    }
    assert len({seed.partition(":")[0] for given in seeds.values() for seed in given}) == 1
    assert not list(whole.glob("*.jsonl"))
    assert "| 10 | 0 |" in (whole / "REPORT.md").read_text()


async def test_what_failed_is_named_and_tried_again(whole: Path) -> None:
    broken = {2, 5}

    async def attempt(trial: Trial) -> Outcome:
        assert trial.number not in broken, "as expected"
        return Outcome("well")

    with pytest.raises(AssertionError, match="2 failed besides 8 that held") as caught:
        await of(10).run(attempt, at_once=3)
    assert ":2\n" in str(caught.value)
    broken.clear()
    assert len(await of(10).run(attempt)) == 10
    report = (whole / "REPORT.md").read_text()
    assert report.count("\n| 20") == 2
    assert "| 8 | 2: " in report


async def test_what_is_left_behind_counts_as_a_failure() -> None:
    async def attempt(trial: Trial) -> Outcome:
        return Outcome("well")

    async def look() -> None:
        raise AssertionError("something is left")

    with pytest.raises(AssertionError, match="something is left"):
        await of(10).run(attempt, afterwards=look)


def test_a_report_keeps_every_run_and_what_came_of_the_last(tmp_path: Path) -> None:
    file = tmp_path / "REPORT.md"
    now = datetime(2026, 11, 22, tzinfo=UTC)
    for held in (3, 4):
        ran = Ran(now, now, "commit 0a49bd2", held, [], "5eed")
        outcomes = [Outcome("kept", {"seconds": float(number)}) for number in range(held)]
        publish("One", "It holds.", ran, outcomes, file)
        publish("Another", "It holds too.", ran, [], file)
    text = file.read_text()
    assert text.index("## Another") < text.index("## One")
    one = text[text.index("## One") :]
    assert one.count("commit 0a49bd2") == 2
    assert "| kept | 4 | 1.5 (max 3) |" in one
    assert "| kept | 3 |" not in one
