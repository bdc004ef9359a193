"""A trial of S3 settings: all that Reelgate does with a bucket, done once, told step by step, nothing left behind."""

import asyncio
import os
import time
import zlib
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal
from uuid import uuid4

from services.kernel.egress import Egress
from services.storage.s3.capabilities import Capabilities, Checksums
from services.storage.s3.target import S3Target
from services.storage.trial.cors import look_at_cors
from services.storage.trial.cures import Action, Finding, Wrong, explain, refusal_of
from services.storage.trial.picture import make_picture
from services.storage.trial.requests import Answer, Fault, TrialRequests

_FIRST_PART_BYTES: Final = 5 * 1024 * 1024  # the smallest that S3 takes
_SKEW_SECONDS: Final = 120.0  # S3 refuses at 15 minutes
_CLEAN_UP_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 100.0
_NO_PERMISSION_YET: Final = frozenset({401, 403, 404})
_HEADERS: Final = {"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=60"}

Scope = Literal["connect", "abilities", "all"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trial. A `cure` beside `ok` makes it a warning."""

    name: str
    ok: bool
    detail: str
    cure: str
    seconds: float


class _Ended(Exception):
    """The rest depends on a step that failed, or nobody listens any more."""


class Trial:
    """One trial of one target. What was found out is in `capabilities` afterwards, if it got that far.

    `page_origin` is where browsers see Reelgate; "" where that is not known.
    """

    def __init__(
        self, target: S3Target, egress: Egress, *, page_origin: str, keep_picture: bool = False
    ) -> None:
        self.capabilities: Capabilities | None = None
        self._target = target
        self._s3 = TrialRequests(target, egress)
        self._page_origin = page_origin
        self._keep_picture = keep_picture
        self._picture_key = self._new_key()
        self._picture = b""
        self._link = ""
        self._listing = False
        self._checksums = Checksums.VERIFIED
        self._doing: Action = "connect"
        self._objects: set[str] = set()
        self._kept = ""  # the key of the picture that stays, as its listener is told
        self._uploads: dict[str, set[str]] = {}  # their ids by key
        self._told: asyncio.Queue[Step | None] = asyncio.Queue()
        self._stopped = False

    async def steps(self, scope: Scope = "all") -> AsyncGenerator[Step, None]:
        """The steps, each when it ended; once. Closing it early ends the trial and waits until it has cleaned up."""
        # Never cut off in the middle of a request: what that writes would be found by nobody.
        trial = asyncio.ensure_future(self._run(scope))
        try:
            while (step := await self._told.get()) is not None:
                yield step
            await trial
        except BaseException:
            self._stopped = True
            await asyncio.wait({asyncio.ensure_future(self._stop(trial))}, timeout=_STOP_SECONDS)
            raise

    async def _stop(self, trial: "asyncio.Future[None]") -> None:
        await asyncio.wait({trial})
        if self._kept:
            # It was over just then, and nobody heard of the picture.
            self._objects.add(self._kept)
            with suppress(Wrong):
                await self._clean_up()

    async def _run(self, scope: Scope) -> None:
        try:
            await self._all_steps(scope)
        except _Ended:
            pass
        finally:
            if self._keep_picture and not self._stopped and self._picture_key in self._objects:
                self._kept = self._picture_key
                self._objects.discard(self._kept)
            if self._objects or self._uploads:
                await self._step("clean_up", self._clean_up)
            self._told.put_nowait(None)

    async def _all_steps(self, scope: Scope) -> None:
        await self._needed("connect", self._connect)
        await self._needed("list", self._list)
        if scope == "connect":
            return
        if scope == "all":
            await self._needed("upload", self._upload)
        if await self._step("multipart", self._multipart) and await self._step(
            "checksum", self._checksum
        ):
            self.capabilities = Capabilities(self._listing, self._checksums)
        if scope == "all":
            if await self._step("link", self._read_link):
                await self._step("cors", self._cors)
            if not self._keep_picture:
                await self._step("delete", self._delete)

    async def _needed(self, name: str, work: Callable[[], Awaitable[Finding]]) -> None:
        if not await self._step(name, work):
            raise _Ended

    async def _step(self, name: str, work: Callable[[], Awaitable[Finding]]) -> bool:
        if self._stopped and name != "clean_up":
            raise _Ended
        begin = time.perf_counter()
        ok = False
        try:
            finding = await work()
            ok = True
        except Fault as fault:
            finding = explain(fault, self._doing, self._target)
        except Wrong as wrong:
            finding = wrong.finding
        seconds = time.perf_counter() - begin
        self._told.put_nowait(Step(name, ok, finding.detail, finding.cure, seconds))
        return ok

    async def _connect(self) -> Finding:
        self._doing = "connect"
        answer = await self._s3.knock()
        if abs(skew := answer.skew_seconds) > _SKEW_SECONDS:
            return Finding(
                f"{self._target.endpoint} answers, but our clock and its differ by {abs(skew):.0f} s.",
                "Set the clock of the machine that storage runs on, best by NTP: "
                "S3 refuses what is signed too early or too late.",
            )
        return Finding(f"{self._target.endpoint} answers.")

    async def _list(self) -> Finding:
        self._doing = "list"
        query = {"list-type": "2", "max-keys": "1", "prefix": self._target.prefix}
        answer = await self._s3.ask("GET", "", query)
        fault = answer.fault()
        if answer.status != 200 and refusal_of(fault) == "denied":
            finding = explain(fault, "list", self._target)
            return Finding(
                finding.detail,
                f"If it is to be swept for orphans, too: {finding.cure}",
            )
        answer.expect(200)
        if b"<ListBucketResult" not in answer.body:
            raise fault
        self._listing = True
        return Finding(f"The bucket {self._target.bucket} can be listed.")

    async def _upload(self) -> Finding:
        self._doing = "upload"
        self._picture, what = await asyncio.to_thread(make_picture)
        self._objects.add(self._picture_key)
        (await self._put(self._picture_key, self._picture, _HEADERS, {})).expect(200)
        detail = f"{what} ({len(self._picture)} bytes) was uploaded"
        if not self._listing:
            return Finding(f"{detail}.")
        self._doing = "list"
        query = {"list-type": "2", "prefix": self._picture_key}
        found = (await self._s3.ask("GET", "", query)).expect(200)
        if self._picture_key not in found.elements("Key"):
            return Finding(
                f"{detail}, but the listing does not show it.",
                "Look whether the listing lags behind: what was just stored is not swept for 24 hours.",
            )
        return Finding(f"{detail}, and the listing shows it.")

    async def _multipart(self) -> Finding:
        self._doing = "multipart"
        key = self._new_key()
        upload_id = await self._begin(key)
        self._objects.add(key)
        parts = (os.urandom(_FIRST_PART_BYTES), b"the last part may be small")
        listed = ""
        for number, part in enumerate(parts, start=1):
            query = {"partNumber": str(number), "uploadId": upload_id}
            sent = (await self._put(key, part, {}, query)).expect(200)
            sums = "" if self._no_sums else f"<ChecksumCRC32>{_crc32(part)}</ChecksumCRC32>"
            etag = sent.headers.get("etag", "").replace('"', "&quot;")
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{sums}</Part>"
        await self._complete(key, upload_id, listed)
        self._doing = "read"
        if (await self._s3.ask("GET", key)).expect(200).body != b"".join(parts):
            raise Wrong(
                Finding(
                    "The server put two parts together to something else than was uploaded.",
                    "Do not use this server: look whether a proxy changes what passes, else report it to its makers.",
                )
            )
        return Finding("Two parts were uploaded, put together and read back.")

    async def _begin(self, key: str) -> str:
        self._uploads[key] = set()
        named = {} if self._no_sums else {"x-amz-checksum-algorithm": "CRC32"}
        headers = {"Content-Type": "image/jpeg"}
        answer = await self._s3.ask("POST", key, {"uploads": ""}, {**headers, **named})
        if named and _perhaps_the_checksum(answer):
            plain = await self._s3.ask("POST", key, {"uploads": ""}, headers)
            if plain.status == 200:
                self._checksums = Checksums.REFUSED
                answer = plain
        upload_id = answer.expect(200).element("UploadId")
        if not upload_id:
            raise answer.fault()
        self._uploads[key].add(upload_id)
        return upload_id

    async def _complete(self, key: str, upload_id: str, parts: str) -> None:
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        headers = {"Content-Type": "application/xml"}
        answer = await self._s3.ask("POST", key, {"uploadId": upload_id}, headers, body)
        answer.expect(200)
        self._uploads.pop(key)

    async def _checksum(self) -> Finding:
        self._doing = "multipart"
        if self._no_sums:
            return Finding(
                "The server refuses requests that carry a checksum; none are sent to it.",
                "Use https, so that nothing changes on the way, or a server that compares CRC32 checksums.",
            )
        key = self._new_key()
        query = {"partNumber": "1", "uploadId": await self._begin(key)}
        wrong = {"x-amz-checksum-crc32": _crc32(b"other bytes")}
        answer = await self._s3.put(key, b"a part", wrong, query)
        if answer.status == 200 and not answer.code:
            self._checksums = Checksums.IGNORED
            return Finding(
                "The server took a part whose checksum was wrong: it does not compare them.",
                "Use https, so that nothing changes on the way, or a server that compares CRC32 checksums.",
            )
        if answer.status >= 500 or answer.status in _NO_PERMISSION_YET:
            raise answer.fault()
        return Finding(f"A part whose checksum was wrong was refused ({answer.code}).")

    async def _read_link(self) -> Finding:
        self._link = await self._s3.link(self._picture_key)
        if self._link:
            self._doing = "link"
            answer = await self._s3.as_reader("GET", self._link, {})
            detail = "The link that readers get gives the very same bytes"
        else:
            self._doing = "read"
            answer = await self._s3.ask("GET", self._picture_key)
            detail = "Reelgate reads the very same bytes, and passes them on to readers itself"
        if answer.expect(200).body != self._picture:
            kind = answer.headers.get("content-type", "unknown")
            raise Wrong(
                Finding(
                    f"The link gives {len(answer.body)} bytes of the type {kind} that are not the picture.",
                    "Check that the CDN URL or public endpoint leads to this bucket's root, and changes no content.",
                )
            )
        return Finding(f"{detail}: {self._link}" if self._keep_picture else f"{detail}.")

    async def _cors(self) -> Finding:
        self._doing = "link"
        if not self._link:
            return Finding("No CORS rules are needed: readers get the bytes from Reelgate itself.")
        upload_url = await self._s3.upload_url(self._picture_key)
        return await look_at_cors(self._s3, self._link, upload_url, self._page_origin)

    async def _delete(self) -> Finding:
        self._doing = "delete"
        (await self._s3.ask("DELETE", self._picture_key)).expect(200, 204)
        if (await self._s3.ask("HEAD", self._picture_key)).status == 200:
            raise Wrong(
                Finding(
                    "The server said that the picture is deleted, and still has it.",
                    "Look for a retention or object lock on the bucket: works that users delete would stay.",
                )
            )
        self._objects.discard(self._picture_key)
        return Finding("The picture was deleted.")

    async def _clean_up(self) -> Finding:
        self._doing = "delete"
        try:
            async with asyncio.timeout(_CLEAN_UP_SECONDS):
                for key in list(self._uploads):
                    await self._abort(key)
                for key in list(self._objects):
                    (await self._s3.ask("DELETE", key)).expect(200, 204, 404)
                    self._objects.discard(key)
        except (Fault, TimeoutError) as error:
            fault = error if isinstance(error, Fault) else Fault("timeout")
            finding = explain(fault, "delete", self._target)
            left = ", ".join(sorted(self._objects | set(self._uploads)))
            raise Wrong(
                Finding(f"{finding.detail} Perhaps left in the bucket: {left}", finding.cure)
            ) from None
        return Finding("Nothing of the trial is left in the bucket.")

    async def _abort(self, key: str) -> None:
        # Also one whose beginning was never answered.
        found = await self._s3.ask("GET", "", {"uploads": "", "prefix": key})
        if found.status == 200:
            self._uploads[key].update(found.elements("UploadId"))
        for upload_id in self._uploads[key]:
            answer = await self._s3.ask("DELETE", key, {"uploadId": upload_id})
            answer.expect(200, 204) if answer.status != 404 else None
        self._uploads.pop(key)

    async def _put(
        self, key: str, body: bytes, headers: dict[str, str], query: dict[str, str]
    ) -> Answer:
        """With a checksum, and without one where that is what the server refuses."""
        if self._no_sums:
            return await self._s3.put(key, body, headers, query)
        summed = {**headers, "x-amz-checksum-crc32": _crc32(body)}
        answer = await self._s3.put(key, body, summed, query)
        if _perhaps_the_checksum(answer):
            plain = await self._s3.put(key, body, headers, query)
            if plain.status == 200:
                self._checksums = Checksums.REFUSED
                return plain
        return answer

    @property
    def _no_sums(self) -> bool:
        return self._checksums is Checksums.REFUSED

    def _new_key(self) -> str:
        return f"{self._target.prefix}.trial/{uuid4()}.jpg"


def _perhaps_the_checksum(answer: Answer) -> bool:
    return answer.status in {400, 501}


def _crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
