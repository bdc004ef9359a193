"""Who is to be told that something of his changed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from uuid import UUID

from services.gateway.store.generations import Changes, GenerationStore
from services.kernel.postgres import listen

_LOOK_ANYWAY_SECONDS = 5.0


class WatchHub:
    """Wakes the watchers of a user. One listening connection serves all of them."""

    def __init__(self, store: GenerationStore) -> None:
        self._store = store
        self._waiting: dict[UUID, set[asyncio.Event]] = {}

    async def listen(self, direct_url: str) -> None:
        """Passes the database's hints on, for ever."""
        async for payload in listen(direct_url, "generations_changed"):
            users = list(self._waiting) if payload is None else [UUID(payload)]
            for user_id in users:
                for event in self._waiting.get(user_id, ()):
                    event.set()

    async def changes(self, user_id: UUID, after_rev: int) -> AsyncGenerator[Changes]:
        """What changed after `after_rev`, as it is committed, for ever; every few seconds also when nothing did."""
        with self._subscribed(user_id) as event:
            while True:
                event.clear()
                changes = await self._store.changes(user_id, after_rev)
                yield changes
                after_rev = changes.rev
                try:
                    async with asyncio.timeout(_LOOK_ANYWAY_SECONDS):
                        await event.wait()
                except TimeoutError:
                    pass

    @contextmanager
    def _subscribed(self, user_id: UUID) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        events = self._waiting.setdefault(user_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiting.pop(user_id, None)
