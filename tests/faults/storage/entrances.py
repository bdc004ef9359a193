"""Every way by which an address gets into the product, each tried with one that leads where it must not."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import uuid4

from reelgate.storage.v1 import settings_pb2, settings_pb2_grpc
from services.gateway.delivery import UpstreamReader
from services.gateway.providers.openai_videos import OpenAIVideos
from services.gateway.providers.port import Account
from services.kernel.egress import Egress
from services.kernel.errors import ReelgateError
from services.kernel.status import rpc_errors
from services.storage.objects import SourceLink
from services.storage.sources.download import Patience
from services.storage.sources.url import Downloads
from tests.contents import read
from tests.faults.storage.canary import Canary
from tests.faults.storage.hostile import redirecting
from tests.faults.storage.spellings import Speller
from tests.faults.storage.wire import Wire
from tests.integration.storage.harness import Client

PUBLIC: Final = "127.0.0.2"
"""Stands in for a public address, in this process only."""
_HEADERS: Final = (
    {"X-Forwarded-Host": "127.0.0.1"}, {"Forwarded": "host=localhost"}, {"Host": "127.0.0.1"}, {"host": "localhost"},
    {"X-Original-URL": "http://127.0.0.1/"}, {"Connection": "upgrade"}, {"Referer": "http://localhost/"},
    {"Location": "http://127.0.0.1/"}, {"X": "a\r\nHost: 127.0.0.1"}, {":authority": "127.0.0.1"},
)  # fmt: skip
_PATIENCE: Final = Patience(
    idle_seconds=5, total_seconds=10, min_bytes_per_second=0, window_seconds=10
)


class Entrances:
    """Each method makes one attempt and says what came of it."""

    def __init__(self, client: Client, wire: Wire, canary: Canary, speller: Speller) -> None:
        self._client = client
        self._wire = wire
        self._canary = canary
        self._speller = speller
        self._settings: settings_pb2_grpc.StorageSettingsServiceAsyncStub = (
            settings_pb2_grpc.StorageSettingsServiceStub(client.channel)
        )

    async def ingest(self, chance: random.Random) -> str:
        """The address of a source, and whatever else a request says about it."""
        url = self._speller.url(chance)
        headers = chance.choice(_HEADERS) if chance.random() < 0.3 else {}
        request = self._client.request(url, trusted=False, headers=headers)
        # Upstreams are at allowed origins; their answers name any address.
        request.source.trusted_origin = chance.choice(("", self._wire.url, "https://example.com"))
        return await _refused(self._client.watch(request))

    async def redirect(self, chance: random.Random) -> str:
        """An allowed source that sends somewhere else."""
        location = self._speller.url(chance)
        if chance.random() < 0.3:
            location = location.partition(":")[2]  # relative to the scheme
        status = chance.choice(("301 M", "302 F", "303 S", "307 T", "308 P"))
        url = self._wire.serve(redirecting(location, status), uuid4().hex)
        try:
            return await _refused(self._client.ingest(url))
        finally:
            self._wire.forget(url)

    async def flipping_name(self, chance: random.Random) -> str:
        """A name whose server answers each question anew, also behind a redirect and over kept connections."""
        name, port = f"flip{chance.randrange(2000)}.test", chance.choice(self._canary.ports)
        second = f"http://flip{chance.randrange(2000)}.test:{port}/there"
        path = chance.choice(("/", f"/?to={second}", f"/?to=http://127.0.0.1:{port}/"))
        link = SourceLink(f"http://{name}:{port}{path}", {}, "")
        try:
            async with Downloads(self.flipping, _PATIENCE).source(link).open() as body:
                got = await read(body.content)
        except ReelgateError as error:
            return error.reason
        assert got == b"public", got
        return "the public answer"

    flipping: Egress
    """Whose lookup flips between answers."""

    def answers(self, chance: random.Random) -> Sequence[str]:
        """What a hostile name server says."""
        inside = chance.choice(self._canary.addresses)
        others = ("::ffff:127.0.0.1", "64:ff9b::7f00:1", "::", "0.0.0.0", "169.254.169.254")
        return chance.choice(
            (
                [PUBLIC],
                [inside],
                [PUBLIC, inside],
                [inside, PUBLIC],
                [PUBLIC] * 3,
                [chance.choice(others)],
            )
        )

    async def settings(self, chance: random.Random) -> str:
        """What an administrator's form says about S3."""
        access = self._client.process.s3
        assert access is not None
        form = settings_pb2.S3Settings(
            enabled=True,
            endpoint=access.endpoint,
            region=access.region,
            bucket=access.bucket,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            prefix=f"ssrf-{uuid4().hex}/",
            force_path_style=chance.random() < 0.5,
        )
        field = chance.choice(("endpoint", "endpoint", "public_endpoint", "cdn_url"))
        hostile = self._speller.url(chance)
        redirected = field != "endpoint" and chance.random() < 0.3
        if redirected:
            form.force_path_style = True
            hostile = self._wire.url  # allowed, and everything there leads inside
        setattr(form, field, hostile)
        work = self._kept(form) if chance.random() < 0.3 else self._tried(form, field == "endpoint")
        try:
            return f"{field}: {await work}"
        except ReelgateError as error:
            assert error.reason != "INTERNAL", hostile
            return f"{field}: {error.reason}"

    async def _tried(self, form: settings_pb2.S3Settings, connect_only: bool) -> str:
        request = settings_pb2.TestS3SettingsRequest(settings=form, connect_only=connect_only)
        with rpc_errors():
            call = self._settings.TestS3Settings(request, metadata=self._client.user(role="admin"))
            steps = [message.step async for message in call]
        failed = [step.name for step in steps if not step.ok]
        assert failed, form
        return f"{failed[0]} failed"

    async def _kept(self, form: settings_pb2.S3Settings) -> str:
        """In force until they are reset: the process goes and looks there by itself."""
        admin = self._client.user(role="admin")
        request = settings_pb2.UpdateS3SettingsRequest(settings=form, leave_objects_behind=True)
        with rpc_errors():
            now = (await self._settings.UpdateS3Settings(request, metadata=admin)).settings
            again = settings_pb2.ResetS3SettingsRequest(etag=now.etag, leave_objects_behind=True)
            await self._settings.ResetS3Settings(again, metadata=admin)
        return "in force for a moment"

    async def upstream(self, chance: random.Random) -> str:
        """The address of a result, as an upstream says it, read by the gateway with the account's credential."""
        hostile = self._speller.url(chance)
        url = hostile
        if chance.random() < 0.5:
            url = self._wire.serve(redirecting(hostile), uuid4().hex)
        try:
            async with self._reader(url).open(uuid4(), _MEDIUM, 0, 0) as opened:
                raise AssertionError(f"{hostile} was read: {opened}")
        except ReelgateError as error:
            return error.reason
        finally:
            if url != hostile:
                self._wire.forget(url)

    gateway: Egress
    """As the gateway has it."""

    def _reader(self, url: str) -> UpstreamReader:
        account = Account("1", "upstream", "openai", self._wire.url, "credential", {}, {})
        generation = SimpleNamespace(
            id=_MEDIUM, storage_type="upstream", status="completed", expired=False
        )
        medium = SimpleNamespace(object_id=_MEDIUM, account_id="1", upstream_url=url)
        store = SimpleNamespace(
            by_medium=_giving(generation), media_of=_giving({_MEDIUM: [medium]})
        )
        accounts = SimpleNamespace(get=_giving(account))
        providers = {"openai": OpenAIVideos(self.gateway)}
        return UpstreamReader(cast("Any", store), cast("Any", accounts), providers, self.gateway)


_MEDIUM: Final = uuid4()


def _giving(value: object) -> Any:
    async def give(*_: object) -> object:
        return value

    return give


async def _refused(work: Any) -> str:
    try:
        got = await work
    except ReelgateError as error:
        assert error.reason in {"SOURCE_REFUSED", "SOURCE_FAILED", "INVALID_ARGUMENT"}, error
        kind = error.metadata.get("rule") or error.metadata.get("kind", "")
        return f"{error.reason} {kind}".strip()
    raise AssertionError(f"it was kept: {got}")
