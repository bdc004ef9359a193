"""The whole product, as a program that uses it sees it: HTTP in front, the studio behind, faults in between."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
from aiobotocore.session import get_session

from deploy.local.stack import Stack

MODEL: Final = "sora2-landscape-10s"
# Shorter than in production, so that a test does not wait for a lease to run out.
IMPATIENT: Final = {
    "REELGATE_GATEWAY_LEASE_SECONDS": "1.5",
    "REELGATE_GATEWAY_POLL_SECONDS": "0.2",
    "REELGATE_STORAGE_TRANSFER_LEASE_SECONDS": "1.5",
    "REELGATE_LOG_FORMAT": "console",
}


@dataclass
class Product:
    """One logged-in user of a running stack."""

    stack: Stack
    http: aiohttp.ClientSession
    headers: dict[str, str]

    @classmethod
    @asynccontextmanager
    async def opened(cls, stack: Stack) -> AsyncIterator[Self]:
        """Logs the demo user in."""
        ready = stack.ready
        async with aiohttp.ClientSession() as http:
            body = {"email": ready.email, "password": ready.password}
            async with http.post(f"{ready.bff_url}/api/v1/auth/login", json=body) as answer:
                assert answer.status == 200, await answer.text()
                token = (await answer.json())["access_token"]
            yield cls(stack, http, {"Authorization": f"Bearer {token}"})

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One call of the BFF: status and body (None when it has none)."""
        url = f"{self.stack.ready.bff_url}/api/v1/sora{path}"
        async with self.http.request(method, url, headers=self.headers, **options) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def generate(self, prompt: str, **fields: Any) -> str:
        """Asks for a video; tries again while a part of the product is being started again."""
        deadline = time.monotonic() + 30
        while True:
            status, body = await self.call(
                "POST", "/generate", json={"model": MODEL, "prompt": prompt, **fields}
            )
            if status == 202:
                return str(body["generation_id"])
            assert status in {503, 504}, body
            assert time.monotonic() < deadline, body
            await asyncio.sleep(0.2)

    async def get(self, generation_id: str) -> dict[str, Any]:
        """The record; waits out a part that is being started again."""
        deadline = time.monotonic() + 30
        while True:
            status, body = await self.call("GET", f"/generations/{generation_id}")
            if status == 200:
                record: dict[str, Any] = body
                return record
            assert status in {503, 504}, body
            assert time.monotonic() < deadline, body
            await asyncio.sleep(0.2)

    async def until(self, generation_id: str, *stages: str, seconds: float = 60) -> dict[str, Any]:
        """Waits until the record has one of these stages or statuses."""
        deadline = time.monotonic() + seconds
        while True:
            record = await self.get(generation_id)
            if record["stage"] in stages or record["status"] in stages:
                return record
            assert record["status"] in {"pending", "generating"}, record
            assert time.monotonic() < deadline, record
            await asyncio.sleep(0.05)

    async def pictured(self, generation_id: str, seconds: float = 30) -> dict[str, Any]:
        """Waits until the work has its thumbnail."""
        deadline = time.monotonic() + seconds
        while not (record := await self.get(generation_id))["thumbnail_url"]:
            assert time.monotonic() < deadline, record
            await asyncio.sleep(0.1)
        return record

    async def quota(self) -> tuple[int, int]:
        """Bytes used and reserved."""
        status, body = await self.call("GET", "/quota")
        assert status == 200, body
        return body["used_bytes"], body["reserved_bytes"]

    async def delete(self, generation_id: str) -> None:
        """Deletes it, and waits until its bytes no longer count."""
        status, body = await self.call("DELETE", f"/generations/{generation_id}")
        assert status == 204, body

    async def read(self, link: str) -> bytes:
        """The bytes behind a link of a record, absolute or of our media route."""
        url = link if link.startswith("http") else f"{self.stack.ready.bff_url}{link}"
        headers = {} if link.startswith("http") else self.headers
        async with self.http.get(url, headers=headers) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            return await answer.read()

    async def studio(self, method: str, path: str, **options: Any) -> Any:
        """One call of the studio."""
        studio = self.stack.ready.studio
        headers = {"Authorization": f"Bearer {studio['api_key']}"}
        async with self.http.request(
            method, studio["url"] + path, headers=headers, **options
        ) as answer:
            assert answer.status < 300, (answer.status, await answer.text())
            if answer.content_type == "application/json":
                return await answer.json()
            return await answer.read()

    async def behave(self, **knobs: Any) -> None:
        """Puts the studio's knobs back, and turns these."""
        await self.studio("DELETE", "/studio/behaviour")
        await self.studio("PUT", "/studio/behaviour", json={"instant": True, **knobs})

    async def submits(self, prompt: str) -> list[dict[str, Any]]:
        """The submits of a prompt that the studio accepted, and the repeats that it recognised."""
        log = await self.studio("GET", "/studio/submits")
        return [entry for entry in (*log["submits"], *log["replays"]) if entry["prompt"] == prompt]

    async def studio_digest(self, prompt: str) -> str:
        """SHA-256 of what the studio has for a prompt."""
        (submit,) = await self.submits(prompt)
        content = await self.studio("GET", f"/v1/videos/{submit['id']}/content")
        return hashlib.sha256(content).hexdigest()

    async def bucket_keys(self) -> list[str]:
        """Every key in the bucket."""
        async with self._s3() as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.stack.ready.s3["bucket"]
            )
            return [entry["Key"] async for page in pages for entry in page.get("Contents", [])]

    async def multiparts(self) -> list[str]:
        """Keys of uploads of works that were begun and not ended."""
        async with self._s3() as s3:
            listed = await s3.list_multipart_uploads(Bucket=self.stack.ready.s3["bucket"])
            keys = [entry["Key"] for entry in listed.get("Uploads", [])]
            # A storage service that has just been started again tries what its server can.
            return [key for key in keys if not key.startswith(".trial/")]

    def _s3(self) -> Any:
        s3 = self.stack.ready.s3
        return get_session().create_client(
            "s3",
            endpoint_url=s3["endpoint"],
            region_name=s3["region"],
            aws_access_key_id=s3["access_key_id"],
            aws_secret_access_key=s3["secret_access_key"],
        )
