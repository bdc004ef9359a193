"""OpenAI's Videos API, as self-hosted servers and gateways speak it.

https://platform.openai.com/docs/api-reference/videos: submit, poll, content.
`metadata` and the Idempotency-Key header are used only where the account's options say that its upstream knows
them (`can_find`, `idempotent_submit`).
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote

import aiohttp

from services.gateway.providers.port import (
    Account,
    Job,
    Provider,
    Result,
    Source,
    SubmitRefused,
    SubmitUnknown,
    TaskGone,
    TaskState,
    UpstreamTrouble,
)
from services.kernel.egress import EgressError, EgressFailed, Timeouts, origin_of

_SUBMIT_TIMEOUTS: Final = Timeouts(connect=10, read=60, total=120)
_POLL_TIMEOUTS: Final = Timeouts(connect=5, read=15, total=20)
_ANSWER_LIMIT_BYTES: Final = 1024 * 1024
_ANOTHER_ACCOUNT: Final = frozenset({401, 403, 404, 429, 503})
_AMBIGUOUS: Final = frozenset({502, 504})
_POLICY_WORDS: Final = ("moderation", "content_policy", "safety", "policy_violation")


class OpenAIVideos(Provider):
    """`POST /v1/videos` and what belongs to it."""

    media_types: ClassVar[frozenset[str]] = frozenset({"video"})
    can_cancel: ClassVar[bool] = True

    async def submit(self, account: Account, job: Job) -> str:
        """Create a video job."""
        body: dict[str, Any] = {
            "model": account.model_map.get(job.model, job.model),
            "prompt": job.prompt,
            "seconds": str(job.duration_seconds),
            "size": job.size,
            **job.parameters,
        }
        headers = {"Content-Type": "application/json"}
        if account.options.get("can_find"):
            body["metadata"] = {"reference": job.reference}
        if account.options.get("idempotent_submit"):
            headers["Idempotency-Key"] = job.reference
        try:
            async with self._call(
                account, "POST", "/v1/videos", timeouts=_SUBMIT_TIMEOUTS, headers=headers, body=body
            ) as (status, answer, response):
                _raise_refusal(status, answer, response)
                task_id = answer.get("id") if isinstance(answer, dict) else None
                if not isinstance(task_id, str) or not task_id:
                    raise SubmitUnknown("the upstream accepted, but its answer has no id")
                return task_id
        except EgressError as error:
            if error.sent:
                raise SubmitUnknown("the connection broke after the request was sent") from error
            raise SubmitRefused("The upstream could not be reached.", elsewhere=True) from error
        except (TimeoutError, aiohttp.ClientError) as error:
            raise SubmitUnknown("the answer did not come in time") from error

    async def poll(self, account: Account, task_id: str) -> TaskState:
        """Retrieve a video job."""
        video = await self._question(account, "GET", f"/v1/videos/{quote(task_id, safe='')}")
        status = video.get("status")
        progress = video.get("progress")
        percent = min(100, max(0, int(progress))) if isinstance(progress, (int, float)) else 0
        if status == "completed":
            url = f"{account.base_url}/v1/videos/{quote(task_id, safe='')}/content"
            return TaskState("completed", 100, (Result(url, _time(video.get("expires_at"))),))
        if status in {"failed", "cancelled", "expired"}:
            code, message = _error_of(video)
            policy = any(word in code for word in _POLICY_WORDS)
            return TaskState(
                "failed", percent, (), "content_policy" if policy else "upstream_error", message
            )
        if status not in {"queued", "in_progress", "processing"}:
            raise UpstreamTrouble(f"unknown status {str(status)[:50]!r}")
        return TaskState("running", percent)

    async def find(self, account: Account, reference: str) -> str | None:
        """List video jobs, newest first, and look for ours."""
        after = ""
        for _ in range(10):
            page = await self._question(account, "GET", f"/v1/videos?order=desc&limit=100{after}")
            videos = page.get("data")
            if not isinstance(videos, list):
                raise UpstreamTrouble("the list of videos has no data")
            for video in videos:
                if isinstance(video, dict) and _reference_of(video) == reference:
                    return str(video["id"])
            if not page.get("has_more") or not videos:
                return None
            after = f"&after={quote(str(videos[-1].get('id', '')), safe='')}"
        return None

    async def cancel(self, account: Account, task_id: str) -> bool:
        """Delete a video job: servers stop it when it still runs."""
        with suppress(TaskGone):
            await self._question(account, "DELETE", f"/v1/videos/{quote(task_id, safe='')}")
        return True

    def source(self, account: Account, url: str) -> Source:
        """Content needs the credential."""
        headers = {"Authorization": f"Bearer {account.credential}"}
        return Source(url, headers, str(origin_of(account.base_url)))

    async def _question(self, account: Account, method: str, path: str) -> dict[str, Any]:
        try:
            async with self._call(account, method, path, timeouts=_POLL_TIMEOUTS) as (
                status,
                answer,
                _,
            ):
                if status == 404:
                    raise TaskGone(path)
                if status >= 300 or not isinstance(answer, dict):
                    raise UpstreamTrouble(f"the upstream answered {status}")
                return answer
        except (EgressError, TimeoutError, aiohttp.ClientError) as error:
            raise UpstreamTrouble(str(error)) from error

    @asynccontextmanager
    async def _call(
        self,
        account: Account,
        method: str,
        path: str,
        *,
        timeouts: Timeouts,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[tuple[int, Any, aiohttp.ClientResponse]]:
        async with self.egress.request(
            method,
            f"{account.base_url}{path}",
            headers={
                "Authorization": f"Bearer {account.credential}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                **(headers or {}),
            },
            data=None if body is None else json.dumps(body).encode(),
            timeouts=timeouts,
            allow=frozenset({origin_of(account.base_url)}),
        ) as response:
            raw = bytearray()
            async for chunk in response.content.iter_chunked(65_536):
                raw += chunk
                if len(raw) > _ANSWER_LIMIT_BYTES:
                    raise EgressFailed(
                        "protocol", detail="the answer is larger than 1 MiB", sent=True
                    )
            try:
                answer = json.loads(raw) if raw else None
            except ValueError:
                answer = None
            yield response.status, answer, response


def _raise_refusal(status: int, answer: Any, response: aiohttp.ClientResponse) -> None:
    if 200 <= status < 300:
        return
    code, message = _error_of(answer)
    said_by_dialect = isinstance(answer, dict) and "error" in answer
    if status in _AMBIGUOUS or (status >= 500 and status != 503 and not said_by_dialect):
        raise SubmitUnknown(f"the upstream answered {status}")
    if status in _ANOTHER_ACCOUNT or status >= 500:
        raise SubmitRefused(
            "The upstream is not available right now.",
            elsewhere=True,
            retry_after=_seconds(response.headers.get("Retry-After")),
        )
    policy = any(word in code for word in _POLICY_WORDS)
    raise SubmitRefused(
        message or f"The upstream refused the request ({status}).",
        elsewhere=False,
        code="content_policy" if policy else "upstream_error",
    )


def _error_of(answer: Any) -> tuple[str, str]:
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")[
            :500
        ]
    return "", str(error)[:500] if error else ""


def _reference_of(video: Mapping[str, Any]) -> str | None:
    metadata = video.get("metadata")
    return metadata.get("reference") if isinstance(metadata, dict) else None


def _time(value: Any) -> datetime | None:
    return (
        datetime.fromtimestamp(value, UTC)
        if isinstance(value, (int, float)) and value > 0
        else None
    )


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None
