"""Who calls and how long he waits is known to the call being served and to nothing else."""

import asyncio

import pytest

from services.kernel import context
from services.kernel.context import Caller, caller, require_admin, require_service, seconds_left
from services.kernel.errors import PermissionDenied, Unauthenticated


def known(role: str = "user", actor: str = "") -> Caller:
    return Caller("user-1", role, actor, frozenset(), 0)


async def test_nobody_is_known_until_he_is_set_and_only_in_that_task() -> None:
    async def serve(one: Caller) -> Caller:
        context.set_caller(one)
        await asyncio.sleep(0)
        return caller()

    first, second = known("user"), known("admin")
    tasks = [asyncio.create_task(serve(one)) for one in (first, second)]
    assert await asyncio.gather(*tasks) == [first, second]
    with pytest.raises(Unauthenticated):
        caller()


@pytest.mark.parametrize(
    ("role", "actor", "admin", "service"),
    [
        ("user", "", False, False),
        ("admin", "", True, False),
        ("user", "gateway", False, True),
        ("admin", "gateway", True, True),
        ("Admin", "", False, False),
        ("", "", False, False),
    ],
)
async def test_roles_and_services_are_told_apart(
    role: str, actor: str, admin: bool, service: bool
) -> None:
    context.set_caller(known(role, actor))
    for require, allowed in ((require_admin, admin), (require_service, service)):
        if allowed:
            assert require() == known(role, actor)
        else:
            with pytest.raises(PermissionDenied):
                require()


async def test_the_smaller_limit_counts_and_it_is_never_nothing() -> None:
    assert seconds_left(20) == 20
    now = asyncio.get_running_loop().time()
    context.deadline.set(now + 5)
    assert 4 < seconds_left(20) <= 5
    assert seconds_left(1) == 1
    context.deadline.set(now - 5)
    assert 0 < seconds_left(20) < 0.1
