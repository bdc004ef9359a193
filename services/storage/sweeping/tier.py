"""One tier, looked through from its first key to its last, beside the rows: a page of each at a time."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from services.storage.keys import TEMPORARY, KeyName, object_id_of, read_key
from services.storage.objects import Tier
from services.storage.ports import Blobs, Listed, TierFailed, Unfinished
from services.storage.store.sweeps import Known, Pair, SweepStore
from services.storage.sweeping.adoption import Adoption
from services.storage.sweeping.verdicts import Verdict, judge

_Found = TypeVar("_Found", Listed, Unfinished)
_PROBES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class SweepRules:
    """How old garbage must be to be marked, how long marked to be removed, and how much of it at most."""

    orphan_age: timedelta
    orphan_keep: timedelta
    most_keys: int
    most_percent: float


@dataclass(slots=True)
class Counts:
    """How far a sweep is, as in the contract; `foreign` keys are not ours, of `ours` so many were judged.

    `due`: would be removed; only as many of them are remembered as may be.
    """

    scanned: int = 0
    marked: int = 0
    deleted: int = 0
    adopted: int = 0
    missing: int = 0
    aborted: int = 0
    total: int = 0
    ours: int = 0
    foreign: int = 0
    due: int = 0
    condemned: dict[Tier, list[KeyName]] = field(default_factory=dict)


class TierSweep:
    """Looks through one tier. `others` are all tiers that answer, `go_on` raises when it is time to stop."""

    def __init__(
        self,
        blobs: Blobs,
        others: Mapping[Tier, Blobs],
        store: SweepStore,
        rules: SweepRules,
        counts: Counts,
        go_on: Callable[[], None],
        *,
        dry_run: bool,
    ) -> None:
        self._blobs = blobs
        self._others = others
        self._store = store
        self._rules = rules
        self._counts = counts
        self._go_on = go_on
        self._dry_run = dry_run
        self._adoption = Adoption(store, dry_run=dry_run)
        self._adopted_last: UUID | None = None
        self._old = datetime.now(UTC) - rules.orphan_age

    async def run(self) -> None:
        """Judges every key, row and piece. Raises TierFailed."""
        after = self._blobs.prefix
        async for page in self._blobs.listing():
            self._go_on()
            if not page:
                continue
            await self._keys(page)
            # Not every server lists in order; a row that seems to be passed over is asked for by its key. Foreign keys
            # can hold what text in PostgreSQL can not.
            last = max(page[-1].key.partition("\0")[0], after)
            await self._rows(after, last, [one.key for one in page if "\0" not in one.key])
            after = last
        await self._rows(after, None, ())
        async for pieces in self._blobs.unfinished():
            self._go_on()
            await self._pieces(pieces)

    # Keys

    async def _keys(self, page: Sequence[Listed]) -> None:
        pairs: list[Pair] = []
        own: list[Listed] = []
        for listed in page:
            name = read_key(listed.key, self._blobs.prefix)
            if name is not None:
                pairs.append((name, listed))
            elif listed.key.startswith(f"{self._blobs.prefix}."):
                own.append(listed)
            else:
                self._counts.foreign += 1
        if own:
            await self._own(own)
        self._counts.scanned += len(page) - len(own)
        self._counts.ours += len(pairs)
        if pairs:
            keep = self._rules.orphan_keep.total_seconds()
            known = await self._store.known(self._blobs.tier, pairs, keep)
            await self._judged(pairs, {one.key: one for one in known})

    async def _own(self, page: Sequence[Listed]) -> None:
        """What we put there for ourselves: the marker stays, what tests and browsers left behind goes."""
        names = tuple(self._blobs.prefix + folder for folder in TEMPORARY)
        old = [one for one in page if one.modified_at < self._old and one.key.startswith(names)]
        for one in await self._idle(old):
            if not self._dry_run:
                await self._blobs.remove(one.key, unfinished=False)
            self._counts.aborted += 1

    async def _judged(self, pairs: Sequence[Pair], known: Mapping[str, Known]) -> None:
        orphans: list[Pair] = []
        no_orphans: list[str] = []
        healed: list[str] = []
        adopted = {self._adopted_last} - {None}
        for name, listed in pairs:
            knows = known[name.key]
            verdict = judge(self._blobs.tier, name, knows)
            if verdict in {Verdict.ADOPT, Verdict.LOST} and await self._adopts(
                verdict, knows, name, listed
            ):
                adopted.add(name.id)
                self._adopted_last = name.id
                self._counts.adopted += 1
            if verdict is Verdict.LIVE and knows.is_missing:
                healed.append(name.key)
            is_young = listed.modified_at >= self._old
            if verdict is Verdict.ORPHAN and not is_young and name.id not in adopted:
                orphans.append((name, listed))
            elif knows.is_marked:
                no_orphans.append(name.key)
        for name, _ in orphans:
            self._counts.marked += not known[name.key].is_marked
            if known[name.key].is_due:
                self._condemn(name)
        if not self._dry_run:
            await self._note(orphans, no_orphans, healed)

    async def _adopts(self, verdict: Verdict, known: Known, name: KeyName, listed: Listed) -> bool:
        if verdict is Verdict.ADOPT:
            return await self._adoption.adopt(self._blobs, name, listed)
        other = self._others.get(known.other_tier) if known.other_tier else None
        return other is not None and await self._adoption.put_right(
            self._blobs, other, known, name, listed
        )

    def _condemn(self, name: KeyName) -> None:
        self._counts.due += 1
        if self._counts.due <= self._rules.most_keys:
            self._counts.condemned.setdefault(self._blobs.tier, []).append(name)

    async def _note(
        self, orphans: Sequence[Pair], no_orphans: Collection[str], healed: Collection[str]
    ) -> None:
        tier = self._blobs.tier
        if orphans:
            await self._store.mark(tier, orphans)
        if no_orphans:
            await self._store.unmark(tier, no_orphans)
        if healed:
            await self._store.found(tier, healed)

    # Rows

    async def _rows(self, after: str, until: str | None, keys: Collection[str]) -> None:
        """The objects of a range of keys whose bytes are not among the listed keys."""
        while True:
            self._go_on()
            rows = await self._store.without_bytes(
                self._blobs.tier, self._blobs.prefix, after, until, keys
            )
            if not rows:
                return
            known = [key for key, is_missing in rows if is_missing]
            # One that was written or moved here since the page was listed is there.
            asked = await self._absent([key for key, is_missing in rows if not is_missing])
            # One that was deleted meanwhile is not missing.
            missing = len(known)
            if asked:
                missing += await self._store.missing(self._blobs.tier, asked, dry_run=self._dry_run)
            self._counts.missing += missing
            self._counts.scanned += missing
            after = rows[-1][0]

    async def _absent(self, keys: Collection[str]) -> list[str]:
        slots = asyncio.Semaphore(_PROBES_AT_ONCE)

        async def is_absent(key: str) -> bool:
            async with slots:
                return not await self._blobs.holds(key)

        try:
            async with asyncio.TaskGroup() as group:
                asked = {key: group.create_task(is_absent(key)) for key in keys}
        except* TierFailed as failures:
            raise failures.exceptions[0] from None
        return [key for key, task in asked.items() if task.result()]

    # Pieces

    async def _pieces(self, page: Sequence[Unfinished]) -> None:
        old = [one for one in page if one.begun_at < self._old and self._is_ours(one.key)]
        for one in await self._idle(old):
            if not self._dry_run:
                await self._blobs.discard(one)
            self._counts.aborted += 1

    async def _idle(self, found: Sequence[_Found]) -> list[_Found]:
        """Those that no transfer and no browser works for."""
        ids = {one.key: object_id_of(one.key) for one in found}
        busy = await self._store.busy({one for one in ids.values() if one is not None})
        return [one for one in found if ids[one.key] not in busy]

    def _is_ours(self, key: str) -> bool:
        prefix = self._blobs.prefix
        return read_key(key, prefix) is not None or key.startswith(f"{prefix}.")
