"""Many requests of one user at the same moment (F4)."""

import asyncio

import pytest

from tests.faults.product import MODEL, Product

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_of_thirty_requests_at_once_exactly_three_are_accepted(product: Product) -> None:
    await product.behave(render_seconds=60)

    async def ask(number: int) -> tuple[int, str]:
        body = {"model": MODEL, "prompt": f"burst {number}"}
        status, answer = await product.call("POST", "/generate", json=body)
        return status, answer.get("code", "")

    answers = await asyncio.gather(*(ask(number) for number in range(30)))
    assert sorted(answers) == [(202, "")] * 3 + [(429, "concurrency_limit_exceeded")] * 27
