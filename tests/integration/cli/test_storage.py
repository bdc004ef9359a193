"""`reelgate storage` (E1, E10, E11, E12, E14) against a real S3 server, storage service and gateway."""

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import pytest_asyncio

from services.cli.__main__ import main
from tests.integration.storage_stack import StorageStack, storage_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Exit code and standard output.
Reelgate = Callable[..., Awaitable[tuple[int, str]]]
_VARIABLES = ("REELGATE_STORAGE_ADDRESS", "REELGATE_GATEWAY_ADDRESS", "REELGATE_EMAIL", "NO_COLOR")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[StorageStack]:
    """One stack for all tests here; each leaves it as it was."""
    async with storage_stack() as running:
        yield running


@pytest.fixture
def reelgate(
    stack: StorageStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Reelgate:
    """Runs `reelgate storage …` as somebody on the same machine does."""
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REELGATE_HOME", str(stack.stack.home))

    async def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = await asyncio.to_thread(main, ["storage", *arguments])
        written = capsys.readouterr()
        return code, written.out + written.err

    return run


def _marks(out: str) -> dict[str, str]:
    """The mark of each step."""
    return {name: mark for mark, name in re.findall(r"^([✓!✗]) (\w+)", out, re.MULTILINE)}


def _cure(out: str, step: str) -> str:
    """What stands below a step."""
    found = re.search(rf"^[✓!✗] {step} .*\n    (.*)$", out, re.MULTILINE)
    return found[1] if found else ""


async def test_e12_diagnose_is_all_ticks_and_leaves_nothing(
    reelgate: Reelgate, stack: StorageStack
) -> None:
    before = await stack.keys()
    code, out = await reelgate("diagnose", "--cleanup")

    assert code == 0, out
    marks = _marks(out)
    assert set(marks.values()) == {"✓"}, out
    steps = "connect list upload multipart checksum link cors delete clean_up"
    assert list(marks) == steps.split()
    assert out.endswith("All 9 steps went well.\n")
    assert await stack.keys() == before


async def test_e12_check_only_connects_and_lists(reelgate: Reelgate) -> None:
    code, out = await reelgate("check")

    assert code == 0, out
    assert _marks(out) == {"connect": "✓", "list": "✓"}


async def test_e12_the_kept_picture_can_be_opened_by_its_link(
    reelgate: Reelgate, stack: StorageStack
) -> None:
    code, out = await reelgate("diagnose")

    assert code == 0, out
    link = re.search(r"http://\S+\.jpg\?\S+", out)
    assert link is not None, out
    async with aiohttp.ClientSession() as http, http.get(link[0]) as answer:
        assert answer.status == 200
        assert (await answer.read()).startswith(b"\xff\xd8\xff")
    (picture,) = [key for key in await stack.keys() if key.startswith(".trial/")]
    async with stack.s3() as client:
        await client.delete_object(Bucket=stack.ready.s3["bucket"], Key=picture)


@pytest.mark.parametrize(
    ("flags", "step", "said", "cure"),
    [
        (("--secret-stdin",), "list", "SignatureDoesNotMatch", "The secret access key is not"),
        (("--bucket", "no-such-bucket"), "list", "NoSuchBucket", "Create the bucket"),
        (
            ("--access-key-id", "nobody", "--secret-stdin"),
            "list",
            "InvalidAccessKeyId",
            "access key id",
        ),
        (
            ("--endpoint", "http://169.254.169.254"),
            "connect",
            "private",
            "REELGATE_EGRESS_PRIVATE_ORIGINS",
        ),
    ],
)
async def test_e12_a_fault_is_named_with_its_cure(
    reelgate: Reelgate, flags: tuple[str, ...], step: str, said: str, cure: str
) -> None:
    code, out = await reelgate("test", *flags, stdin="not-the-secret\n")

    assert code == 1
    assert _marks(out)[step] == "✗", out
    assert said in out
    assert cure in _cure(out, step)
    assert "not-the-secret" not in out


async def test_e12_a_public_url_that_answers_403_is_named_with_its_cure(
    reelgate: Reelgate, stack: StorageStack
) -> None:
    before = await stack.keys()
    code, out = await reelgate("test", "--cdn-url", stack.cdn_url)

    assert code == 1
    assert _marks(out)["link"] == "✗", out
    assert "403" in out
    assert "allow public access" in _cure(out, "link")
    assert await stack.keys() == before


async def test_e12_missing_cors_rules_are_named_with_the_rule_to_set(
    reelgate: Reelgate, stack: StorageStack
) -> None:
    bucket = stack.ready.s3["bucket"]
    rule = {"AllowedOrigins": ["https://elsewhere.example"], "AllowedMethods": ["GET"]}
    async with stack.s3() as client:
        await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
        try:
            code, out = await reelgate("diagnose", "--cleanup")
        finally:
            await client.delete_bucket_cors(Bucket=bucket)

    assert code == 1
    assert {name for name, mark in _marks(out).items() if mark != "✓"} == {"cors"}, out
    assert f'"AllowedOrigins": ["{stack.ready.bff_url}"]' in _cure(out, "cors")


async def test_e12_a_server_that_is_stopped_is_named_with_its_cure(
    reelgate: Reelgate, stack: StorageStack
) -> None:
    await stack.stack.stop("s3")
    try:
        code, out = await reelgate("check")
    finally:
        await stack.stack.start("s3")

    assert code == 1
    assert _marks(out) == {"connect": "✗"}, out
    assert _cure(out, "connect")


async def test_e1_settings_are_changed_and_reset(reelgate: Reelgate) -> None:
    code, out = await reelgate("set", "--prefix", "elsewhere/")
    assert code == 0, out
    code, out = await reelgate("set")
    assert re.search(r"^prefix +elsewhere/$", out, re.MULTILINE), out
    assert out.startswith("setting          from an operator's change\n")
    code, out = await reelgate("diagnose", "--cleanup")
    assert code == 0, out
    code, out = await reelgate("set", "--prefix", "/not/like/that")
    assert code == 1
    assert "prefix" in out
    code, out = await reelgate("set", "--reset")
    assert code == 0, out
    assert out.startswith("setting          from the environment of the storage service\n")
    assert re.search(r"^prefix +\(none\)$", out, re.MULTILINE), out


async def test_e10_e11_e14_sweep_log_and_costs_answer(reelgate: Reelgate) -> None:
    for command, said in (
        (("sweep", "--dry-run"), "keys and rows looked at: 0 would be marked"),
        (("sweep",), "keys and rows looked at: 0 marked"),
        (("uploads",), "Nothing was uploaded yet."),
        (("costs",), "a month at R2's list prices"),
    ):
        code, out = await reelgate(*command)
        assert code == 0, out
        assert said in out
