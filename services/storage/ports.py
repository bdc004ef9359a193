"""What the pipe and the service need of sources and tiers; each port has two implementations.

Tiers: `s3` and `local`. Sources: `sources.url` and `sources.stream`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from services.storage.objects import Link, Tier

Trouble = Literal["connect", "timeout", "refused", "overloaded", "full", "missing", "broken"]


class TierFailed(Exception):
    """A tier did not do what it was asked to. `detail` is for the operator's log only."""

    def __init__(self, tier: Tier, trouble: Trouble, detail: str) -> None:
        super().__init__(f"{tier} failed: {trouble}")
        self.tier = tier
        self.trouble = trouble
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a body: numbered from 1, `offset` in bytes, all but the last of one size.

    `data` is lent until the part is written.
    """

    number: int
    offset: int
    data: memoryview
    crc32: int


@dataclass(frozen=True, slots=True)
class Received:
    """What a whole body turned out to be."""

    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as what a body is to be stored.

    `attempt` is unique to this try. `whole`: part 1 is all there is. `again`: an earlier try for the same key may have
    left an unfinished upload. `size_bytes`: how long it will be; 0 when nobody has said.
    """

    key: str
    content_type: str
    attempt: UUID
    whole: bool
    again: bool
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A key that is there, how large it is, and when its bytes were written by the tier's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Pieces that never became an object: what they were to be ("" when unknown), and their name within the tier."""

    key: str
    token: str
    begun_at: datetime


class Writer(Protocol):
    """One body on its way into a tier.

    Nothing can be read under the key before `complete`, or before the only part is written.
    """

    async def write(self, part: Part) -> None:
        """Takes a part; several may be under way at once, in any order. Raises TierFailed."""

    async def complete(self) -> None:
        """Makes the bytes durable under their key. Raises TierFailed; then nobody knows whether they are."""

    async def abort(self) -> None:
        """Removes what was written so far, unless it is complete. Raises TierFailed."""


class Blobs(Protocol):
    """One tier."""

    @property
    def tier(self) -> Tier:
        """Which one it is."""

    @property
    def prefix(self) -> str:
        """What all its keys begin with."""

    async def create(self, place: Place) -> Writer:
        """Begins to store. Raises TierFailed."""

    def read(
        self, key: str, offset: int, length: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes from `offset`, in chunks of at most 256 KiB. Raises TierFailed."""

    async def remove(self, key: str, *, unfinished: bool) -> None:
        """Removes the bytes, and pieces of them when `unfinished`; none there is fine. Raises TierFailed."""

    async def holds(self, key: str) -> bool:
        """Whether there are bytes under the key. Raises TierFailed."""

    def listing(self) -> AsyncIterator[list[Listed]]:
        """All keys below the prefix, in byte order, in pages of at most 1,000. Raises TierFailed."""

    def unfinished(self) -> AsyncIterator[list[Unfinished]]:
        """All pieces below the prefix, in pages of at most 1,000. Raises TierFailed."""

    async def discard(self, left: Unfinished) -> None:
        """Removes pieces; none there is fine. Raises TierFailed."""

    async def link(self, key: str, download_name: str) -> Link:
        """A link for readers. A `download_name` makes it one that downloads."""

    async def check(self) -> None:
        """Raises TierFailed when the tier can not be used now."""


class Content(Protocol):
    """The bytes of a body, from its first to its last."""

    async def fill(self, space: memoryview, seen: Callable[[int], None]) -> int:
        """Puts the next bytes into `space` until it is full or they are over; gives how many.

        `seen` is told how many have come whenever some have, also what waits for the next space; it may raise.
        Raises ReelgateError.
        """


@dataclass(frozen=True, slots=True)
class Body:
    """An opened source: the size it promises in bytes (0: none) and its bytes."""

    size_bytes: int
    content: Content


class Source(Protocol):
    """Where the bytes of one object come from."""

    name: str

    def open(self) -> AbstractAsyncContextManager[Body]:
        """Begins at the first byte, each time. Raises ReelgateError."""

    def verify(self, received: Received) -> None:
        """Raises ReelgateError when this is not what was promised."""
