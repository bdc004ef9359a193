"""Somebody who calls the BFF."""

from typing import Any

import aiohttp


class Person:
    """He has a token of the BFF."""

    def __init__(self, http: aiohttp.ClientSession, url: str, session: Any) -> None:
        self.id: str = session["user"]["id"]
        self._http = http
        self._url = f"{url}/api/v1"
        self._headers = {"Authorization": f"Bearer {session['access_token']}"}

    async def call(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and body (None without one); `key` makes repeats harmless."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        async with self._http.request(
            method, self._url + path, headers=headers, **options
        ) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def get(self, path: str) -> Any:
        """The body of an answer that is good."""
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body
