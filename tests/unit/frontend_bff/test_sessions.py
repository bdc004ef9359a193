"""API keys are remembered for seconds, by the digest of the whole key."""

import time

import pytest

from services.frontend_bff.clients.identity import KeyToken
from services.frontend_bff.sessions import ApiKeys


class _Identity:
    def __init__(self, seconds: int = 300) -> None:
        self.traded: list[str] = []
        self._seconds = seconds

    async def exchange_api_key(self, api_key: str) -> KeyToken:
        self.traded.append(api_key)
        return KeyToken(f"token-{len(self.traded)}", self._seconds)


async def test_a_key_is_traded_again_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = _Identity()
    keys = ApiKeys(identity)  # type: ignore[arg-type]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert await keys.token("rg-a") == await keys.token("rg-a") == "token-1"

    monkeypatch.setattr(time, "monotonic", lambda: now + 16)
    assert await keys.token("rg-a") == "token-2"


async def test_a_short_lived_token_is_dropped_before_it_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = _Identity(seconds=10)
    keys = ApiKeys(identity)  # type: ignore[arg-type]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    await keys.token("rg-a")
    monkeypatch.setattr(time, "monotonic", lambda: now + 6)
    await keys.token("rg-a")

    assert len(identity.traded) == 2


async def test_no_key_is_kept_as_text_and_not_too_many_are_kept() -> None:
    keys = ApiKeys(_Identity())  # type: ignore[arg-type]
    for number in range(5000):
        await keys.token(f"rg-{number}")

    assert len(keys._known) == 4096
    assert all(len(digest) == 32 for digest in keys._known)
