"""An upstream result is stored after all: once, counted exactly, whatever dies on the way (D4, D6, G4, G5)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from functools import partial
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from deploy.local.postgres import Postgres
from services.gateway.clients import Stored
from services.gateway.generations import Generation, LeaseLost, SaveFailure
from services.gateway.worker import ingesting
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.ids import new_id
from services.kernel.migrations import migrate
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from services.quota.__main__ import MIGRATIONS as QUOTA_MIGRATIONS
from tests.contract.quota.running import Keys
from tests.integration.gateway.conftest import MIGRATIONS, add_user
from tests.integration.gateway.saving import RESERVED, SIZES, Died, Scene, staged
from tests.integration.quota.books import drift

WHOLE = sum(SIZES)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    pem = generate_signing_key()
    jwks_file = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks_file.write_text(json.dumps(public_jwks(pem)))
    return Keys(Signer(pem), jwks_file)


@pytest.fixture
def books(postgres: Postgres) -> Iterator[str]:
    """A second database: the quota service's."""
    name = sql.Identifier(f"books_{new_id().hex}")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield postgres.url(name.as_string().strip('"'))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
async def scene(
    database: str, books: str, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    await migrate(database, MIGRATIONS)
    await migrate(books, QUOTA_MIGRATIONS)
    monkeypatch.setattr(ingesting, "_SOURCE_TRIES", 1)
    async with staged(database, books, keys) as scene:
        yield scene


async def _is_kept(scene: Scene, made: UUID) -> None:
    ended = await scene.get(made)
    assert (ended.status, ended.stage, ended.progress_percent) == ("completed", "stored", 100)
    assert (ended.storage_type, ended.size_bytes) == ("s3", WHOLE)
    assert (ended.expires_at, ended.notice_code, ended.can_save) == (None, None, False)
    media = (await scene.store.media_of([made]))[made]
    assert [medium.object_id for medium in media] == list(scene.storage.objects)
    assert {medium.tier for medium in media} == {"s3"}
    assert await scene.bytes() == (WHOLE, 0)
    assert await drift(scene.books_pool) == []


async def _is_where_it_was(scene: Scene, made: UUID) -> None:
    ended = await scene.get(made)
    assert (ended.status, ended.stage, ended.progress_percent) == ("completed", "stored", 100)
    assert (ended.storage_type, ended.notice_code) == ("upstream", "not_stored")
    assert ended.can_save
    assert all(medium.tier is None for medium in (await scene.store.media_of([made]))[made])
    assert scene.storage.objects == {}
    assert await scene.bytes() == (0, 0)
    assert await drift(scene.books_pool) == []


async def _work_until(save: asyncio.Task[object], scene: Scene) -> None:
    """Works like a worker, until the call has its answer."""
    while not save.done():
        await scene.look()
        await asyncio.wait([save], timeout=0.02)


async def _saved(scene: Scene, made: UUID) -> Generation:
    """The call and a worker."""
    save = asyncio.create_task(scene.saves.save(scene.owner, made))
    await _work_until(save, scene)
    return (await save).generation


async def test_d4_a_result_at_its_upstream_is_saved_with_all_its_media(scene: Scene) -> None:
    made = await scene.upstream_result()
    saved = await _saved(scene, made)
    assert saved.storage_type == "s3"
    await _is_kept(scene, made)
    assert scene.storage.ingests == [0, 1, 2]


async def test_d2_what_only_the_disk_takes_is_saved_there_and_says_so(scene: Scene) -> None:
    made = await scene.upstream_result()
    scene.storage.tier = "local"
    saved = await _saved(scene, made)
    assert (saved.storage_type, saved.notice_code) == ("local", "stored_locally")
    assert await scene.bytes() == (WHOLE, 0)


async def test_d14_while_it_is_saved_a_watcher_sees_it_storing_and_the_old_link_works(
    scene: Scene,
) -> None:
    made = await scene.upstream_result()
    before = await scene.get(made)
    begun = await scene.save_store.begin(made, scene.owner)
    assert begun.rev > before.rev
    (seen,) = (await scene.store.changes(scene.owner, before.rev)).generations
    assert (seen.status, seen.stage, seen.progress_percent) == ("completed", "storing", 0)
    assert (seen.storage_type, seen.can_save) == ("upstream", False)
    (view,) = await scene.generations.views([seen])
    assert [medium.tier for medium, _ in view.media] == [None] * 3
    scene.storage.hold = asyncio.Event()
    working = asyncio.create_task(scene.conductor.conduct(await scene.claim()))
    while not scene.storage.ingests:
        await asyncio.sleep(0.01)
    assert await scene.bytes() == (0, RESERVED)
    for medium, _ in view.media:
        assert (await scene.store.by_medium(medium.object_id, scene.owner)).id == made
    scene.storage.hold.set()
    await working
    await _is_kept(scene, made)


async def test_d4_only_what_lies_at_its_upstream_can_be_saved(scene: Scene) -> None:
    made = await scene.upstream_result()
    await _saved(scene, made)
    with pytest.raises(FailedPrecondition) as refused:
        await scene.saves.save(scene.owner, made)
    assert refused.value.reason == "NOT_UPSTREAM"


async def test_d6_after_its_link_has_died_it_can_not_be_saved(scene: Scene) -> None:
    made = await scene.upstream_result()
    await scene.execute("UPDATE generations SET expires_at = now()")
    assert not (await scene.get(made)).can_save
    with pytest.raises(FailedPrecondition) as refused:
        await scene.saves.save(scene.owner, made)
    assert refused.value.reason == "LINK_EXPIRED"


async def test_d4_somebody_elses_is_not_found_and_a_deleted_one_neither(scene: Scene) -> None:
    made = await scene.upstream_result()
    with pytest.raises(NotFound):
        await scene.saves.save(await add_user(scene.pool), made)
    await scene.store.delete(made, scene.owner)
    with pytest.raises(NotFound):
        await scene.saves.save(scene.owner, made)


async def test_g5_without_room_for_the_estimate_it_is_refused_with_figures_and_nothing_changes(
    scene: Scene,
) -> None:
    made = await scene.upstream_result()
    await scene.limit(RESERVED - 1)
    with pytest.raises(ResourceExhausted) as refused:
        await _saved(scene, made)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert refused.value.metadata == {
        "used": "0", "reserved": "0", "quota": str(RESERVED - 1), "requested": str(RESERVED)
    }  # fmt: skip
    assert scene.storage.ingests == []
    await _is_where_it_was(scene, made)


async def test_g4_free_space_then_save(scene: Scene) -> None:
    made = await scene.upstream_result()
    await scene.limit(RESERVED - 1)
    with pytest.raises(ResourceExhausted):
        await _saved(scene, made)
    await scene.limit(RESERVED)
    await _saved(scene, made)
    await _is_kept(scene, made)


async def test_g4_what_turns_out_larger_than_there_is_room_for_is_removed_again(
    scene: Scene,
) -> None:
    made = await scene.upstream_result()
    await scene.execute("UPDATE generations SET reserved_bytes = 500")
    await scene.limit(WHOLE - 1)
    with pytest.raises(ResourceExhausted) as refused:
        await _saved(scene, made)
    assert refused.value.reason == "QUOTA_EXCEEDED"
    assert refused.value.metadata["requested"] == str(WHOLE - 500)
    await _is_where_it_was(scene, made)
    await scene.limit(WHOLE)
    await _saved(scene, made)
    await _is_kept(scene, made)


async def test_g5_a_size_that_is_known_is_asked_for_instead_of_the_estimate(scene: Scene) -> None:
    made = await scene.upstream_result()
    await scene.execute("UPDATE media SET size_bytes = %s[index + 1]::bigint", list(SIZES))
    await scene.limit(WHOLE - 1)
    with pytest.raises(ResourceExhausted) as refused:
        await _saved(scene, made)
    assert refused.value.metadata["requested"] == str(WHOLE)
    await scene.limit(WHOLE)
    await _saved(scene, made)
    await _is_kept(scene, made)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (Aborted("404", reason="SOURCE_FAILED"), Aborted, "SOURCE_FAILED"),
        (InvalidArgument("no", reason="SOURCE_REFUSED"), Aborted, "SOURCE_FAILED"),
        (ResourceExhausted("big", reason="OBJECT_TOO_LARGE"), Aborted, "SOURCE_FAILED"),
        (Unavailable("none", reason="NO_TIER"), Unavailable, "NO_TIER"),
    ],
)
async def test_d4_a_medium_that_can_not_be_kept_takes_the_others_with_it_and_can_be_tried_again(
    error: ReelgateError, kind: type[ReelgateError], reason: str, scene: Scene
) -> None:
    made = await scene.upstream_result()
    scene.storage.errors = {2: error}
    with pytest.raises(kind) as refused:
        await _saved(scene, made)
    assert refused.value.reason == reason
    assert scene.storage.ingests == [0, 1, 2]
    await _is_where_it_was(scene, made)
    scene.storage.errors = {}
    await _saved(scene, made)
    await _is_kept(scene, made)


async def test_d6_a_source_that_fails_because_the_link_died_meanwhile_is_called_expired(
    scene: Scene,
) -> None:
    made = await scene.upstream_result()
    await scene.save_store.begin(made, scene.owner)
    await scene.execute("UPDATE generations SET expires_at = now()")
    scene.storage.errors = {0: Aborted("403", reason="SOURCE_FAILED")}
    with pytest.raises(FailedPrecondition) as refused:
        await _saved(scene, made)
    assert refused.value.reason == "LINK_EXPIRED"
    assert await scene.bytes() == (0, 0)


async def test_storage_that_is_away_is_waited_for(scene: Scene) -> None:
    made = await scene.upstream_result()
    scene.storage.errors = {1: Unavailable("restarting")}
    await scene.save_store.begin(made, scene.owner)
    for _ in range(5):
        await scene.look()
    assert (await scene.get(made)).is_being_saved
    scene.storage.errors = {}
    await scene.look_until_idle()
    await _is_kept(scene, made)
    assert scene.storage.ingests.count(0) == 1, "what is kept is not fetched again"


async def test_what_goes_wrong_for_reasons_of_ours_is_given_up_after_three_times(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await scene.upstream_result()
    original = scene.provider.source

    def source(account: object, url: str) -> object:
        if url.endswith("1"):
            raise ZeroDivisionError
        return original(account, url)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(scene.provider, "source", source)
    with pytest.raises(Internal):
        await _saved(scene, made)
    await _is_where_it_was(scene, made)
    monkeypatch.undo()
    monkeypatch.setattr(ingesting, "_SOURCE_TRIES", 1)
    await _saved(scene, made)
    await _is_kept(scene, made)


def _nothing(scene: Scene) -> None:
    pass


def _no_source(scene: Scene) -> None:
    scene.storage.errors = {2: Aborted("404", reason="SOURCE_FAILED")}


@pytest.mark.parametrize(
    ("spoil", "limit", "succeeds"),
    [(_nothing, -1, True), (_no_source, -1, False), (_nothing, WHOLE - 1, False)],
    ids=["saved", "source fails", "too large"],
)
async def test_a_worker_that_dies_before_or_after_any_of_its_calls_leaves_one_outcome(
    spoil: Callable[[Scene], None], limit: int, succeeds: bool, scene: Scene
) -> None:
    step = 0
    while True:
        made = await scene.upstream_result()
        await scene.execute("UPDATE generations SET reserved_bytes = 500 WHERE id = %s", made)
        await scene.limit(limit)
        spoil(scene)
        await scene.save_store.begin(made, scene.owner)
        scene.accidents.plan(step)
        with suppress(Died):
            await scene.look()
        died = scene.accidents.happened
        scene.accidents.plan(-1)
        await scene.look_until_idle()
        await (_is_kept if succeeds else _is_where_it_was)(scene, made)
        await scene.limit(-1)
        await scene.store.delete(made, scene.owner)
        await scene.look_until_idle()
        assert await scene.bytes() == (0, 0)
        assert scene.storage.objects == {}
        if not died:
            break
        step += 1
    # Admit, three media, Settle; or back again by DeleteObjects and another Settle. Two deaths at each.
    assert step >= 10


async def test_a_worker_that_is_late_changes_nothing_of_what_its_successor_did(
    scene: Scene,
) -> None:
    made = await scene.upstream_result()
    await scene.save_store.begin(made, scene.owner)
    scene.storage.hold = asyncio.Event()
    late = asyncio.create_task(scene.conductor.conduct(await scene.claim()))
    while not scene.storage.ingests:
        await asyncio.sleep(0.01)
    hold, scene.storage.hold = scene.storage.hold, None
    await scene.look_until_idle()
    await _is_kept(scene, made)
    saved = await scene.get(made)
    hold.set()
    await late
    assert await scene.get(made) == saved
    await _is_kept(scene, made)


@pytest.mark.parametrize("lost_by", ["a later claim", "time", "a delete"])
async def test_whoever_lost_the_lease_writes_nothing_of_a_saving(
    lost_by: str, scene: Scene
) -> None:
    made = await scene.upstream_result()
    await scene.save_store.begin(made, scene.owner)
    lease = await scene.claim()
    if lost_by == "a delete":
        await scene.store.delete(made, scene.owner)
    else:
        await scene.execute("UPDATE generations SET lease_until = now()")
    if lost_by == "a later claim":
        await scene.claim()
    facts = Stored(new_id(), "s3", "video/mp4", 1, 1, 1, 1.0).facts()
    for write in (
        scene.save_store.progress(lease, 50),
        scene.save_store.saved(lease, "s3", None, [facts] * 3),
        scene.save_store.give_up(lease, SaveFailure("NO_TIER", "", {})),
        scene.save_store.given_up(lease),
    ):
        with pytest.raises(LeaseLost):
            await write
    save = await scene.save_store.get(made)
    assert (save.objects, save.failure) == ([], None)
    assert all(medium.tier is None for medium in (await scene.store.media_of([made]))[made])


async def test_d4_whoever_joins_a_saving_does_not_disturb_it(scene: Scene) -> None:
    made = await scene.upstream_result()
    begun = await scene.save_store.begin(made, scene.owner)
    lease = await scene.claim()
    await scene.save_store.kept(lease, new_id())
    assert (await scene.save_store.begin(made, scene.owner)).rev == begun.rev
    assert len((await scene.save_store.get(made)).objects) == 1
    await scene.conductor.conduct(lease)
    await _is_kept(scene, made)


async def test_a_worker_of_the_release_before_can_not_lose_a_saving(scene: Scene) -> None:
    made = await scene.upstream_result()
    await scene.save_store.begin(made, scene.owner)
    # It takes a completed generation for one that nothing is owed to.
    await scene.leases.nothing_owed(await scene.claim())
    await scene.look_until_idle()
    await _is_kept(scene, made)


@pytest.mark.timeout(55)
async def test_d4_saves_at_once_join_and_give_one_result(scene: Scene) -> None:
    for _ in range(30):
        made = await scene.upstream_result()
        calls = [asyncio.create_task(scene.saves.save(scene.owner, made)) for _ in range(4)]
        together = asyncio.gather(*calls, return_exceptions=True)
        await _work_until(together, scene)  # type: ignore[arg-type] # a future is enough
        answers = await together
        late = [answer for answer in answers if isinstance(answer, FailedPrecondition)]
        assert all(answer.reason == "NOT_UPSTREAM" for answer in late)
        assert len(late) < len(answers)
        assert scene.storage.ingests == [0, 1, 2]
        await _is_kept(scene, made)
        await scene.store.delete(made, scene.owner)
        await scene.look_until_idle()


async def _is_gone(scene: Scene, made: UUID) -> None:
    assert not await scene.store.exists(made)
    assert scene.storage.objects == {}
    assert await scene.bytes() == (0, 0)
    assert await drift(scene.books_pool) == []


@pytest.mark.parametrize("spoil", [_nothing, _no_source], ids=["saved", "source fails"])
async def test_d4_a_delete_before_or_after_any_call_of_a_save_leaves_nothing(
    spoil: Callable[[Scene], None], scene: Scene
) -> None:
    step, deleted = 0, True
    while deleted:
        made = await scene.upstream_result()
        spoil(scene)
        await scene.save_store.begin(made, scene.owner)
        scene.accidents.plan(step, partial(scene.store.delete, made, scene.owner))
        await scene.look()
        deleted = scene.accidents.happened
        scene.accidents.plan(-1)
        if not deleted:
            await scene.store.delete(made, scene.owner)
        await scene.look_until_idle()
        await _is_gone(scene, made)
        step += 1
    assert step >= 10


@pytest.mark.timeout(55)
async def test_d4_a_delete_at_any_moment_of_a_save_leaves_nothing(scene: Scene) -> None:
    for attempt in range(40):
        made = await scene.upstream_result()
        save = asyncio.create_task(scene.saves.save(scene.owner, made))
        working = asyncio.create_task(scene.look())
        await asyncio.sleep(attempt * 0.002)
        await scene.store.delete(made, scene.owner)
        await working
        await scene.look_until_idle()
        with suppress(NotFound):
            assert (await save).generation.storage_type == "s3"
        await _is_gone(scene, made)
