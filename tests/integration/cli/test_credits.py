"""`reelgate credits show|grant` (G8) against a real quota service and gateway."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from services.cli.__main__ import main

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Exit code, standard output, standard error.
Credits = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    home = Path(tmp_path_factory.mktemp("credits"))
    env = {"REELGATE_BFF_PORT": "0", "REELGATE_GATEWAY_PORT": "0"}
    async with Stack(home, only=("postgres", "quota", "gateway"), env=env) as running:
        yield running


@pytest.fixture
def reelgate(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Credits:
    """Runs `reelgate credits …` for the demo user, as somebody on the same machine does."""
    for variable in ("REELGATE_QUOTA_ADDRESS", "REELGATE_GATEWAY_ADDRESS", "REELGATE_EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REELGATE_HOME", str(stack.home))

    async def run(*arguments: str, email: str = stack.ready.email) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["credits", *arguments, "--email", email])
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


async def balance(reelgate: Credits) -> int:
    code, out, _ = await reelgate("show")
    found = re.search(r"has (\d+) credits", out)
    assert code == 0
    assert found is not None
    return int(found[1])


async def test_g8_what_is_granted_is_there_and_can_be_taken_back(reelgate: Credits) -> None:
    # The gateway grants the demo's credits right after its start.
    async with asyncio.timeout(20):
        while (before := await balance(reelgate)) < 1_000_000:
            await asyncio.sleep(0.2)

    code, out, _ = await reelgate("grant", "--amount", "250", "--reason", "a present")
    assert code == 0
    assert f"has {before + 250} credits" in out

    code, out, _ = await reelgate("grant", "--amount", "-250", "--reason", "a mistake")
    assert code == 0
    assert await balance(reelgate) == before


async def test_g8_the_same_request_grants_once_and_another_amount_is_refused(
    reelgate: Credits,
) -> None:
    before = await balance(reelgate)
    request = ("--reason", "once", "--request-id", str(uuid4()))
    for _ in range(2):
        code, _out, _err = await reelgate("grant", "--amount", "7", *request)
        assert code == 0
    assert await balance(reelgate) == before + 7

    code, out, err = await reelgate("grant", "--amount", "8", *request)
    assert (code, out) == (1, "")
    assert "reelgate: " in err
    assert await balance(reelgate) == before + 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--amount", "0", "--reason", "nothing"), "amount"),
        (("--amount", "5", "--reason", " "), "reason"),
        (("--amount", "5", "--reason", "x", "--request-id", "no id"), "request_id"),
        (("--amount", f"-{10**12}", "--reason", "all of it"), "credits"),
    ],
)
async def test_g8_what_can_not_be_meant_changes_nothing(
    reelgate: Credits, arguments: tuple[str, ...], said: str
) -> None:
    before = await balance(reelgate)
    code, out, err = await reelgate("grant", *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert await balance(reelgate) == before


async def test_g8_an_address_nobody_has_is_named(reelgate: Credits) -> None:
    code, _, err = await reelgate("grant", "--amount", "1", "--reason", "x", email="no@body.test")
    assert code == 1
    assert "no@body.test" in err
