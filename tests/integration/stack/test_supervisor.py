"""The supervisor with small real programs."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.local import lock
from deploy.local.process import StartError
from deploy.local.supervisor import Supervisor
from tests.integration.stack.tiny import alive, failing, family, parent


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    with lock.exclusive(tmp_path) as descriptor:
        async with Supervisor(tmp_path / "hold", descriptor, said.append) as running:
            yield running


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_program_that_dies_is_started_again(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    supervisor.add(parent(tmp_path))
    await supervisor.ready("parent")
    before = supervisor.pids()["parent"]
    supervisor.kill("parent")
    await _until(lambda: supervisor.pids().get("parent", before) != before)
    assert any("parent ended (signal 9)" in line for line in said)


async def test_what_a_dead_program_had_started_dies_with_it(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(parent(tmp_path))
    await supervisor.ready("parent")
    grandchild = int((tmp_path / "parent").read_text())
    # Only the program itself, as an out-of-memory killer would.
    supervisor.kill("parent", signal.SIGTERM)
    await _until(lambda: not alive([grandchild]))


async def test_a_program_stays_down_while_its_hold_file_is_there(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    supervisor.add(parent(tmp_path))
    await supervisor.ready("parent")
    hold = tmp_path / "hold" / "parent"
    hold.touch()
    await _until(lambda: "parent" not in supervisor.pids())
    await asyncio.sleep(0.5)
    assert "parent" not in supervisor.pids()
    hold.unlink()
    await _until(lambda: "parent" in supervisor.pids())
    assert not any("ended" in line for line in said)


async def test_a_hold_file_that_says_kill_does_not_wait_for_a_stubborn_program(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(parent(tmp_path, stubborn=True))
    await supervisor.ready("parent")
    everything = family(supervisor.pids()["parent"])
    (tmp_path / "hold" / "parent").write_text("kill\n")
    await asyncio.sleep(0.5)  # less than the second it would be given
    assert not alive(everything)


async def test_a_program_that_ignores_the_polite_signal_is_killed_in_the_end(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(parent(tmp_path, stubborn=True))
    await supervisor.ready("parent")
    everything = family(supervisor.pids()["parent"])
    await supervisor.stop("parent")
    assert not alive(everything)


async def test_a_stopped_program_can_be_started_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(parent(tmp_path))
    await supervisor.ready("parent")
    await supervisor.stop("parent")
    await asyncio.sleep(0.3)
    assert supervisor.pids() == {}
    await supervisor.start("parent")
    assert alive(supervisor.pids().values())


async def test_a_program_that_cannot_start_ends_the_wait_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(failing(tmp_path))
    with pytest.raises(StartError, match=r"(?s)failing does not start \(exit code 1\).*no luck"):
        await supervisor.ready("failing")


async def test_a_wrong_setting_ends_the_wait_at_the_first_try_with_one_line(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    program = failing(tmp_path, code=78)
    supervisor.add(program)
    with pytest.raises(StartError, match=r"^no luck$"):
        await supervisor.ready("failing")
    assert program.log.read_text().count("no luck") == 1


async def test_a_program_that_never_answers_ends_the_wait_in_time(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(failing(tmp_path))
    with pytest.raises(StartError, match="was not ready after"):
        await supervisor.ready("failing", within_seconds=0.1)


async def test_leaving_stops_what_was_added_last_first(tmp_path: Path) -> None:
    with lock.exclusive(tmp_path) as descriptor:
        ended: list[set[str]] = []
        async with Supervisor(
            tmp_path / "hold", descriptor, print, lambda: ended.append(set(running.pids()))
        ) as running:
            for name in ("database", "service", "page"):
                running.add(parent(tmp_path, name))
                await running.ready(name)
    assert ended[-3:] == [{"database", "service"}, {"database"}, set()]


async def test_a_second_interrupt_while_stopping_leaves_nothing_either(tmp_path: Path) -> None:
    everything: list[int] = []

    async def run() -> None:
        with lock.exclusive(tmp_path) as descriptor:
            async with Supervisor(tmp_path / "hold", descriptor, print) as running:
                running.add(parent(tmp_path, stubborn=True))
                await running.ready("parent")
                everything.extend(family(running.pids()["parent"]))
                await running.forever()

    task = asyncio.create_task(run())
    await _until(lambda: bool(everything))
    task.cancel()
    await asyncio.sleep(0.2)
    assert alive(everything)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(everything)
