"""The process that draws thumbnails, as its parent sees it: started when it is needed, killed when it is too slow."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.storage.ports import TierFailed
from services.storage.thumbnailer.protocol import (
    HEAD,
    JOB_SECONDS,
    LONGEST_READ_BYTES,
    MOST_FILM_MS,
    MOST_JOBS,
    MOST_READ_BYTES,
    REASONS,
    TOO_LARGE,
    Hello,
    Job,
    Message,
    Piece,
    ProtocolError,
    Read,
    Refusal,
    Thumbnail,
    announced,
    packed,
    unpacked,
)

Reader = Callable[[int, int], Awaitable[bytes]]
"""Gives the bytes at an offset, of a length. Raises TierFailed."""

# The folder that holds `services`, so that the child finds it however its parent was started.
_ROOT: Final = Path(__file__).resolve().parents[3]
_START_SECONDS: Final = 30.0
_LARGEST_SIDE: Final = 1 << 24
_ANSWERS: Final = (Read, Thumbnail, Refusal)


class NoThumbnailerError(Exception):
    """The process could not be started; no file is to blame."""


class ThumbnailerDiedError(Exception):
    """It ended, or had to be ended, over this file."""


class ThumbnailProcess:
    """At most one child, for one job at a time."""

    def __init__(self) -> None:
        self._child: Process | None = None
        self._served = 0

    async def draw(self, job: Job, read: Reader) -> Thumbnail | Refusal:
        """The thumbnail of a file that `read` gives the bytes of.

        Raises NoThumbnailerError, ThumbnailerDiedError, and TierFailed when `read` does.
        """
        child = await self._running()
        try:
            outcome = await _Drawing(child, job, read).outcome()
        except TierFailed:
            raise  # the child has been told, and is as good as before
        except (ProtocolError, EOFError, OSError, TimeoutError) as error:
            await self.end()
            raise ThumbnailerDiedError(repr(error)) from None
        except BaseException:
            await self.end()
            raise
        self._served += 1
        # One that ran short of memory ends by itself.
        if self._served >= MOST_JOBS or outcome == Refusal(TOO_LARGE):
            await self.end()
        return outcome

    async def end(self) -> None:
        """Ends the child, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    async def _running(self) -> Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        await self.end()
        try:
            self._child = child = await asyncio.create_subprocess_exec(
                sys.executable, "-B", "-m", "services.storage.thumbnailer",
                cwd=_ROOT, env={}, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            )  # fmt: skip
            async with asyncio.timeout(_START_SECONDS):
                await _received(child, Hello)
        except (ProtocolError, EOFError, OSError, TimeoutError) as error:
            await self.end()
            raise NoThumbnailerError(repr(error)) from None
        except BaseException:
            await self.end()
            raise
        self._served = 0
        return child


class _Drawing:
    """One job."""

    def __init__(self, child: Process, job: Job, read: Reader) -> None:
        self._child = child
        self._job = job
        self._read = read
        self._left = MOST_READ_BYTES
        self._failure: TierFailed | None = None

    async def outcome(self) -> Thumbnail | Refusal:
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(JOB_SECONDS) as limit:
            await _send(self._child, self._job)
            while isinstance(answer := await _received(self._child, *_ANSWERS), Read):
                # What the tier takes is not the file's fault.
                left = (limit.when() or 0) - clock()
                limit.reschedule(None)
                piece = await self._piece(answer)
                limit.reschedule(clock() + left)
                await _send(self._child, piece)
        if self._failure is not None:
            raise self._failure
        if isinstance(answer, Refusal) and answer.reason in REASONS:
            return answer
        if isinstance(answer, Thumbnail) and _plausible(answer):
            return answer
        raise ProtocolError("this is no answer")

    async def _piece(self, wanted: Read) -> Piece:
        if not (
            0 < wanted.length <= min(LONGEST_READ_BYTES, self._left)
            and wanted.offset + wanted.length <= self._job.size_bytes
        ):
            raise ProtocolError("it asks for what it may not have")
        self._left -= wanted.length
        try:
            return Piece(await self._read(wanted.offset, wanted.length))
        except TierFailed as failure:
            self._failure = failure
            return Piece(b"")


def _plausible(found: Thumbnail) -> bool:
    return (
        found.webp[:4] == b"RIFF"
        and found.webp[8:12] == b"WEBP"
        and 0 < found.width < _LARGEST_SIDE
        and 0 < found.height < _LARGEST_SIDE
        and found.duration_ms <= MOST_FILM_MS
    )


async def _send(child: Process, message: Message) -> None:
    assert child.stdin is not None  # noqa: S101 - it was asked for
    child.stdin.write(packed(message))
    await child.stdin.drain()


async def _received(child: Process, *wanted: type[Message]) -> Message:
    assert child.stdout is not None  # noqa: S101 - it was asked for
    kind, length = announced(await child.stdout.readexactly(HEAD.size))
    message = unpacked(kind, await child.stdout.readexactly(length))
    if not isinstance(message, wanted):
        raise ProtocolError(f"{kind!r} was not expected")
    return message
