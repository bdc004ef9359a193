"""What can be done with generations: the rules between a request and the database."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Counter

from services.gateway.catalogue import Catalogue, Wish
from services.gateway.clients import Link, QuotaClient, StorageClient
from services.gateway.generations import (
    MAX_PROMPT_CHARACTERS,
    Generation,
    Media,
    NewGeneration,
)
from services.gateway.offer import Offer
from services.gateway.prices import Prices
from services.gateway.store.generations import Filter, GenerationStore, IdempotencyKey
from services.kernel.errors import (
    InvalidArgument,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)
from services.kernel.ids import new_id

log = structlog.get_logger()

CREATED_TOTAL: Final = Counter(
    "reelgate_generations_created_total", "Generations admitted, by model", ("model",)
)
REFUSED_TOTAL: Final = Counter(
    "reelgate_generations_refused_total", "Generations refused at admission, by reason", ("reason",)
)

_DEADLINE_SECONDS: Final = 3600.0
_ERASE_WAITS_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for."""

    model: str
    prompt: str
    wish: Wish
    image_url: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A generation with its media and the links made for this answer."""

    generation: Generation
    media: Sequence[tuple[Media, Link]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; counts are -1 when they were not asked for."""

    views: Sequence[View]
    next_before: UUID | None
    total: int
    videos: int
    images: int


class Generations:
    """Everything a user does with his generations."""

    def __init__(
        self,
        store: GenerationStore,
        offer: Offer,
        catalogue: Catalogue,
        storage: StorageClient,
        quota: QuotaClient,
        prices: Prices,
    ) -> None:
        self._prices = prices
        self._store = store
        self._offer = offer
        self._catalogue = catalogue
        self._storage = storage
        self._quota = quota

    async def create(
        self,
        owner: UUID,
        api_key_id: UUID | None,
        request: Request,
        key: IdempotencyKey | None,
    ) -> tuple[UUID, Generation | None, bool]:
        """Admits a generation: its id, its row (None when it is gone by now), and whether an earlier call made it.

        Raises InvalidArgument, ResourceExhausted (CONCURRENCY_LIMIT_EXCEEDED, INSUFFICIENT_CREDITS,
        QUOTA_EXCEEDED), Unavailable (NO_ACCOUNT), AlreadyExists and Aborted for idempotency keys.
        """
        new = await self._new(owner, api_key_id, request)
        try:
            earlier = await self._store.create(new, key)
            if earlier is not None:
                return earlier, await self._if_there(earlier, owner), True
            await self._admit(new)
        except ReelgateError as error:
            REFUSED_TOTAL.labels(error.reason).inc()
            raise
        generation = await self._store.admitted(new.id, owner)
        CREATED_TOTAL.labels(new.model).inc()
        return new.id, generation, False

    async def _new(self, owner: UUID, api_key_id: UUID | None, request: Request) -> NewGeneration:
        prompt = request.prompt.strip()
        if not prompt:
            raise InvalidArgument("The prompt is empty: say what you want to see.", field="prompt")
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            limit = f"{MAX_PROMPT_CHARACTERS:,}"
            raise InvalidArgument(f"The prompt is longer than {limit} characters.", field="prompt")
        if "\x00" in prompt:
            raise InvalidArgument("The prompt contains a NUL character.", field="prompt")
        if not request.model:
            raise InvalidArgument("Name the model to use.", field="model")
        model, count = self._catalogue.choose(request.model, request.wish)
        if request.image_url:
            raise InvalidArgument("Reference images are not supported yet.", field="image_url")
        if not await self._offer.includes(model):
            raise Unavailable(
                f"No account serves the model {model.id} right now.",
                reason="NO_ACCOUNT",
                retry_after=30,
            )
        return NewGeneration(
            id=new_id(),
            user_id=owner,
            api_key_id=api_key_id,
            model=model.id,
            prompt=prompt,
            media_type=model.media_type,
            orientation=model.orientation,
            duration_seconds=model.duration_seconds,
            count=count,
            parameters=dict(request.wish.parameters or {}),
            input_urls=(),
            credits=(await self._prices.now()).of(model) * count,
            reserved_bytes=model.reserve_bytes * count,
            deadline_seconds=_DEADLINE_SECONDS,
        )

    async def _admit(self, new: NewGeneration) -> None:
        try:
            await self._quota.admit(new.id, 0, new.user_id, new.reserved_bytes, new.credits)
        except ResourceExhausted:
            await self._store.withdraw(new.id, new.user_id)
            raise
        except ReelgateError:
            # It may have been admitted, and only the answer lost. Giving it back leaves a tombstone that a late Admit
            # meets; where even that fails, the worker does it once the row is old enough.
            with contextlib.suppress(ReelgateError):
                await self._quota.release_unclaimed(new.id, 0, new.user_id)
                await self._store.withdraw(new.id, new.user_id)
            raise

    async def _if_there(self, generation_id: UUID, owner: UUID) -> Generation | None:
        with contextlib.suppress(ReelgateError):
            return await self._store.get(generation_id, owner)
        return None

    async def get(self, owner: UUID, generation_id: UUID) -> View:
        """Raises NotFound, also for somebody else's."""
        generation = await self._store.get(generation_id, owner)
        return (await self.views([generation]))[0]

    async def page(
        self, match: Filter, *, before: UUID | None, page_size: int, counted: bool
    ) -> Page:
        """Newest first. `match.user_id` None lists everybody's."""
        found = await self._store.page(match, before=before, limit=page_size + 1)
        total, videos, images = await self._store.count(match) if counted else (-1, -1, -1)
        page = found[:page_size]
        more = page[-1].id if len(found) > page_size else None
        return Page(await self.views(page), more, total, videos, images)

    async def cancel(self, owner: UUID, generation_id: UUID) -> View:
        """Raises NotFound, FailedPrecondition (ALREADY_ENDED)."""
        return (await self.views([await self._store.cancel(generation_id, owner)]))[0]

    async def delete(self, owner: UUID, generation_id: UUID) -> bool:
        """Takes it away at once; True when its bytes are gone too, else the worker goes on. Raises NotFound."""
        await self._store.delete(generation_id, owner)
        for wait in _ERASE_WAITS_SECONDS:
            await asyncio.sleep(wait)
            if not await self._store.exists(generation_id):
                return True
        return False

    async def views(self, generations: Sequence[Generation]) -> list[View]:
        """With media and links. Without storage the media come without links, and are read through the media route."""
        media = await self._store.media_of([generation.id for generation in generations])
        links: dict[UUID, Link] = {}
        wanted: dict[UUID, list[UUID]] = {}
        for generation in generations:
            for medium in media.get(generation.id, ()):
                if medium.tier is not None:
                    wanted.setdefault(generation.user_id, []).append(medium.object_id)
        for owner, object_ids in wanted.items():
            try:
                links |= await self._storage.links(owner, object_ids)
            except ReelgateError as error:
                log.warning("links_unavailable", reason=error.reason)
        none = Link()
        return [
            View(
                generation,
                [
                    (medium, links.get(medium.object_id, none))
                    for medium in media.get(generation.id, ())
                    if generation.status == "completed"
                ],
            )
            for generation in generations
        ]
