"""One generation, from the queue to its end. Each step can be repeated from the row after a crash, and is."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter, Histogram

from services.gateway.catalogue import Catalogue
from services.gateway.clients import QuotaClient, StorageClient
from services.gateway.generations import (
    MAX_ATTEMPTS,
    UPSTREAM_LINK_LIFE_SECONDS,
    Attempt,
    Generation,
    Lease,
    LeaseLost,
    Media,
    attempt_reference,
)
from services.gateway.providers.port import (
    Account,
    Job,
    Provider,
    SubmitRefused,
    SubmitUnknown,
    TaskGone,
    UpstreamTrouble,
)
from services.gateway.store.accounts import AccountStore
from services.gateway.store.leases import LeaseStore, NoAccountFree
from services.kernel.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.postgres import DATABASE_ERRORS

log = structlog.get_logger()

ENDED_TOTAL: Final = Counter(
    "reelgate_generations_ended_total",
    "Generations that ended, by how",
    ("status", "storage_type", "error_code"),
)
SUBMITS_TOTAL: Final = Counter(
    "reelgate_submits_total", "Submits to upstreams, by outcome", ("outcome",)
)
STORE_SECONDS: Final = Histogram(
    "reelgate_generation_store_seconds", "From 'the upstream says done' to 'stored'"
)

_MAX_CRASHES: Final = 3
_MAX_POLL_SECONDS: Final = 5.0
_GONE_LIMIT: Final = 3
_SOURCE_TRIES: Final = 4
_PROGRESS_SECONDS: Final = 1.0
# A submit that was under way when its generation was cancelled has answered or failed by then.
_LATE_ANSWER: Final = timedelta(seconds=150)

Step = Callable[[Lease], Awaitable[Lease | None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to ask an upstream, and how long to wait for a submit whose answer was lost; seconds."""

    poll_seconds: float
    lost_after_seconds: float


class Conductor:
    """Knows how to go on from every stage. A step returns the lease to go on with, or None when it gave it back."""

    def __init__(
        self,
        store: LeaseStore,
        accounts: AccountStore,
        providers: Mapping[str, Provider],
        storage: StorageClient,
        quota: QuotaClient,
        catalogue: Catalogue,
        patience: Patience,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._storage = storage
        self._quota = quota
        self._models = {model.id: model for model in catalogue}
        self._patience = patience
        self._submits: set[asyncio.Task[None]] = set()
        self._steps: Mapping[str, Step] = {
            "admitting": self._withdraw,
            "queued": self._hand_over_to_upstream,
            "submitting": self._after_interrupted_submit,
            "unknown": self._look_for_lost_submit,
            "generating": self._follow,
            "storing": self._keep,
            "stored": self._settle,
        }

    async def conduct(self, lease: Lease) -> None:
        """Does what there is to do for a leased generation, and gives the lease back."""
        try:
            await self._conduct(lease)
        except LeaseLost:
            log.info("lease_lost")
        except (Unavailable, DeadlineExceeded) as error:
            # Storage or quota is away: nothing is lost, it is tried again until they are back.
            log.warning("waiting_for_service", reason=error.reason)
            await self._look_again(lease, 1.0)
        except DATABASE_ERRORS as error:
            log.warning("database_unavailable", error=type(error).__name__)
        except Exception:
            log.exception("conduct_failed", stage=lease.generation.stage)
            await self._look_again(lease, 2.0, crashed=True)

    async def late_answers(self) -> None:
        """Waits for submits that outlived their generation's task."""
        if self._submits:
            await asyncio.wait(self._submits)

    async def _look_again(self, lease: Lease, delay: float, *, crashed: bool = False) -> None:
        try:
            await self._store.look_again(lease, delay * random.uniform(0.8, 1.2), crashed=crashed)  # noqa: S311 - jitter
        except DATABASE_ERRORS as error:
            log.warning("database_unavailable", error=type(error).__name__)

    async def _conduct(self, lease: Lease) -> None:
        generation = lease.generation
        if generation.deleted_at is not None:
            await self._give_back(lease)
            await self._store.remove(lease)
            return
        if generation.is_active and generation.crashes >= _MAX_CRASHES:
            lease = await self._fail(
                lease, "storage_error", "Something went wrong on our side. Try again."
            )
        current: Lease | None = lease
        while current is not None and current.generation.is_active:
            lease = current
            current = await self._steps[current.generation.stage](current)
        if current is not None and current.generation.status in {"failed", "cancelled"}:
            await self._give_back(current)
            await self._store.nothing_owed(current)
        elif current is not None and current.generation.status == "completed":
            await self._store.nothing_owed(current)

    # What never became a generation.

    async def _withdraw(self, lease: Lease) -> None:
        """Its request died half-way: nobody was told its id."""
        await self._quota.release(lease.generation, lease.token)
        await self._store.remove(lease, forget_key=True)

    # Submitting.

    async def _hand_over_to_upstream(self, lease: Lease) -> Lease | None:
        generation = lease.generation
        if generation.overdue:
            return await self._fail(lease, "no_account")
        earlier = await self._store.attempts(generation)
        if len(earlier) >= MAX_ATTEMPTS:
            return await self._fail(lease, "upstream_error")
        dialects = [
            name
            for name, provider in self._providers.items()
            if generation.media_type in provider.media_types
        ]
        tried = [attempt.account_id for attempt, state in earlier if state == "refused"]
        try:
            lease, attempt = await self._store.begin_attempt(lease, dialects, tried)
        except NoAccountFree:
            await self._look_again(lease, 1.0)
            return None
        return await self._submit(lease, attempt)

    async def _submit(self, lease: Lease, attempt: Attempt) -> Lease | None:
        """Hands the job over. The submit itself outlives a cancelled task, so that its answer is written down."""
        generation = lease.generation
        account, provider = await self._upstream(attempt.account_id)
        submit = asyncio.create_task(
            self._submit_and_record(generation, attempt, account, provider)
        )
        self._submits.add(submit)
        submit.add_done_callback(self._submitted)
        try:
            await asyncio.shield(submit)
        except SubmitRefused as refusal:
            SUBMITS_TOTAL.labels("refused").inc()
            log.warning("submit_refused", account=account.name, detail=str(refusal))
            await self._store.end_attempt(generation, attempt, "refused", str(refusal))
            if not refusal.elsewhere:
                return await self._fail(lease, refusal.code, str(refusal))
            await self._accounts.cool_down(attempt.account_id, refusal.retry_after)
            if attempt.number >= MAX_ATTEMPTS:
                return await self._fail(lease, "upstream_error")
            lease = await self._store.requeue(lease)
            await self._look_again(lease, 2.0 ** (attempt.number - 1))
            return None
        except SubmitUnknown as lost:
            SUBMITS_TOTAL.labels("unknown").inc()
            log.warning("submit_unknown", account=account.name, detail=str(lost))
            lease = await self._store.unknown(lease)
            await self._look_again(lease, 1.0)
            return None
        SUBMITS_TOTAL.labels("accepted").inc()
        await self._accounts.heal(attempt.account_id)
        return await self._store.accepted(lease)

    def _submitted(self, submit: asyncio.Task[None]) -> None:
        self._submits.discard(submit)
        if not submit.cancelled() and submit.exception() is not None:
            log.info("submit_ended", error=type(submit.exception()).__name__)

    async def _submit_and_record(
        self, generation: Generation, attempt: Attempt, account: Account, provider: Provider
    ) -> None:
        task_id = await provider.submit(account, self._job(generation, attempt))
        await self._store.record_task(generation, attempt, task_id)

    def _job(self, generation: Generation, attempt: Attempt) -> Job:
        model = self._models.get(generation.model)
        return Job(
            reference=attempt_reference(generation, attempt),
            model=model.upstream_model if model else generation.model,
            prompt=generation.prompt,
            media_type=generation.media_type,
            size=model.size if model else "1280x720",
            duration_seconds=generation.duration_seconds,
            count=generation.count,
            parameters=generation.parameters,
        )

    async def _after_interrupted_submit(self, lease: Lease) -> Lease | None:
        """Whoever submitted is gone. What it learnt is in the attempt; else nobody knows."""
        attempt = await self._open_attempt(lease.generation)
        if attempt.upstream_task_id is not None:
            return await self._store.accepted(lease)
        return await self._store.unknown(lease)

    async def _look_for_lost_submit(self, lease: Lease) -> Lease | None:
        """Asks the upstream where it can be asked. Submits again only where a reference seen before is recognised."""
        generation = lease.generation
        attempt = await self._open_attempt(generation)
        if attempt.upstream_task_id is not None:
            return await self._store.accepted(lease)
        account, provider = await self._upstream(attempt.account_id)
        can_find = bool(account.options.get("can_find", provider.can_find))
        idempotent = bool(account.options.get("idempotent_submit", provider.idempotent_submit))
        answered = not can_find
        if can_find:
            try:
                task_id = await provider.find(account, attempt_reference(generation, attempt))
                answered = True
            except UpstreamTrouble as trouble:
                log.warning("find_failed", account=account.name, detail=str(trouble))
                task_id = None
            if task_id is not None:
                await self._store.record_task(generation, attempt, task_id)
                return await self._store.accepted(lease)
        since = generation.unknown_since or datetime.now(UTC)
        if datetime.now(UTC) - since > timedelta(seconds=self._patience.lost_after_seconds):
            return await self._fail(lease, "lost")
        if idempotent and answered:
            return await self._submit(await self._store.submit_again(lease), attempt)
        await self._look_again(lease, 5.0)
        return None

    # Following.

    async def _follow(self, lease: Lease) -> Lease | None:
        attempt = await self._open_attempt(lease.generation)
        if attempt.upstream_task_id is None:
            raise AssertionError("a generation is followed by the id that its upstream gave")
        account, provider = await self._upstream(attempt.account_id)
        begin, wrote_at, troubles, gone = time.monotonic(), 0.0, 0, 0
        while datetime.now(UTC) < lease.generation.deadline_at:
            interval = min(
                _MAX_POLL_SECONDS, max(self._patience.poll_seconds, (time.monotonic() - begin) / 30)
            )
            try:
                state = await provider.poll(account, attempt.upstream_task_id)
            except UpstreamTrouble as trouble:
                troubles += 1
                log.warning("poll_failed", account=account.name, detail=str(trouble))
                interval = min(30.0, interval * 2 ** min(troubles, 5))
            except TaskGone:
                gone += 1
                if gone >= _GONE_LIMIT:
                    await self._store.end_attempts(lease.generation)
                    return await self._fail(
                        lease, "upstream_error", "The generator has lost this task."
                    )
            else:
                troubles = gone = 0
                if state.status == "completed":
                    results = [(result.url, result.expires_at) for result in state.results]
                    return await self._store.storing(lease, attempt.account_id, results)
                if state.status == "failed":
                    await self._store.end_attempts(lease.generation)
                    return await self._fail(lease, state.error_code, state.error_message)
                changed = state.progress_percent > lease.generation.progress_percent
                if changed and time.monotonic() - wrote_at >= _PROGRESS_SECONDS:
                    lease = await self._store.progress(lease, state.progress_percent)
                    wrote_at = time.monotonic()
            await asyncio.sleep(interval * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
        return await self._fail(lease, "timeout")

    # Keeping.

    async def _keep(self, lease: Lease) -> Lease | None:
        """Has storage fetch each result. Storing is repeated by itself and never generates anew."""
        begin = time.monotonic()
        media = await self._store.media(lease.generation)
        for medium in media:
            if medium.tier is not None:
                continue
            try:
                lease = await self._ingest(lease, medium)
            except Unavailable as error:
                if error.reason != "NO_TIER":
                    raise
                return await self._leave_at_upstream(lease, media, "not_stored")
            except FailedPrecondition as error:
                raise LeaseLost from error  # its owner ended it, or somebody else acts for it
            except Aborted as error:
                log.warning("source_failed", detail=error.message)
                return await self._fail(
                    lease, "upstream_error", "The generator's result could not be fetched."
                )
            except (InvalidArgument, ResourceExhausted) as error:
                log.warning("ingest_refused", reason=error.reason, detail=error.message)
                return await self._fail(lease, "storage_error", error.message)
        STORE_SECONDS.observe(time.monotonic() - begin)
        media = await self._store.media(lease.generation)
        local = any(medium.tier == "local" for medium in media)
        size = sum(medium.size_bytes for medium in media)
        notice = "stored_locally" if local else None
        return await self._store.stored(lease, "local" if local else "s3", size, notice)

    async def _ingest(self, lease: Lease, medium: Media) -> Lease:
        account, provider = await self._upstream(medium.account_id)
        source = provider.source(account, medium.upstream_url)
        for number in range(1, _SOURCE_TRIES + 1):
            try:
                wrote_at = 0.0
                steps = self._storage.ingest(lease.generation, lease.token, medium.index, source)
                async with aclosing(steps):
                    async for step in steps:
                        if step.stored is not None:
                            await self._store.kept(lease, medium.index, step.stored.facts())
                            return lease
                        if step.total_bytes and time.monotonic() - wrote_at >= _PROGRESS_SECONDS:
                            percent = min(99, 100 * step.done_bytes // step.total_bytes)
                            lease = await self._store.progress(lease, percent)
                            wrote_at = time.monotonic()
                raise Unavailable("Storage ended without an answer.")
            except Aborted:
                if number == _SOURCE_TRIES:
                    raise
                await asyncio.sleep(2.0 ** (number - 1))
        raise AssertionError("unreachable: the last try returns or raises")

    async def _leave_at_upstream(self, lease: Lease, media: list[Media], notice: str) -> Lease:
        """The result stays where it is, as long as it stays there; nothing of it counts."""
        kept = [medium.object_id for medium in media if medium.tier is not None]
        if kept:
            await self._storage.delete(lease.generation.user_id, kept)
            await self._store.unkeep(lease)
        return await self._store.stored(lease, "upstream", 0, notice)

    async def _settle(self, lease: Lease) -> Lease | None:
        generation = lease.generation
        media = await self._store.media(generation)
        try:
            await self._quota.settle(generation, lease.token, generation.size_bytes)
        except ResourceExhausted:
            if _link_ends_at(media) <= datetime.now(UTC):
                return await self._fail(lease, "quota_exceeded")
            return await self._leave_at_upstream(lease, media, "quota_exceeded")
        except FailedPrecondition as error:
            raise LeaseLost from error
        await self._store.end_attempts(generation)
        expires_at = _link_ends_at(media) if generation.storage_type == "upstream" else None
        await self._store.complete(lease, expires_at=expires_at)
        ENDED_TOTAL.labels("completed", generation.storage_type, "").inc()
        return None

    # Ending.

    async def _fail(self, lease: Lease, code: str, message: str = "") -> Lease:
        lease = await self._store.fail(lease, code, message)
        ENDED_TOTAL.labels("failed", "none", code).inc()
        log.info("generation_failed", code=code)
        return lease

    async def _give_back(self, lease: Lease) -> None:
        """Frees everything the run holds: objects, quota, and the upstream that may still work for it."""
        generation = lease.generation
        # Quota first: its owner has given the bytes up, however long a tier that hangs takes to delete them.
        await self._quota.release(generation, lease.token)
        await self._storage.tombstone(generation, lease.token)
        for attempt, state in await self._store.attempts(generation):
            if state == "open":
                await self._stop_upstream(generation, attempt)
        await self._store.end_attempts(generation)

    async def _stop_upstream(self, generation: Generation, attempt: Attempt) -> None:
        account, provider = await self._upstream(attempt.account_id)
        if not provider.can_cancel or generation.status == "completed":
            return
        try:
            task_id = attempt.upstream_task_id
            if task_id is None and account.options.get("can_find", provider.can_find):
                task_id = await provider.find(account, attempt_reference(generation, attempt))
            if task_id is not None:
                await provider.cancel(account, task_id)
                return
        except UpstreamTrouble as trouble:
            log.warning("cancel_failed", account=account.name, detail=str(trouble))
        ended = generation.completed_at or generation.updated_at
        if datetime.now(UTC) - ended < _LATE_ANSWER:
            # Its id may still arrive, or the upstream may answer again: try until that is out of the question.
            raise Unavailable(
                "The upstream has not confirmed the cancellation yet.", reason="CANCEL_PENDING"
            )

    async def _open_attempt(self, generation: Generation) -> Attempt:
        attempts = await self._store.attempts(generation)
        for attempt, state in reversed(attempts):
            if state == "open":
                return attempt
        raise AssertionError("a generation at an upstream has an open attempt")

    async def _upstream(self, account_id: UUID) -> tuple[Account, Provider]:
        account = await self._accounts.get(account_id)
        return account, self._providers[account.dialect]


def _link_ends_at(media: list[Media]) -> datetime:
    """When the first of the links dies: as the upstream says, else a quarter of an hour from now."""
    said = [
        medium.upstream_expires_at for medium in media if medium.upstream_expires_at is not None
    ]
    return min(said, default=datetime.now(UTC) + timedelta(seconds=UPSTREAM_LINK_LIFE_SECONDS))
