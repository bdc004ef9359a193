"""A real storage process with its client, and a source of bytes that can misbehave in every way."""

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import grpc
import psycopg
from google.protobuf.timestamp_pb2 import Timestamp

from deploy.local import ports
from reelgate.common.v1 import media_pb2, run_pb2
from reelgate.storage.v1 import storage_pb2, storage_pb2_grpc
from services.kernel.grpc_client import make_channel
from services.kernel.status import rpc_errors
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from tests.conftest import S3Access

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024
_CREATED = 1_750_000_000


def video(size: int, seed: int = 0) -> bytes:
    """Bytes that begin like an MP4."""
    head = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"
    return (head + random.Random(seed).randbytes(max(0, size - len(head))))[:size]


def picture(size: int, seed: int = 0) -> bytes:
    """Bytes that begin like a PNG."""
    return (b"\x89PNG\r\n\x1a\n" + random.Random(seed).randbytes(size))[:size]


class Keys:
    """Who may sign tokens."""

    def __init__(self, directory: Path) -> None:
        pem = generate_signing_key()
        self.jwks_file = directory / "jwks.json"
        self.jwks_file.write_text(json.dumps(public_jwks(pem)))
        self._signer = Signer(pem)

    def token(self, owner: UUID, *, role: str = "user", actor: str = "") -> str:
        return self._signer.sign(
            str(owner), audience=["storage"], lifetime_seconds=300, role=role, actor=actor
        )


class StorageProcess:
    """`python -m services.storage` on free ports."""

    def __init__(
        self, directory: Path, database: str, keys: Keys, s3: S3Access | None, **extra: str
    ) -> None:
        chosen = {ports.choose()}
        chosen.add(ports.choose(chosen))
        self.port, self.admin_port = chosen
        self.keys = keys
        self.database = database
        self.local_dir = directory / "local"
        self.log = directory / "storage.log"
        self.s3 = s3
        self.before: tuple[str, ...] = ()
        """A command that runs the service."""
        self._process: subprocess.Popen[bytes] | None = None
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
            "REELGATE_STORAGE_LISTEN": f"127.0.0.1:{self.port}",
            "REELGATE_STORAGE_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "REELGATE_STORAGE_DATABASE_URL": database,
            "REELGATE_STORAGE_LOCAL_DIR": str(self.local_dir),
            "REELGATE_STORAGE_LOCAL_MIN_FREE_BYTES": "0",
            # The smallest, so that bodies need not be large to have several.
            "REELGATE_STORAGE_PART_BYTES": str(5 * MIB),
            "REELGATE_STORAGE_DRAIN_SECONDS": "1",
            "REELGATE_STORAGE_TRANSFER_LEASE_SECONDS": "4",
            "REELGATE_JWKS_FILE": str(keys.jwks_file),
        }
        if s3 is not None:
            environment |= {
                "S3_ENDPOINT": s3.endpoint,
                "S3_REGION": s3.region,
                "S3_BUCKET_NAME": s3.bucket,
                "S3_ACCESS_KEY_ID": s3.access_key_id,
                "S3_SECRET_ACCESS_KEY": s3.secret_access_key,
                "S3_PREFIX": f"{uuid4().hex}/",
            }
        self.environment = environment | extra

    @property
    def prefix(self) -> str:
        return self.environment.get("S3_PREFIX", "")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.before, sys.executable, "-m", "services.storage"],
                env=self.environment,
                cwd=self.log.parent,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 90
        while not self._ready():
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            address = f"http://127.0.0.1:{self.admin_port}/readyz"
            with urllib.request.urlopen(address, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self) -> str:
        address = f"http://127.0.0.1:{self.admin_port}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process; gives its exit code."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end of the process; gives its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def rss(self, which: str = "VmRSS") -> int:
        """Resident memory in bytes, or its peak (VmHWM)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(which):
                return int(line.split()[1]) * 1024
        raise AssertionError(which)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    @asynccontextmanager
    async def client(self, owner: UUID | None = None) -> AsyncIterator["Client"]:
        """A client that calls as the gateway, for `owner`."""
        async with make_channel(f"127.0.0.1:{self.port}") as channel:
            yield Client(self, channel, owner or uuid4())


class Client:
    """Calls as the gateway for one owner, unless a call is told otherwise."""

    def __init__(self, process: StorageProcess, channel: grpc.aio.Channel, owner: UUID) -> None:
        self.process = process
        self.owner = owner
        self.channel = channel
        self.stub: storage_pb2_grpc.StorageServiceAsyncStub = storage_pb2_grpc.StorageServiceStub(
            channel
        )

    def of(self, owner: UUID) -> "Client":
        """One for another owner over the same channel."""
        return Client(self.process, self.channel, owner)

    def gateway(self) -> Any:
        return self.metadata(self.process.keys.token(self.owner, actor="gateway"))

    def user(self, owner: UUID | None = None, role: str = "user") -> Any:
        return self.metadata(self.process.keys.token(owner or self.owner, role=role))

    @staticmethod
    def metadata(token: str) -> Any:
        return (("authorization", f"Bearer {token}"),)

    def request(
        self,
        url: str,
        *,
        run: run_pb2.Run | None = None,
        index: int = 0,
        media: media_pb2.MediaType.ValueType = media_pb2.MEDIA_TYPE_VIDEO,
        max_size_bytes: int = 0,
        trusted: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> storage_pb2.IngestRequest:
        origin = "/".join(url.split("/")[:3]) if trusted else ""
        return storage_pb2.IngestRequest(
            run=run or new_run(),
            index=index,
            owner_id=str(self.owner),
            media_type=media,
            source=storage_pb2.Source(url=url, trusted_origin=origin, headers=headers or {}),
            generation_create_time=Timestamp(seconds=_CREATED),
            max_size_bytes=max_size_bytes,
        )

    async def ingest(self, url: str, **options: Any) -> storage_pb2.StoredObject:
        """The object; raises the ReelgateError."""
        return (await self.watch(self.request(url, **options)))[-1].object

    async def watch(self, request: storage_pb2.IngestRequest) -> list[storage_pb2.IngestResponse]:
        with rpc_errors():
            call = self.stub.Ingest(request, metadata=self.gateway(), wait_for_ready=True)
            return [message async for message in call]

    async def upload(
        self,
        body: bytes,
        *,
        run: run_pb2.Run | None = None,
        commit: storage_pb2.UploadCommit | None = None,
        committed: bool = True,
        media: media_pb2.MediaType.ValueType = media_pb2.MEDIA_TYPE_VIDEO,
        metadata: Any = None,
        chunk_bytes: int = 256 * 1024,
        between: Callable[[int], Awaitable[None]] | None = None,
        base64_text: bytes | None = None,
    ) -> storage_pb2.StoredObject:
        """`base64_text`: sent instead of the body, which it should spell."""
        sent = body if base64_text is None else base64_text

        async def messages() -> AsyncIterator[storage_pb2.UploadRequest]:
            header = storage_pb2.UploadHeader(
                chunk_encoding=storage_pb2.CHUNK_ENCODING_UNSPECIFIED
                if base64_text is None
                else storage_pb2.CHUNK_ENCODING_BASE64,
                run=run,
                owner_id=str(self.owner),
                media_type=media,
                generation_create_time=Timestamp(seconds=_CREATED),
            )
            yield storage_pb2.UploadRequest(header=header)
            for start in range(0, len(sent), chunk_bytes):
                if between is not None:
                    await between(start)
                yield storage_pb2.UploadRequest(chunk=sent[start : start + chunk_bytes])
            if committed:
                digest = hashlib.sha256(body).digest()
                done = commit or storage_pb2.UploadCommit(size_bytes=len(body), sha256=digest)
                yield storage_pb2.UploadRequest(commit=done)

        with rpc_errors():
            answer = await self.stub.Upload(messages(), metadata=metadata or self.gateway())
            return answer.object

    async def read(
        self, object_id: str, offset: int = 0, length: int = 0, metadata: Any = None
    ) -> tuple[storage_pb2.DownloadHeader, bytes]:
        request = storage_pb2.DownloadRequest(
            object_id=object_id, range=media_pb2.ByteRange(offset=offset, length=length)
        )
        with rpc_errors():
            call = self.stub.Download(request, metadata=metadata or self.gateway())
            messages = [message async for message in call]
        assert all(len(message.chunk) <= 256 * 1024 for message in messages)
        return messages[0].header, b"".join(message.chunk for message in messages[1:])

    async def tombstone(self, run: run_pb2.Run) -> int:
        with rpc_errors():
            request = storage_pb2.TombstoneRequest(run=run, owner_id=str(self.owner))
            return (await self.stub.Tombstone(request, metadata=self.gateway())).deleted_count


def new_run(lease_token: int = 1) -> run_pb2.Run:
    """A run of a new generation."""
    return run_pb2.Run(generation_id=str(uuid4()), number=0, lease_token=lease_token)


def later(run: run_pb2.Run, lease_token: int) -> run_pb2.Run:
    """The same run under another lease."""
    return run_pb2.Run(generation_id=run.generation_id, number=run.number, lease_token=lease_token)


@dataclass
class Script:
    """How the source answers one path. `promised` None: as long as the body is; `cut` ends the connection there."""

    body: bytes
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    promised: int | None = None
    framing: str = "length"  # or "chunked", or "none"
    cut: int | None = None
    pause_at: int | None = None
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    endless: bool = False
    bytes_per_write: int = 256 * 1024
    seconds_per_write: float = 0


class Source:
    """A small HTTP server whose answers are scripts."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.seen: list[str] = []
        self.heads: list[str] = []
        self.url = ""

    def serve(self, body: bytes, **how: Any) -> str:
        """Gives the URL under which the body is had."""
        path = f"/{len(self.scripts)}.mp4"
        self.scripts[path] = Script(body, **how)
        return self.url + path

    def script(self, url: str) -> Script:
        return self.scripts[url.removeprefix(self.url)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            for script in self.scripts.values():
                script.go_on.set()
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split()[1]
            self.seen.append(path)
            await self._play(self.scripts[path], writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _play(self, script: Script, writer: asyncio.StreamWriter) -> None:
        promised = len(script.body) if script.promised is None else script.promised
        framing = {
            "length": f"Content-Length: {promised}\r\n",
            "chunked": "Transfer-Encoding: chunked\r\n",
            "none": "",
        }[script.framing]
        extra = "".join(f"{line}\r\n" for line in script.headers)
        writer.write(
            f"HTTP/1.1 {script.status}\r\n{framing}{extra}Connection: close\r\n\r\n".encode()
        )
        end = len(script.body) if script.cut is None else script.cut
        sent = 0
        while sent < end or script.endless:
            if script.pause_at is not None and sent >= script.pause_at:
                await writer.drain()
                await script.go_on.wait()
                script.pause_at = None
            piece = script.body[sent : min(end, sent + script.bytes_per_write)] or bytes(65536)
            sent += len(piece)
            if script.framing == "chunked":
                piece = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
            writer.write(piece)
            await writer.drain()
            if script.seconds_per_write:
                await asyncio.sleep(script.seconds_per_write)
        if script.framing == "chunked" and script.cut is None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def eventually(what: Callable[[], bool], within_seconds: float = 10) -> None:
    """Returns when it is so."""
    deadline = time.monotonic() + within_seconds
    while not await asyncio.to_thread(what):
        assert time.monotonic() < deadline, "it did not become so"
        await asyncio.sleep(0.05)
