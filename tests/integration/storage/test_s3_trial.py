"""E3, E12: a trial of S3 settings names what is wrong and its cure, and leaves nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from deploy.local import ports
from services.kernel.egress import Egress, Policy, origin_of
from services.storage.s3.capabilities import Checksums
from services.storage.s3.target import Delivery, S3Target
from services.storage.trial.trial import Step, Trial
from tests.conftest import S3Access
from tests.integration.storage.fake_s3 import FakeS3
from tests.integration.storage.own_bucket import OwnBucket

PAGES = "https://reelgate.example.com"
ALL = ["connect", "list", "upload", "multipart", "checksum", "link", "cors", "delete", "clean_up"]


@asynccontextmanager
async def trial_of(target: S3Target, **how: Any) -> AsyncIterator[Trial]:
    origins = {origin_of(url) for url in (target.endpoint, target.cdn_url) if url}
    async with Egress(Policy(private=frozenset(origins), ports=None)) as egress:
        yield Trial(target, egress, **{"page_origin": PAGES, **how})


async def tried(target: S3Target, **how: Any) -> dict[str, Step]:
    async with trial_of(target, **how) as trial:
        return {step.name: step async for step in trial.steps()}


def target_on(s3: S3Access, *, bucket: str = "", secret: str = "") -> S3Target:
    return replace(
        target_at(s3.endpoint),
        region=s3.region,
        bucket=bucket or s3.bucket,
        access_key_id=s3.access_key_id,
        secret_access_key=secret or s3.secret_access_key,
        prefix=f"{uuid4().hex}/",
    )


def target_at(url: str) -> S3Target:
    return S3Target(
        url, "", "us-east-1", "works", "id", "secret", "media/", path_style=True, cdn_url="", private=True
    )  # fmt: skip


@pytest.fixture
async def fake() -> AsyncIterator[FakeS3]:
    async with FakeS3().running() as fake:
        yield fake


def target_in(own: OwnBucket) -> S3Target:
    return target_on(own.access, bucket=own.name)


@pytest.fixture
def own(s3: S3Access) -> Iterator[OwnBucket]:
    name = f"trial-{uuid4().hex}"
    with closing(OwnBucket(s3, name)) as own:
        yield own


async def test_e12_with_good_settings_every_step_ticks_and_nothing_is_left(own: OwnBucket) -> None:
    own.allow(PAGES, "GET", "HEAD", "PUT")
    async with trial_of(target_in(own)) as trial:
        steps = [step async for step in trial.steps()]
    assert [step.name for step in steps] == ALL
    assert [(step.name, step.cure) for step in steps if not step.ok or step.cure] == []
    assert trial.capabilities is not None
    assert trial.capabilities.listing
    assert trial.capabilities.checksums is Checksums.VERIFIED
    assert own.left() == []


async def test_e12_the_picture_can_be_kept_and_is_a_jpeg_of_800_by_600(own: OwnBucket) -> None:
    target = target_in(own)
    steps = await tried(target, keep_picture=True)
    assert "delete" not in steps
    [key] = own.left()
    assert key.startswith(f"{target.prefix}.trial/")
    assert key in steps["link"].detail
    body = own.client.get_object(Bucket=own.name, Key=key)["Body"].read()
    assert body[:2] == b"\xff\xd8"
    assert (600).to_bytes(2) + (800).to_bytes(2) in body


async def test_e12_a_wrong_secret_is_named(s3: S3Access) -> None:
    steps = await tried(target_on(s3, secret="wrong"))
    assert list(steps) == ["connect", "list"]
    assert not steps["list"].ok
    assert "SignatureDoesNotMatch" in steps["list"].detail
    assert "enter it again" in steps["list"].cure


async def test_e12_an_unknown_access_key_is_named(s3: S3Access) -> None:
    steps = await tried(replace(target_on(s3), access_key_id="nobody"))
    assert list(steps) == ["connect", "list"]
    assert "InvalidAccessKeyId" in steps["list"].detail
    assert "access key id" in steps["list"].cure


async def test_e12_a_missing_bucket_is_named(s3: S3Access) -> None:
    steps = await tried(target_on(s3, bucket="not-there"))
    assert list(steps) == ["connect", "list"]
    assert not steps["list"].ok
    assert "not-there" in steps["list"].detail
    assert "Create the bucket" in steps["list"].cure


async def test_e12_a_stopped_server_is_named() -> None:
    steps = await tried(target_at(f"http://127.0.0.1:{ports.choose()}"))
    [step] = steps.values()
    assert (step.name, step.ok) == ("connect", False)
    assert "Nothing accepts connections" in step.detail
    assert "Start the server" in step.cure


async def test_e12_a_name_that_does_not_exist_is_named() -> None:
    steps = await tried(target_at("https://nowhere.invalid"))
    [step] = steps.values()
    assert "could not be resolved" in step.detail
    assert "spelling" in step.cure


async def test_e12_a_private_address_that_nobody_allowed_is_named() -> None:
    target = replace(target_at("http://127.0.0.1:9000"), private=False)
    async with Egress(Policy(ports=None)) as egress:
        steps = [step async for step in Trial(target, egress, page_origin="").steps()]
    assert [(step.name, step.ok) for step in steps] == [("connect", False)]
    assert "private" in steps[0].detail
    assert "REELGATE_EGRESS_PRIVATE_ORIGINS" in steps[0].cure


async def test_e12_plain_http_where_tls_is_expected_is_named(fake: FakeS3) -> None:
    steps = await tried(target_at(fake.url.replace("http://", "https://")))
    [step] = steps.values()
    assert not step.ok
    assert "TLS" in step.detail
    assert "http://" in step.cure


async def test_e12_missing_cors_is_named_with_the_rule_to_set(own: OwnBucket) -> None:
    own.allow("https://elsewhere.example.com", "GET")
    steps = await tried(target_in(own))
    assert not steps["cors"].ok
    assert PAGES in steps["cors"].detail
    rule = json.loads(steps["cors"].cure.partition(": ")[2])
    assert rule[0]["AllowedOrigins"] == [PAGES]
    assert "PUT" in rule[0]["AllowedMethods"]
    assert [step.name for step in steps.values() if not step.ok] == ["cors"]
    assert own.left() == []
    own.allow(PAGES, "GET")
    cors = (await tried(target_in(own)))["cors"]
    assert cors.ok
    assert "not upload" in cors.detail
    assert cors.cure


@pytest.mark.parametrize(
    ("status", "seen", "cure"),
    [
        (403, "does not let readers in", "public access"),
        (404, "does not find the picture", "this very bucket"),
        (500, "does not give the picture", "log of the CDN"),
    ],
)
async def test_e12_a_public_url_that_refuses_is_named(
    own: OwnBucket, fake: FakeS3, status: int, seen: str, cure: str
) -> None:
    fake.refusals["get"] = (status, "")
    steps = await tried(replace(target_in(own), cdn_url=f"{fake.url}/cdn"))
    assert "cors" not in steps
    assert not steps["link"].ok
    assert seen in steps["link"].detail
    assert cure in steps["link"].cure
    assert steps["delete"].ok
    assert own.left() == []


async def test_e12_a_public_url_that_gives_something_else_is_named(
    own: OwnBucket, fake: FakeS3
) -> None:
    fake.refusals["get"] = (200, "")
    steps = await tried(replace(target_in(own), cdn_url=f"{fake.url}/cdn"))
    assert not steps["link"].ok
    assert "not the picture" in steps["link"].detail


async def test_e7_where_bytes_are_passed_on_no_link_and_no_cors_rule_is_asked_for(
    own: OwnBucket,
) -> None:
    own.allow("https://elsewhere.example.com", "GET")
    steps = await tried(replace(target_in(own), delivery=Delivery.PROXY))
    assert list(steps) == ALL
    assert all(step.ok for step in steps.values())


@pytest.mark.parametrize(
    ("operation", "status", "code", "step", "seen", "cure"),
    [
        ("list", 403, "RequestTimeTooSkewed", "list", "clock", "NTP"),
        ("list", 400, "AuthorizationHeaderMalformed", "list", "eu-west-3", "region to eu-west-3"),
        ("list", 301, "PermanentRedirect", "list", "eu-west-3", "region to eu-west-3"),
        ("list", 200, "", "list", "does not speak S3", "console"),
        ("list", 503, "SlowDown", "list", "can not do it now", "again"),
        ("put", 403, "AccessDenied", "upload", "may not store objects", "s3:PutObject on works/"),
        ("put", 507, "InsufficientStorage", "upload", "out of space", "Make room"),
        ("put", 409, "Conundrum", "upload", "Conundrum", "documentation"),
        ("create", 501, "NotImplemented", "multipart", "in parts", "multipart uploads"),
        ("part", 403, "AccessDenied", "multipart", "in parts", "s3:PutObject"),
        ("complete", 200, "InternalError", "multipart", "now", "again"),
        ("delete", 403, "AccessDenied", "delete", "may not delete", "s3:DeleteObject"),
    ],
)
async def test_e12_what_a_server_refuses_is_named_with_its_cure(
    fake: FakeS3, operation: str, status: int, code: str, step: str, seen: str, cure: str
) -> None:
    fake.refusals[operation] = (status, code)
    fake.region = "eu-west-3"
    steps = await tried(target_at(fake.url))
    assert not steps[step].ok
    assert seen in steps[step].detail
    assert cure in steps[step].cure
    assert "secret" not in repr(steps)
    if operation == "delete":
        assert not steps["clean_up"].ok
        assert all(key in steps["clean_up"].detail for key in fake.objects)
    else:
        assert not fake.objects
        assert not fake.parts


async def test_e3_a_listing_that_is_denied_is_a_warning(fake: FakeS3) -> None:
    fake.refusals["list"] = (403, "AccessDenied")
    async with trial_of(target_at(fake.url)) as trial:
        steps = {step.name: step async for step in trial.steps()}
    assert all(step.ok for step in steps.values())
    assert "s3:ListBucket" in steps["list"].cure
    assert trial.capabilities is not None
    assert not trial.capabilities.listing


async def test_e12_a_clock_that_is_wrong_is_a_warning_before_anything_is_refused(
    fake: FakeS3,
) -> None:
    fake.date = "Mon, 01 Jan 2024 00:00:00 GMT"
    steps = await tried(target_at(fake.url))
    assert steps["connect"].ok
    assert "clock" in steps["connect"].cure


async def test_e3_a_server_that_compares_no_checksums_is_a_warning(fake: FakeS3) -> None:
    fake.compares_checksums = False
    async with trial_of(target_at(fake.url)) as trial:
        steps = {step.name: step async for step in trial.steps()}
    assert steps["checksum"].ok
    assert "https" in steps["checksum"].cure
    assert trial.capabilities is not None
    assert trial.capabilities.checksums is Checksums.IGNORED
    assert not fake.objects
    assert not fake.parts


async def test_e3_a_server_that_refuses_checksums_can_be_used_without(fake: FakeS3) -> None:
    fake.takes_checksums = False
    async with trial_of(target_at(fake.url)) as trial:
        steps = {step.name: step async for step in trial.steps()}
    assert all(step.ok for step in steps.values())
    assert trial.capabilities is not None
    assert trial.capabilities.checksums is Checksums.REFUSED
    assert not fake.objects
    assert not fake.parts


async def test_e12_a_trial_that_nobody_waits_for_cleans_up(own: OwnBucket) -> None:
    for seen in range(1, len(ALL)):
        async with trial_of(target_in(own)) as trial, aclosing(trial.steps()) as steps:
            for _ in range(seen):
                await anext(steps)
        assert own.left() == []


async def test_e12_a_picture_that_was_to_stay_goes_when_its_listener_left_at_the_last_moment(
    own: OwnBucket,
) -> None:
    async with (
        trial_of(target_in(own), keep_picture=True) as trial,
        aclosing(trial.steps()) as steps,
    ):
        async for step in steps:
            if step.name == "cors":
                await asyncio.sleep(0.5)  # the trial is over, and only its end is still to be told
                break
    assert own.left() == []


async def test_e12_a_trial_that_is_cancelled_cleans_up(own: OwnBucket) -> None:
    for number in range(12):
        async with trial_of(target_in(own), keep_picture=True) as trial:

            async def listen(trial: Trial = trial) -> None:
                async with aclosing(trial.steps()) as steps:
                    async for _ in steps:
                        pass

            task = asyncio.create_task(listen())
            await asyncio.sleep(0.02 + number / 40)
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():  # else it was quicker than we, and the picture is to stay
            assert own.left() == []
