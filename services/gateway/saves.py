"""Saving a result that lies at its upstream, as its owner asks for it: begun here, done by a worker, awaited here."""

from contextlib import aclosing
from uuid import UUID

from services.gateway.service import Generations, View
from services.gateway.store.saves import SaveStore
from services.gateway.watch import WatchHub


class Saves:
    """What becomes of a saving is in the row: nothing is lost when whoever waits goes away."""

    def __init__(self, generations: Generations, store: SaveStore, hub: WatchHub) -> None:
        self._generations = generations
        self._store = store
        self._hub = hub

    async def save(self, owner: UUID, generation_id: UUID) -> View:
        """Returns when it is stored; joins a saving that is under way.

        Raises NotFound, FailedPrecondition (NOT_UPSTREAM, LINK_EXPIRED), ResourceExhausted (QUOTA_EXCEEDED), Aborted
        (SOURCE_FAILED), Unavailable (NO_TIER).
        """
        begun = await self._store.begin(generation_id, owner)
        async with aclosing(self._hub.changes(owner, begun.rev)) as looks:
            async for _ in looks:
                view = await self._generations.get(owner, generation_id)
                if view.generation.storage_type != "upstream":
                    return view
                if view.generation.is_being_saved:
                    continue
                failure = (await self._store.get(generation_id)).failure
                if failure is not None:
                    raise failure.error()
                # Somebody has begun anew since that look: his saving is as good as ours.
        raise AssertionError("unreachable: changes never end")
