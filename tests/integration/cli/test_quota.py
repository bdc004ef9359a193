"""`reelgate quota` and `reelgate credits prices` (G1, G8, G9) against the whole product."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from reelgate.gateway.v1 import (
    identity_pb2,
    identity_pb2_grpc,
    reconciliation_pb2,
    reconciliation_pb2_grpc,
)
from services.cli.__main__ import main
from services.kernel.errors import PermissionDenied
from services.kernel.grpc_client import make_channel
from services.kernel.status import rpc_errors
from tests.faults.product import MODEL, Product

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Exit code, standard output, standard error.
Reelgate = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {
        "REELGATE_BFF_PORT": "0",
        "REELGATE_GATEWAY_PORT": "0",
        # A day of three seconds.
        "REELGATE_GATEWAY_RECONCILE_SECONDS": "3",
    }
    async with Stack(Path(tmp_path_factory.mktemp("quota")), env=env) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def product(stack: Stack) -> AsyncIterator[Product]:
    async with Product.opened(stack) as product:
        await product.behave()
        yield product


@pytest.fixture
def reelgate(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Reelgate:
    """Runs `reelgate …` as somebody on the same machine does."""
    for variable in ("REELGATE_QUOTA_ADDRESS", "REELGATE_GATEWAY_ADDRESS", "REELGATE_EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REELGATE_HOME", str(stack.home))

    async def run(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, arguments)
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


@pytest.fixture
async def me(product: Product) -> str:
    """The demo user's address."""
    return product.stack.ready.email


async def quota_of(product: Product) -> dict[str, object]:
    status, body = await product.call("GET", "/quota")
    assert status == 200
    return dict(body)


async def books(product: Product, statement: str, *values: object) -> None:
    """What only an accident would do to quota's tables."""
    url = product.stack.ready.database_url
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET search_path TO quota")
        await connection.execute(statement, values)


async def test_g1_a_limit_is_in_force_at_once_whoever_it_is_for(
    reelgate: Reelgate, product: Product, me: str
) -> None:
    assert (await quota_of(product))["source"] in {"default", "unlimited"}

    code, out, _ = await reelgate("quota", "set", "--default", "7GB")
    assert (code, out) == (0, "For everybody without another limit: 7.0 GB from now on.\n")
    assert (await quota_of(product))["quota_bytes"] == 7_000_000_000

    code, out, _ = await reelgate("quota", "set", "--email", me, "1KB")
    assert (code, out) == (0, f"For {me}: 1.0 KB from now on.\n")
    found = await quota_of(product)
    assert (found["quota_bytes"], found["source"]) == (1000, "user")
    status, body = await product.call("POST", "/generate", json={"model": MODEL, "prompt": "no"})
    assert (status, body["code"]) == (429, "quota_exceeded")

    code, out, _ = await reelgate("quota", "show", "--email", me)
    assert code == 0
    assert "of 1.0 KB (set for this user)" in out

    code, out, _ = await reelgate("quota", "set", "--email", me, "none")
    assert (code, out) == (0, f"For {me}: no limit of its own from now on.\n")
    assert (await quota_of(product))["source"] == "default"
    code, _, _ = await reelgate("quota", "set", "--default", "unlimited")
    assert code == 0
    assert (await quota_of(product))["quota_bytes"] == -1


async def test_g1_a_user_who_is_put_into_a_group_has_its_limit_in_moments(
    reelgate: Reelgate, product: Product, me: str
) -> None:
    async with make_channel(product.stack.ready.grpc["gateway"]) as channel:
        identity = identity_pb2_grpc.IdentityServiceStub(channel)
        metadata = [("authorization", product.headers["Authorization"])]
        with rpc_errors():
            made = await identity.CreateGroup(
                identity_pb2.CreateGroupRequest(name="painters"), metadata=metadata
            )
            myself = (await identity.GetMe(identity_pb2.GetMeRequest(), metadata=metadata)).user
            await identity.UpdateUser(
                identity_pb2.UpdateUserRequest(user_id=myself.id, group_id=made.group.id),
                metadata=metadata,
            )
        code, _, _ = await reelgate("quota", "set", "--group", "painters", "3GB")
        assert code == 0
        async with asyncio.timeout(5):
            while (await quota_of(product))["source"] != "group":
                await asyncio.sleep(0.05)
        assert (await quota_of(product))["quota_bytes"] == 3_000_000_000
        # While quota is away the change waits; the group that goes takes its limit along.
        await product.stack.stop("quota")
        with rpc_errors():
            await identity.DeleteGroup(
                identity_pb2.DeleteGroupRequest(group_id=made.group.id), metadata=metadata
            )
        await product.stack.start("quota")
        async with asyncio.timeout(15):
            while (await quota_of(product))["source"] == "group":
                await asyncio.sleep(0.05)

    code, out, err = await reelgate("quota", "set", "--group", "painters", "3GB")
    assert (code, out) == (1, "")
    assert "There is no group 'painters'" in err


@pytest.mark.parametrize("limit", ["much", "-1", "5 XB", "", "1e3", "9999PB"])
async def test_g1_a_limit_that_can_not_be_meant_changes_nothing(
    reelgate: Reelgate, product: Product, limit: str
) -> None:
    before = await quota_of(product)
    try:
        code, _, err = await reelgate("quota", "set", "--default", limit)
    except SystemExit as refused:
        code, err = int(str(refused.code)), "usage"
    assert code
    assert err
    assert await quota_of(product) == before


async def test_g8_a_price_that_is_set_is_what_the_next_generation_costs(
    reelgate: Reelgate, product: Product
) -> None:
    code, out, _ = await reelgate("credits", "prices")
    assert (code, out) == (0, "No prices are set: every model costs what the catalogue says.\n")
    price = ("credits", "set-price", "--model", MODEL, "--seconds", "10", "--credits", "33")
    code, out, _ = await reelgate(*price)
    assert (code, out) == (0, f"{MODEL} costs 33 credits from now on.\n")
    later = ("credits", "set-price", "--model", MODEL, "--credits", "5", "--since", "2100-01-01")
    assert (await reelgate(*later))[0] == 0
    _, out, _ = await reelgate("credits", "prices")
    assert [line.split() for line in out.splitlines()[1:]] == [
        [MODEL, "any", "5", "2100-01-01", "00:00:00"],
        [MODEL, "10", "s", "33", "in", "force"],
    ]

    async with asyncio.timeout(8):  # prices are read every five seconds
        while True:
            _, models = await product.call("GET", "/models")
            if next(one for one in models if one["id"] == MODEL)["credits"] == 33:
                break
            await asyncio.sleep(0.2)
    made = await product.generate("thirty-three")
    record = await product.until(made, "completed")
    assert record["credits"] == 33
    await product.delete(made)


async def test_g9_books_that_are_right_are_said_to_be(reelgate: Reelgate, product: Product) -> None:
    made = await product.generate("kept and right")
    await product.until(made, "completed")
    code, out, _ = await reelgate("quota", "reconcile")
    assert (code, out) == (0, "1 user compared: all books are right.\n")
    await product.delete(made)


async def test_g9_books_that_are_off_are_shown_repaired_and_then_right(
    reelgate: Reelgate, product: Product, me: str
) -> None:
    made = await product.generate("kept and wrong")
    await product.until(made, "completed")
    used, reserved = await product.quota()
    await books(
        product, "UPDATE subjects SET used_bytes = used_bytes + 5000, balance = balance + 7"
    )
    await books(
        product,
        "UPDATE reservations SET stored_bytes = 1, settle_time = now() - interval '1 hour' WHERE generation_id = %s",
        made,
    )

    # The daily round finds it by itself, and repairs nothing.
    await _told(product, "reelgate_drifted_users 1.0", "reelgate_drift_credits 7.0")
    code, out, _ = await reelgate("quota", "reconcile")
    assert code == 1
    assert "1 user compared: the books of 1 are off. --repair puts right" in out
    table = [line.split() for line in out.splitlines()[:4]]
    assert table[1][:3] == [me, "bytes", "used"]
    assert table[2][:2] == [me, "credits"]
    assert table[3][:3] == [me, "kept", "results"]
    assert await product.quota() == (used + 5000, reserved), "nothing was repaired"
    code, out, _ = await reelgate("quota", "reconcile", "--repair", "--email", me)
    assert code == 0
    assert "the books of 1 were off and are right now." in out
    assert await product.quota() == (used, reserved)
    assert (await reelgate("quota", "reconcile"))[0] == 0
    await product.delete(made)
    assert (await product.quota())[0] == 0


async def _told(product: Product, *metrics: str) -> None:
    """Waits until the worker's metrics say so."""
    url = f"{product.stack.ready.admin['gateway_worker']}/metrics"
    async with asyncio.timeout(40):
        while True:
            async with product.http.get(url) as answer:
                text = await answer.text()
            if all(metric in text for metric in metrics):
                return
            await asyncio.sleep(0.5)


async def test_g9_whom_nobody_knows_is_not_compared(reelgate: Reelgate) -> None:
    code, out, err = await reelgate("quota", "reconcile", "--email", "no@body.test")
    assert (code, out) == (1, "")
    assert "no@body.test" in err


async def test_g9_only_an_administrator_may_compare(product: Product) -> None:
    password = "correct horse battery"
    async with make_channel(product.stack.ready.grpc["gateway"]) as channel:
        identity = identity_pb2_grpc.IdentityServiceStub(channel)
        user = identity_pb2.CreateUserRequest(email="somebody@example.com", password=password)
        await identity.CreateUser(
            user, metadata=[("authorization", product.headers["Authorization"])]
        )
        login = identity_pb2.LoginRequest(email=user.email, password=password)
        token = (await identity.Login(login)).tokens.access_token
        reconciliation = reconciliation_pb2_grpc.ReconciliationServiceStub(channel)
        call = reconciliation.Reconcile(
            reconciliation_pb2.ReconcileRequest(repair=True),
            metadata=[("authorization", f"Bearer {token}")],
        )
        with pytest.raises(PermissionDenied), rpc_errors():
            async for _ in call:
                pass
