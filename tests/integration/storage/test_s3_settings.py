"""E1, E2: S3 settings that are changed while real storage processes run."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from google.protobuf.json_format import MessageToJson

from reelgate.storage.v1 import settings_pb2, storage_pb2
from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ReelgateError,
)
from services.kernel.sealing import KeyRing
from services.kernel.status import rpc_errors
from tests.conftest import S3Access
from tests.integration.storage.administration import (
    KEY_ONE,
    KEY_TWO,
    Admin,
    admin_of,
    settings_of,
)
from tests.integration.storage.bucket import TRIALS, Bucket
from tests.integration.storage.conftest import MakeStorage
from tests.integration.storage.fake_s3 import FakeS3
from tests.integration.storage.harness import (
    MIB,
    Client,
    Source,
    StorageProcess,
    eventually,
    video,
)
from tests.integration.storage.own_bucket import OwnBucket

ENVIRONMENT = settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT
OPERATOR = settings_pb2.SETTINGS_ORIGIN_OPERATOR
CDN = "https://cdn.example.com"


@pytest.fixture
def process(make_storage: MakeStorage, s3: S3Access) -> StorageProcess:
    """A process with a key, whose settings come from its environment."""
    return make_storage(s3, REELGATE_STORAGE_ENCRYPTION_KEYS=KEY_ONE)


@pytest.fixture
async def admin(process: StorageProcess) -> AsyncIterator[Admin]:
    async with admin_of(process) as admin:
        yield admin


@pytest.fixture
async def shared(storage: StorageProcess) -> AsyncIterator[Admin]:
    """Of the process that all tests share: for what changes nothing."""
    async with admin_of(storage) as admin:
        yield admin


async def status(client: Client) -> storage_pb2.GetStatusResponse:
    return await client.stub.GetStatus(storage_pb2.GetStatusRequest(), metadata=client.user())


async def in_force_within_5_s(client: Client, what: Callable[[list[str]], bool]) -> None:
    """Looks at what GetStatus says, which reads nothing from the database."""
    begin = time.monotonic()
    while not what(list((await status(client)).link_origins)):
        assert time.monotonic() - begin < 5
        await asyncio.sleep(0.05)


async def test_e2_without_an_edit_the_environment_is_shown_without_its_secret(
    process: StorageProcess, admin: Admin, s3: S3Access
) -> None:
    answer = await admin.get()
    assert answer.origin == ENVIRONMENT
    assert answer.settings.endpoint == s3.endpoint
    assert answer.settings.prefix == process.prefix
    assert answer.settings.enabled
    assert answer.settings.secret_set
    assert list(answer.warnings) == []
    assert s3.secret_access_key not in MessageToJson(answer)


async def test_e1_every_replica_follows_an_update_within_5_s(
    process: StorageProcess, admin: Admin, make_storage: MakeStorage, s3: S3Access
) -> None:
    other = make_storage(s3, REELGATE_STORAGE_ENCRYPTION_KEYS=KEY_ONE)
    async with other.client() as client:
        updated = await admin.update(settings_of(s3, cdn_url=CDN))
        assert not updated.secret_access_key
        await in_force_within_5_s(client, lambda origins: CDN in origins)
    async with admin_of(other) as neighbour:
        seen = await neighbour.get()
        assert seen.settings == updated
        assert seen.origin == OPERATOR
    for one in (process, other):
        assert s3.secret_access_key not in one.log.read_text()


async def test_e1_a_change_whose_notification_is_lost_is_in_force_within_5_s(
    process: StorageProcess, admin: Admin, s3: S3Access
) -> None:
    await admin.update(settings_of(s3))
    async with process.client() as client:
        with psycopg.connect(process.database, autocommit=True) as connection:
            connection.execute("UPDATE s3_settings SET cdn_url = %s", (CDN,))  # and no NOTIFY
        await in_force_within_5_s(client, lambda origins: CDN in origins)


async def test_e1_an_edit_wins_over_the_environment_until_it_is_reset(
    process: StorageProcess, admin: Admin, make_storage: MakeStorage, s3: S3Access
) -> None:
    edited = await admin.update(settings_of(s3, cdn_url=CDN))
    process.stop()
    later = make_storage(
        s3, REELGATE_STORAGE_ENCRYPTION_KEYS=KEY_ONE, CDN_URL="https://other.example.com"
    )
    async with admin_of(later) as again:
        assert (await again.get()).settings == edited
        back = await again.reset(edited.etag)
        assert back.cdn_url == "https://other.example.com"
        assert (await again.get()).origin == ENVIRONMENT


async def test_e1_two_at_once_do_not_undo_each_other(admin: Admin, s3: S3Access) -> None:
    begun = (await admin.get()).settings
    first = await admin.update(settings_of(s3, etag=begun.etag))
    with pytest.raises(Aborted) as caught:
        await admin.update(settings_of(s3, etag=begun.etag))
    assert caught.value.reason == "STALE_ETAG"
    second = await admin.update(settings_of(s3, etag=first.etag))
    assert second.etag != first.etag
    for stale in (first.etag, begun.etag, "nonsense"):
        with pytest.raises(Aborted):
            await admin.reset(stale)
        with pytest.raises(Aborted):
            await admin.update(settings_of(s3, etag=stale))
    await admin.reset(second.etag)
    with pytest.raises(Aborted):
        await admin.update(settings_of(s3, etag=second.etag))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", "s3.example.com"),
        ("endpoint", "http://10.1.2.3:9000"),
        ("endpoint", "http://169.254.169.254"),
        ("endpoint", "https://acc.r2.cloudflarestorage.com/reelgate"),
        ("public_endpoint", "ftp://s3.example.com"),
        ("region", "eu west"),
        ("bucket", "Not A Bucket"),
        ("access_key_id", "a/b"),
        ("secret_access_key", "a\nb"),
        ("prefix", "no-slash"),
        ("prefix", "../up/"),
        ("cdn_url", "cdn"),
        ("delivery", 9),
    ],
)
async def test_e1_a_wrong_value_is_named_by_its_field_and_changes_nothing(
    shared: Admin, s3: S3Access, field: str, value: str
) -> None:
    settings = settings_of(s3, **{field: value})
    with pytest.raises(InvalidArgument) as caught:
        await shared.update(settings)
    assert caught.value.field == field
    if field == "endpoint" and value.startswith("http://1"):
        assert "REELGATE_EGRESS_PRIVATE_ORIGINS" in caught.value.message
    else:
        with pytest.raises(InvalidArgument):
            await shared.test(settings)
    assert (await shared.get()).origin == ENVIRONMENT


async def test_e1_only_administrators_see_change_or_try_settings(
    storage: StorageProcess, s3: S3Access
) -> None:
    async with admin_of(storage, role="user") as user:
        for attempt in (
            user.get(),
            user.update(settings_of(s3)),
            user.reset(""),
            user.test(settings_of(s3)),
        ):
            with pytest.raises(PermissionDenied):
                await attempt


async def test_e1_an_empty_secret_keeps_the_one_there_is_for_its_own_key_only(
    process: StorageProcess, admin: Admin, s3: S3Access
) -> None:
    # That of the environment is not copied: it stays where it is.
    await admin.update(settings_of(s3, secret_access_key="", cdn_url=CDN))
    assert (await admin.get()).settings.secret_set
    assert process.rows("SELECT sealed_secret FROM s3_settings") == [(None,)]
    with pytest.raises(InvalidArgument) as caught:
        await admin.update(settings_of(s3, secret_access_key="", access_key_id="another"))
    assert caught.value.field == "secret_access_key"
    await admin.update(settings_of(s3, secret_access_key="its-secret", access_key_id="another"))
    kept = await admin.update(settings_of(s3, secret_access_key="", access_key_id="another"))
    assert kept.secret_set
    assert process.rows("SELECT sealed_secret IS NULL FROM s3_settings") == [(False,)]
    assert "InvalidAccessKeyId" in (await admin.test())["list"].detail
    chain = await admin.update(settings_of(s3, secret_access_key="", access_key_id=""))
    assert not chain.secret_set


async def test_e1_without_a_key_a_secret_is_not_stored_but_the_rest_can_be_edited(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    process = make_storage(s3)
    async with admin_of(process) as admin:
        with pytest.raises(FailedPrecondition, match="REELGATE_STORAGE_ENCRYPTION_KEYS") as caught:
            await admin.update(settings_of(s3, secret_access_key="new"))
        assert caught.value.reason == "NO_ENCRYPTION_KEYS"
        await admin.update(settings_of(s3, secret_access_key="", cdn_url=CDN))
        assert (await admin.get()).settings.cdn_url == CDN


async def test_keys_are_rotated_by_adding_one_and_a_secret_that_can_not_be_opened_switches_s3_off(
    make_storage: MakeStorage, s3: S3Access
) -> None:
    without = {"S3_ACCESS_KEY_ID": "", "S3_SECRET_ACCESS_KEY": "", "S3_ENABLED": "false"}

    def restarted(before: StorageProcess | None, keys: str) -> StorageProcess:
        if before is not None:
            assert before.stop() == 0
        return make_storage(s3, **without, REELGATE_STORAGE_ENCRYPTION_KEYS=keys)

    process = restarted(None, KEY_ONE)
    async with admin_of(process) as admin:
        await admin.update(settings_of(s3))
    process = restarted(process, f"{KEY_TWO},{KEY_ONE}")
    async with admin_of(process) as admin, process.client() as client:
        assert (await status(client)).s3_healthy
        await admin.update(settings_of(s3, secret_access_key=""))  # is sealed anew
    process = restarted(process, KEY_TWO)
    async with process.client() as client:
        assert (await status(client)).s3_healthy
    process = restarted(process, KEY_ONE)
    async with admin_of(process) as admin, process.client() as client:
        assert not (await status(client)).s3_enabled
        answer = await admin.get()
        assert "REELGATE_STORAGE_ENCRYPTION_KEYS" in answer.warnings[0]
        assert "s3_settings_warning" in process.log.read_text()
        with pytest.raises(InvalidArgument) as caught:
            await admin.update(settings_of(s3, secret_access_key=""))
        assert caught.value.field == "secret_access_key"
        await admin.update(settings_of(s3))
        assert (await status(client)).s3_healthy


async def test_a_secret_from_another_place_is_refused_and_the_process_lives(
    process: StorageProcess, admin: Admin, s3: S3Access, source: Source
) -> None:
    await admin.update(settings_of(s3))
    foreign = KeyRing(KEY_ONE).seal(
        s3.secret_access_key.encode(), table="accounts", row="1", column="credential"
    )
    async with process.client() as client:
        with psycopg.connect(process.database, autocommit=True) as connection:
            connection.execute("UPDATE s3_settings SET sealed_secret = %s", (foreign,))
        await in_force_within_5_s(client, lambda origins: origins == [])
        assert (await admin.get()).warnings
        kept = await client.ingest(source.serve(video(1000)))
        assert kept.tier == storage_pb2.TIER_LOCAL


async def test_e1_a_transfer_under_way_survives_a_change(
    process: StorageProcess, admin: Admin, s3: S3Access, source: Source
) -> None:
    body = video(30 * MIB)
    url = source.serve(body, pause_at=11 * MIB)
    async with process.client() as client:
        with closing(Bucket(s3, process.prefix)) as bucket:
            work = asyncio.create_task(client.ingest(url))
            await eventually(lambda: bool(bucket.uploads()))
            for number in range(3):
                await admin.update(settings_of(s3, cdn_url=f"{CDN}/{number}"))
            source.script(url).go_on.set()
            kept = await work
            assert kept.tier == storage_pb2.TIER_S3
            assert len(bucket.stored()) == 1
        assert (await client.read(kept.id))[1] == body
        later = await client.ingest(source.serve(video(500)))
        assert (await client.read(later.id))[1] == video(500)


async def test_e1_a_transfer_under_way_is_not_lost_in_a_bucket_that_is_left(
    process: StorageProcess, admin: Admin, s3: S3Access, source: Source
) -> None:
    body = video(30 * MIB)
    url = source.serve(body, pause_at=11 * MIB)
    with (
        closing(Bucket(s3, process.prefix)) as bucket,
        closing(OwnBucket(s3, f"next-{uuid4().hex}")) as other,
    ):
        async with process.client() as client:
            work = asyncio.create_task(client.ingest(url))
            await eventually(lambda: bool(bucket.uploads()))
            await admin.update(settings_of(s3, bucket=other.name))
            source.script(url).go_on.set()
            kept = await work
            assert (await client.read(kept.id))[1] == body
            assert bucket.stored() == []


async def test_e1_switched_on_but_incomplete_is_not_available_and_says_so(
    process: StorageProcess, admin: Admin, s3: S3Access
) -> None:
    await admin.update(settings_of(s3, bucket=""))
    async with process.client() as client:
        answer = await status(client)
        assert (answer.s3_enabled, answer.s3_healthy) == (False, False)
    assert "bucket" in (await admin.get()).warnings[0]
    assert "it has no bucket" in process.log.read_text()
    steps = await admin.test()
    assert not steps["connect"].ok
    assert "bucket" in steps["connect"].cure


async def test_e1_works_are_not_left_behind_by_accident(
    process: StorageProcess, admin: Admin, s3: S3Access, source: Source
) -> None:
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(1000)))
        elsewhere = settings_of(s3, bucket="elsewhere-empty")
        with pytest.raises(FailedPrecondition) as caught:
            await admin.update(elsewhere)
        assert caught.value.reason == "OBJECTS_LEFT_BEHIND"
        assert (await admin.get()).origin == ENVIRONMENT
        updated = await admin.update(elsewhere, leave=True)
        with pytest.raises(ReelgateError):
            await client.read(kept.id)
        assert "S3 did not work" in (await admin.get()).warnings[0]
        # Back to where they are: they are found there.
        await admin.reset(updated.etag)
        assert (await client.read(kept.id))[1] == video(1000)
        # Another prefix or key of the same bucket leaves nothing behind.
        await admin.update(settings_of(s3))
        assert (await client.read(kept.id))[1] == video(1000)
        await admin.update(settings_of(s3, enabled=False))
        assert "can not be read" in (await admin.get()).warnings[0]


async def test_e1_with_proxy_delivery_no_link_leads_to_the_bucket(
    process: StorageProcess, admin: Admin, s3: S3Access, source: Source
) -> None:
    async with process.client() as client:
        kept = await client.ingest(source.serve(video(1000)))
        request = storage_pb2.ResolveUrlsRequest(object_ids=[kept.id])
        for delivery in (settings_pb2.DELIVERY_REDIRECT, settings_pb2.DELIVERY_PROXY):
            await admin.update(settings_of(s3, delivery=delivery, cdn_url=CDN))
            [url] = (await client.stub.ResolveUrls(request, metadata=client.user())).urls
            redirected = delivery == settings_pb2.DELIVERY_REDIRECT
            assert url.url.startswith(f"{CDN}/{process.prefix}" if redirected else "")
            assert bool(url.url) == redirected
            assert bool((await status(client)).link_origins) == redirected
            assert (await client.read(kept.id))[1] == video(1000)


async def test_e3_what_the_server_can_do_is_found_out_by_itself_and_by_a_trial(
    process: StorageProcess, admin: Admin, s3: S3Access
) -> None:
    begin = time.monotonic()
    while not (answer := await admin.get()).HasField("capabilities"):
        assert time.monotonic() - begin < 15
        await asyncio.sleep(0.2)
    assert answer.capabilities.listing
    assert answer.capabilities.checksums
    steps = await admin.test()
    assert all(step.ok for step in steps.values())
    again = (await admin.get()).capabilities
    assert again.try_time.ToDatetime() > answer.capabilities.try_time.ToDatetime()


async def test_e12_the_values_of_the_form_are_tried_not_those_in_force(
    shared: Admin, s3: S3Access
) -> None:
    wrong = await shared.test(settings_of(s3, secret_access_key="wrong"), connect_only=True)
    assert [(step.name, step.ok) for step in wrong.values()] == [("connect", True), ("list", False)]
    assert "wrong" not in MessageToJson(wrong["list"]).replace("wrong secret", "")
    stored = await shared.test(settings_of(s3, secret_access_key=""), connect_only=True)
    assert [(step.name, step.ok) for step in stored.values()] == [("connect", True), ("list", True)]
    assert wrong["list"].duration.ToNanoseconds() > 0
    assert (await shared.get()).origin == ENVIRONMENT


async def test_e12_a_private_address_in_the_form_is_not_reached_unless_it_is_allowed(
    shared: Admin, make_storage: MakeStorage, s3: S3Access
) -> None:
    port = s3.endpoint.rpartition(":")[2]
    by_name = settings_of(s3, endpoint=f"http://localhost:{port}")
    [step] = (await shared.test(by_name)).values()
    assert (step.name, step.ok) == ("connect", False)
    assert "REELGATE_EGRESS_PRIVATE_ORIGINS" in step.cure
    allowed = make_storage(
        s3,
        REELGATE_STORAGE_ENCRYPTION_KEYS=KEY_ONE,
        REELGATE_EGRESS_PRIVATE_ORIGINS=f"http://localhost:{port}",
    )
    async with admin_of(allowed) as other:
        assert all(step.ok for step in (await other.test(by_name)).values())


@pytest.mark.parametrize("size", [1000, 12 * MIB])
async def test_e3_a_server_that_refuses_checksums_is_used_without_them(
    make_storage: MakeStorage, source: Source, size: int
) -> None:
    async with FakeS3(takes_checksums=False).running() as fake:
        access = S3Access(fake.url, "works", "id", "secret")
        process = await asyncio.to_thread(make_storage, access)
        async with process.client() as client, admin_of(process) as admin:
            begin = time.monotonic()
            while not (answer := await admin.get()).HasField("capabilities"):
                assert time.monotonic() - begin < 15
                await asyncio.sleep(0.2)
            assert not answer.capabilities.checksums
            kept = await client.ingest(source.serve(video(size)))
            assert kept.tier == storage_pb2.TIER_S3
            assert video(size) in fake.objects.values()


async def test_e12_a_caller_who_leaves_ends_the_trial_and_nothing_stays(
    shared: Admin, s3: S3Access
) -> None:
    settings = settings_of(s3)
    with closing(Bucket(s3, settings.prefix)) as bucket:
        for seen in (1, 3, 4):
            request = settings_pb2.TestS3SettingsRequest(settings=settings)
            with rpc_errors():
                call = shared.stub.TestS3Settings(request, metadata=shared.metadata)
                for _ in range(seen):
                    await call.read()
            call.cancel()
            await asyncio.sleep(0.1)
        await eventually(
            lambda: not (bucket.stored(TRIALS) or bucket.uploads(TRIALS)), within_seconds=5
        )
