"""One generation from the queue to its end: a scripted upstream, real rows (D2, D8, B4, G4, invariants 1 to 7)."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

import pytest

from services.gateway.catalogue import Catalogue
from services.gateway.clients import IngestStep, QuotaClient, StorageClient, Stored
from services.gateway.generations import Generation
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
from services.gateway.store.accounts import AccountStore
from services.gateway.store.generations import GenerationStore
from services.gateway.store.leases import LeaseStore
from services.gateway.store.saves import SaveStore
from services.gateway.worker.conduct import Conductor
from services.gateway.worker.workplace import Patience, Workplace
from services.kernel.egress import Egress
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.ids import new_id
from services.kernel.postgres import Pool
from tests.integration.gateway.conftest import add_account, wanted

STORED_ID = new_id()
DONE = TaskState("completed", 100, (Result("http://upstream.test/result", None),))


class Scripted(Provider):
    """Does what the test says, and writes down what it was asked."""

    media_types: ClassVar[frozenset[str]] = frozenset({"video"})
    can_cancel: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(cast("Egress", None))
        self.submits: list[str] = []
        self.cancelled: list[str] = []
        self.on_submit: Callable[[int], None] = lambda number: None
        self.states: list[TaskState | Exception] = []
        self.findable: dict[str, str] = {}
        self.find_error: Exception | None = None
        self.submitting = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def submit(self, account: Account, job: Job) -> str:
        self.submits.append(job.reference)
        self.submitting.set()
        await self.answer.wait()
        self.on_submit(len(self.submits))
        return f"task-{len(self.submits)}"

    async def poll(self, account: Account, task_id: str) -> TaskState:
        if not self.states:
            return DONE
        state = self.states.pop(0)
        if isinstance(state, Exception):
            raise state
        return state

    async def find(self, account: Account, reference: str) -> str | None:
        if self.find_error is not None:
            raise self.find_error
        return self.findable.get(reference)

    async def cancel(self, account: Account, task_id: str) -> bool:
        self.cancelled.append(task_id)
        return True

    def source(self, account: Account, url: str) -> Source:
        return Source(url, {}, account.base_url)


class Accounts(AccountStore):
    """Accounts whose credential is in the clear: sealing has tests of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self, account_id: UUID) -> Account:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT name, options FROM accounts WHERE id = %s", (account_id,)
            )
            row = await cursor.fetchone()
        if row is None:
            raise NotFound("no account")
        return Account(
            str(account_id), row[0], "scripted", "http://upstream.test", "key", {}, row[1]
        )


@dataclass
class Storage:
    """Keeps nothing; raises what the test says, once each."""

    errors: list[ReelgateError] = field(default_factory=list)
    tier: str = "s3"
    ingests: int = 0
    tombstones: list[int] = field(default_factory=list)
    deleted: list[UUID] = field(default_factory=list)
    unreachable: bool = False

    async def ingest(
        self, generation: Generation, token: int, index: int, source: Source
    ) -> AsyncGenerator[IngestStep]:
        self.ingests += 1
        yield IngestStep(10, 100, None)
        if self.errors:
            raise self.errors.pop(0)
        yield IngestStep(
            100, 100, Stored(STORED_ID, cast("Any", self.tier), "video/mp4", 100, 1280, 720, 10.0)
        )

    async def tombstone(self, generation: Generation, token: int) -> None:
        if self.unreachable:
            raise Unavailable("away")
        self.tombstones.append(token)

    async def delete(self, owner: UUID, object_ids: list[UUID]) -> None:
        self.deleted += object_ids


@dataclass
class Quota:
    """Counts calls; raises what the test says, once each."""

    errors: list[ReelgateError] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)

    async def settle(
        self, generation: Generation, token: int, stored_bytes: int, *, kept: bool
    ) -> None:
        assert kept is (generation.storage_type != "upstream")
        if self.errors:
            raise self.errors.pop(0)
        self.settled.append(stored_bytes)

    async def release(self, generation: Generation, token: int) -> None:
        self.released.append(token)


@dataclass
class Stage:
    """Everything a test touches."""

    pool: Pool
    store: GenerationStore
    leases: LeaseStore
    owner: UUID
    provider: Scripted
    storage: Storage
    quota: Quota
    conductor: Conductor

    async def ask(self, **changes: object) -> UUID:
        new = wanted(self.owner, **changes)
        assert await self.store.create(new, None) is None
        await self.store.admitted(new.id, self.owner)
        return new.id

    async def look(self) -> None:
        """One look at everything, due or not, as the worker does it."""
        async with self.pool.connection() as connection:
            await connection.execute(
                "UPDATE generations SET next_run_at = now() WHERE next_run_at IS NOT NULL"
            )
        for lease in await self.leases.claim(10, 60):
            await self.conductor.conduct(lease)

    async def look_until_idle(self) -> None:
        for _ in range(12):
            await self.look()
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM generations WHERE next_run_at IS NOT NULL"
            )
            assert await cursor.fetchone() == (0,)

    async def get(self, made: UUID) -> Generation:
        return await self.store.get(made, self.owner)


@pytest.fixture
async def stage(pool: Pool, store: GenerationStore, leases: LeaseStore, owner: UUID) -> Stage:
    provider, storage, quota = Scripted(), Storage(), Quota()
    workplace = Workplace(
        store=leases,
        saves=SaveStore(pool),
        accounts=Accounts(pool),
        providers={"scripted": provider},
        storage=cast("StorageClient", storage),
        quota=cast("QuotaClient", quota),
        models={model.id: model for model in Catalogue.default()},
        patience=Patience(poll_seconds=0.01, lost_after_seconds=900),
    )
    conductor = Conductor(workplace)
    return Stage(pool, store, leases, owner, provider, storage, quota, conductor)


async def test_d2_a_generation_is_submitted_once_kept_settled_and_completed(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.provider.states = [TaskState("running", 30), TaskState("running", 60), DONE]
    made = await stage.ask()
    await stage.look()
    ended = await stage.get(made)
    assert (ended.status, ended.stage, ended.storage_type) == ("completed", "stored", "s3")
    assert (ended.size_bytes, ended.progress_percent, ended.notice_code) == (100, 100, None)
    assert stage.provider.submits == [f"{made}-0-1"]
    assert (stage.quota.settled, stage.quota.released) == ([100], [])
    (medium,) = (await stage.store.media_of([made]))[made]
    assert (medium.object_id, medium.tier, medium.width) == (STORED_ID, "s3", 1280)
    await stage.look_until_idle()
    assert stage.quota.settled == [100]


async def test_d2_what_could_only_be_kept_on_disk_says_so(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.storage.tier = "local"
    made = await stage.ask()
    await stage.look()
    ended = await stage.get(made)
    assert (ended.storage_type, ended.notice_code) == ("local", "stored_locally")


async def test_d2_without_any_tier_the_upstreams_link_is_kept_and_nothing_counts(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    stage.storage.errors = [Unavailable("no tier", reason="NO_TIER")]
    made = await stage.ask()
    await stage.look()
    ended = await stage.get(made)
    assert (ended.status, ended.storage_type, ended.size_bytes) == ("completed", "upstream", 0)
    assert ended.notice_code == "not_stored"
    assert ended.expires_at is not None
    assert timedelta(minutes=14) < ended.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert stage.quota.settled == [0]


async def test_d6_an_upstream_that_says_when_its_link_dies_is_believed(stage: Stage) -> None:
    await add_account(stage.pool)
    dies = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
    stage.provider.states = [TaskState("completed", 100, (Result("http://upstream.test/r", dies),))]
    stage.storage.errors = [Unavailable("no tier", reason="NO_TIER")]
    made = await stage.ask()
    await stage.look()
    assert (await stage.get(made)).expires_at == dies


async def test_b4_what_one_account_refuses_another_gets(stage: Stage) -> None:
    await add_account(stage.pool, "busy", priority=9)
    await add_account(stage.pool, "free")

    def refuse_first(number: int) -> None:
        if number == 1:
            raise SubmitRefused("429", elsewhere=True, retry_after=60)

    stage.provider.on_submit = refuse_first
    made = await stage.ask()
    await stage.look()
    assert (await stage.get(made)).status == "pending"
    await stage.look()
    assert (await stage.get(made)).status == "completed"
    assert stage.provider.submits == [f"{made}-0-1", f"{made}-0-2"]


async def test_b4_after_three_refusals_it_fails_and_everything_is_given_back(stage: Stage) -> None:
    await add_account(stage.pool)

    def refuse(number: int) -> None:
        raise SubmitRefused("503", elsewhere=True)

    stage.provider.on_submit = refuse
    made = await stage.ask()
    await stage.look_until_idle()
    ended = await stage.get(made)
    assert (ended.status, ended.error_code) == ("failed", "upstream_error")
    assert len(stage.provider.submits) == 3
    assert len(stage.quota.released) == 1
    assert len(stage.storage.tombstones) == 1


async def test_b4_the_callers_own_mistake_goes_to_no_second_account(stage: Stage) -> None:
    await add_account(stage.pool, "one")
    await add_account(stage.pool, "two")

    def refuse(number: int) -> None:
        raise SubmitRefused("Not this.", elsewhere=False, code="content_policy")

    stage.provider.on_submit = refuse
    made = await stage.ask()
    await stage.look_until_idle()
    ended = await stage.get(made)
    assert (ended.error_code, ended.error_message) == ("content_policy", "Not this.")
    assert len(stage.provider.submits) == 1


async def _lose_the_answer(stage: Stage) -> UUID:
    def lose(number: int) -> None:
        if number == 1:
            raise SubmitUnknown("reset")

    stage.provider.on_submit = lose
    made = await stage.ask()
    await stage.look()
    assert (await stage.get(made)).stage == "unknown"
    return made


async def test_d8_a_submit_whose_answer_was_lost_is_neither_repeated_nor_refunded(
    stage: Stage,
) -> None:
    await add_account(stage.pool, "one")
    await add_account(stage.pool, "two")
    made = await _lose_the_answer(stage)
    for _ in range(5):
        await stage.look()
    assert (await stage.get(made)).status == "generating"
    assert len(stage.provider.submits) == 1
    assert stage.quota.released == []


async def test_d8_after_a_quarter_of_an_hour_the_verdict_is_lost(stage: Stage) -> None:
    await add_account(stage.pool)
    made = await _lose_the_answer(stage)
    async with stage.pool.connection() as connection:
        await connection.execute(
            "UPDATE generations SET unknown_since = now() - interval '16 minutes', completed_at = NULL"
        )
    await stage.look()
    ended = await stage.get(made)
    assert (ended.status, ended.error_code) == ("failed", "lost")
    assert len(stage.quota.released) == 1


async def test_d8_where_the_upstream_can_be_asked_it_is_found_and_followed(stage: Stage) -> None:
    await add_account(stage.pool, options={"can_find": True, "idempotent_submit": True})
    made = await _lose_the_answer(stage)
    stage.provider.find_error = UpstreamTrouble("not now")
    await stage.look()
    assert len(stage.provider.submits) == 1
    stage.provider.find_error = None
    stage.provider.findable[f"{made}-0-1"] = "task-1"
    await stage.look()
    assert (await stage.get(made)).status == "completed"
    assert len(stage.provider.submits) == 1


async def test_d8_only_an_upstream_that_knows_a_reference_gets_it_again(stage: Stage) -> None:
    await add_account(stage.pool, options={"can_find": True, "idempotent_submit": True})
    made = await _lose_the_answer(stage)
    await stage.look()
    assert (await stage.get(made)).status == "completed"
    assert stage.provider.submits == [f"{made}-0-1"] * 2


async def test_d3_an_old_unknown_no_longer_occupies_a_place(stage: Stage) -> None:
    await add_account(stage.pool)
    await _lose_the_answer(stage)
    async with stage.pool.connection() as connection:
        await connection.execute(
            "UPDATE generations SET unknown_since = now() - interval '16 minutes'"
        )
    for _ in range(3):
        await stage.ask()


async def test_a_worker_that_died_in_the_middle_of_a_submit_leaves_an_unknown(stage: Stage) -> None:
    await add_account(stage.pool)
    made = await stage.ask()
    (lease,) = await stage.leases.claim(1, 60)
    await stage.leases.begin_attempt(lease, ["scripted"], ())
    await stage.leases.look_again(lease, 0)
    await stage.look()
    assert (await stage.get(made)).stage == "unknown"
    assert stage.provider.submits == []


async def test_a_worker_that_died_after_the_answer_came_resumes_at_the_same_account(
    stage: Stage,
) -> None:
    await add_account(stage.pool, "first")
    made = await stage.ask()
    (lease,) = await stage.leases.claim(1, 60)
    lease, attempt = await stage.leases.begin_attempt(lease, ["scripted"], ())
    await stage.leases.record_task(lease.generation, attempt, "task-1")
    await stage.leases.look_again(lease, 0)
    await add_account(stage.pool, "better", priority=9)
    await stage.look()
    assert (await stage.get(made)).status == "completed"
    assert stage.provider.submits == []
    (medium,) = (await stage.store.media_of([made]))[made]
    assert medium.account_id == attempt.account_id


async def test_d4_cancelled_in_the_middle_of_a_submit_the_late_answer_is_still_stopped(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    made = await stage.ask()
    stage.provider.answer.clear()
    (lease,) = await stage.leases.claim(1, 60)
    conducting = asyncio.create_task(stage.conductor.conduct(lease))
    await stage.provider.submitting.wait()
    await stage.store.cancel(made, stage.owner)
    conducting.cancel()  # as the worker does when it sees that the lease is gone
    await asyncio.wait([conducting])
    await stage.look()
    assert stage.provider.cancelled == []
    assert stage.quota.released, "the places and bytes are free at once"
    stage.provider.answer.set()
    await stage.conductor.late_answers()
    await stage.look_until_idle()
    assert stage.provider.cancelled == ["task-1"]
    assert (await stage.get(made)).status == "cancelled"


async def test_d4_a_cancelled_one_is_stopped_upstream_and_nothing_is_stored(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.provider.states = [TaskState("running", percent) for percent in range(1, 90)]
    made = await stage.ask()
    (lease,) = await stage.leases.claim(1, 60)
    conducting = asyncio.create_task(stage.conductor.conduct(lease))
    while (await stage.get(made)).stage != "generating":
        await asyncio.sleep(0.01)
    await stage.store.cancel(made, stage.owner)
    await conducting  # its next write is refused
    await stage.look_until_idle()
    assert stage.provider.cancelled == ["task-1"]
    assert stage.storage.ingests == 0
    assert len(stage.quota.released) == 1


async def test_d4_deleting_a_completed_one_erases_its_objects_and_frees_its_bytes(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    made = await stage.ask()
    await stage.look()
    await stage.store.delete(made, stage.owner)
    stage.storage.unreachable = True
    await stage.look()
    assert await stage.store.exists(made)
    assert len(stage.quota.released) == 1, (
        "the bytes are given up, however long their deletion takes"
    )
    stage.storage.unreachable = False
    await stage.look()
    assert not await stage.store.exists(made)
    assert len(stage.storage.tombstones) == 1
    assert stage.provider.cancelled == []


async def test_storing_is_repeated_and_never_generates_anew(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.storage.errors = [Unavailable("restarting"), Unavailable("restarting")]
    made = await stage.ask()
    await stage.look_until_idle()
    assert (await stage.get(made)).status == "completed"
    assert stage.storage.ingests == 3
    assert len(stage.provider.submits) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("refused", reason="SOURCE_REFUSED"), "storage_error"),
        (ResourceExhausted("too large", reason="OBJECT_TOO_LARGE"), "storage_error"),
    ],
)
async def test_d10_a_result_that_may_not_be_kept_fails_with_its_reason(
    error: ReelgateError, code: str, stage: Stage
) -> None:
    await add_account(stage.pool)
    stage.storage.errors = [error]
    made = await stage.ask()
    await stage.look_until_idle()
    ended = await stage.get(made)
    assert (ended.status, ended.error_code, ended.error_message) == ("failed", code, error.message)
    assert len(stage.quota.released) == 1


async def test_a_source_that_breaks_off_is_fetched_again(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.storage.errors = [Aborted("cut", reason="SOURCE_FAILED")]
    made = await stage.ask()
    await stage.look()
    assert (await stage.get(made)).status == "completed"


async def test_a_tombstone_met_while_storing_means_that_it_is_not_ours_any_more(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    stage.storage.errors = [FailedPrecondition("gone", reason="TOMBSTONED")]
    made = await stage.ask()
    await stage.look()
    assert (await stage.get(made)).stage == "storing"
    assert stage.quota.settled == []


async def test_g4_what_does_not_fit_after_all_stays_at_the_upstream_with_a_notice(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    stage.quota.errors = [ResourceExhausted("full", reason="QUOTA_EXCEEDED")]
    made = await stage.ask()
    await stage.look()
    ended = await stage.get(made)
    assert (ended.status, ended.storage_type, ended.notice_code) == (
        "completed",
        "upstream",
        "quota_exceeded",
    )
    assert stage.quota.settled == [0]
    (medium,) = (await stage.store.media_of([made]))[made]
    assert stage.storage.deleted == [medium.object_id]
    assert medium.tier is None


async def test_g4_a_worker_that_dies_while_it_removes_what_does_not_fit_leaves_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_account(stage.pool)
    stage.quota.errors = [ResourceExhausted("full", reason="QUOTA_EXCEEDED")]

    async def delete_and_die(owner: UUID, object_ids: list[UUID]) -> None:
        stage.storage.deleted += object_ids
        raise asyncio.CancelledError

    monkeypatch.setattr(stage.storage, "delete", delete_and_die)
    made = await stage.ask()
    with pytest.raises(asyncio.CancelledError):
        await stage.look()
    monkeypatch.undo()
    async with stage.pool.connection() as connection:
        await connection.execute("UPDATE generations SET lease_until = now()")
    # Quota would take it now: but what it was offered is gone.
    await stage.look_until_idle()
    ended = await stage.get(made)
    assert (ended.storage_type, ended.size_bytes, stage.quota.settled) == ("upstream", 0, [0])
    (medium,) = (await stage.store.media_of([made]))[made]
    assert medium.tier is None


async def test_g4_what_does_not_fit_and_has_no_living_link_fails(stage: Stage) -> None:
    await add_account(stage.pool)
    dead = datetime.now(UTC) - timedelta(seconds=1)
    stage.provider.states = [TaskState("completed", 100, (Result("http://upstream.test/r", dead),))]
    stage.quota.errors = [ResourceExhausted("full", reason="QUOTA_EXCEEDED")]
    made = await stage.ask()
    await stage.look_until_idle()
    assert (await stage.get(made)).error_code == "quota_exceeded"
    assert len(stage.storage.tombstones) == 1


async def test_d9_past_its_deadline_it_is_stopped_and_failed(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.provider.states = [TaskState("running", 1)] * 500
    made = await stage.ask(deadline_seconds=0.3)
    await stage.look_until_idle()
    assert (await stage.get(made)).error_code == "timeout"
    assert stage.provider.cancelled == ["task-1"]


async def test_an_upstream_that_fails_says_why(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.provider.states = [
        UpstreamTrouble("502"),
        TaskState("failed", 40, (), "content_policy", "The prompt was flagged."),
    ]
    made = await stage.ask()
    await stage.look_until_idle()
    ended = await stage.get(made)
    assert (ended.error_code, ended.error_message) == ("content_policy", "The prompt was flagged.")
    assert stage.provider.cancelled == []


async def test_a_task_that_its_upstream_has_lost_fails_after_asking_again(stage: Stage) -> None:
    await add_account(stage.pool)
    stage.provider.states = [
        TaskGone("x"),
        TaskState("running", 5),
        TaskGone("x"),
        TaskGone("x"),
        TaskGone("x"),
    ]
    made = await stage.ask()
    await stage.look_until_idle()
    assert (await stage.get(made)).error_code == "upstream_error"


async def test_a_poison_generation_is_quarantined_and_its_neighbour_does_not_notice(
    stage: Stage,
) -> None:
    await add_account(stage.pool)
    poison, neighbour = await stage.ask(), await stage.ask()
    stage.provider.on_submit = lambda number: None
    original = stage.provider.submit

    async def submit(account: Account, job: Job) -> str:
        if job.reference.startswith(str(poison)):
            raise ZeroDivisionError
        return await original(account, job)

    stage.provider.submit = submit  # type: ignore[method-assign] # a defect for this test
    stage.storage.unreachable = False
    for _ in range(12):
        await stage.look()
        async with stage.pool.connection() as connection:
            await connection.execute(
                "UPDATE generations SET stage = 'queued' WHERE stage = 'submitting'"
            )
            await connection.execute("DELETE FROM attempts WHERE generation_id = %s", (poison,))
    assert (await stage.get(neighbour)).status == "completed"
    ended = await stage.get(poison)
    assert (ended.status, ended.error_code) == ("failed", "storage_error")
    assert stage.quota.released
