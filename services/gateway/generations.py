"""Generations: what they are and which moves are legal. Knows no database and no wire."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from services.kernel.errors import (
    Aborted,
    FailedPrecondition,
    Internal,
    ReelgateError,
    ResourceExhausted,
    Unavailable,
)

Status = Literal["pending", "generating", "completed", "failed", "cancelled"]
Stage = Literal["admitting", "queued", "submitting", "generating", "unknown", "storing", "stored"]
StorageType = Literal["none", "s3", "local", "upstream"]
Tier = Literal["s3", "local"]

ACTIVE: Final = ("pending", "generating")
MAX_ACTIVE_PER_USER: Final = 3
MAX_ATTEMPTS: Final = 3
MAX_PROMPT_CHARACTERS: Final = 32_000
# After this long an `admitting` row is taken for one whose request died half-way.
ADMISSION_LIMIT_SECONDS: Final = 30
UPSTREAM_LINK_LIFE_SECONDS: Final = 900
_MEDIA_NAMESPACE: Final = UUID("6a1e3b52-0f0a-5c0e-9d57-2f5d1f6f7a10")


def object_id(generation_id: UUID, run: int, index: int) -> UUID:
    """The id of a medium that lies at its upstream; once it is stored, storage says what it is called."""
    return uuid.uuid5(_MEDIA_NAMESPACE, f"{generation_id}/{run}/{index}")


@dataclass(frozen=True, slots=True)
class Media:
    """One medium of a run. `tier` is None while it lies at the upstream."""

    index: int
    object_id: UUID
    account_id: UUID
    upstream_url: str
    upstream_expires_at: datetime | None
    tier: Tier | None
    content_type: str
    size_bytes: int
    width: int
    height: int
    duration_seconds: float | None


@dataclass(frozen=True, slots=True)
class Generation:
    """A row, as committed."""

    id: UUID
    user_id: UUID
    api_key_id: UUID | None
    run: int
    rev: int
    model: str
    prompt: str
    media_type: Literal["video", "image"]
    orientation: str
    duration_seconds: int | None
    count: int
    parameters: Mapping[str, Any]
    input_urls: Sequence[str]
    status: Status
    stage: Stage
    progress_percent: int
    storage_type: StorageType
    size_bytes: int
    error_code: str | None
    error_message: str | None
    notice_code: str | None
    notice_message: str | None
    credits: int
    reserved_bytes: int
    cached: bool
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    expired: bool
    deadline_at: datetime
    overdue: bool
    unknown_since: datetime | None
    deleted_at: datetime | None
    crashes: int

    @property
    def is_active(self) -> bool:
        """Has not ended and was not deleted."""
        return self.status in ACTIVE and self.deleted_at is None

    @property
    def is_being_saved(self) -> bool:
        """Has ended at its upstream and is on its way into storage, or back."""
        return self.status == "completed" and self.stage == "storing"

    @property
    def can_save(self) -> bool:
        """Saving it would be begun."""
        at_upstream = self.status == "completed" and self.storage_type == "upstream"
        return at_upstream and not (self.is_being_saved or self.expired)

    def require_savable(self) -> None:
        """Raises FailedPrecondition (NOT_UPSTREAM, LINK_EXPIRED) for one that can not be saved."""
        if self.status != "completed" or self.storage_type != "upstream":
            raise FailedPrecondition(
                "Only a result that lies at its generator can be saved.",
                reason="NOT_UPSTREAM",
                metadata={"status": self.status, "storage_type": self.storage_type},
            )
        if self.expired:
            raise FailedPrecondition(
                "The link has expired: the result can not be saved any more.", reason="LINK_EXPIRED"
            )


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What is recorded when a generation is asked for."""

    id: UUID
    user_id: UUID
    api_key_id: UUID | None
    model: str
    prompt: str
    media_type: Literal["video", "image"]
    orientation: str
    duration_seconds: int | None
    count: int
    parameters: Mapping[str, Any]
    input_urls: Sequence[str]
    credits: int
    reserved_bytes: int
    deadline_seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act for one generation, as long as nobody took it away."""

    generation: Generation
    token: int


@dataclass(frozen=True, slots=True)
class SaveFailure:
    """Why a result could not be saved, so that whoever waits for it can be told."""

    reason: str
    message: str
    metadata: Mapping[str, str]

    def error(self) -> ReelgateError:
        """The error once more; of a reason that is not listed it is ours."""
        kind = _SAVE_ERRORS.get(self.reason, Internal)
        retry_after = 10 if kind is Unavailable else None
        return kind(
            self.message, reason=self.reason, metadata=self.metadata, retry_after=retry_after
        )


@dataclass(frozen=True, slots=True)
class Save:
    """What storage has kept of a result that is being saved; with a `failure` it is to go again."""

    objects: Sequence[UUID]
    failure: SaveFailure | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A submit that was intended. `upstream_task_id` is None until the upstream's answer is known."""

    number: int
    account_id: UUID
    upstream_task_id: str | None


def attempt_reference(generation: Generation, attempt: Attempt) -> str:
    """What names an attempt at an upstream: the same for every try to submit it."""
    return f"{generation.id}-{generation.run}-{attempt.number}"


class LeaseLost(Exception):
    """Somebody else acts for the generation now, or its owner ended it: write nothing more."""


_SAVE_ERRORS: Final[Mapping[str, type[ReelgateError]]] = {
    "QUOTA_EXCEEDED": ResourceExhausted,
    "SOURCE_FAILED": Aborted,
    "NO_TIER": Unavailable,
    "LINK_EXPIRED": FailedPrecondition,
}

FAILURES: Final[Mapping[str, str]] = {
    "upstream_error": "The generator could not finish this. Try again later.",
    "content_policy": "The generator refused the prompt under its content policy. Change the prompt.",
    "timeout": "It took too long. Try again, perhaps with a shorter duration.",
    "lost": "The generator never confirmed that it had received this. Nothing was charged; try again.",
    "quota_exceeded": "Your storage is full: the result could not be kept. Delete what you no longer need.",
    "no_account": "No generator was free for this model. Try again later.",
    "storage_error": "The result could not be stored. Try again later.",
}

NOTICES: Final[Mapping[str, str]] = {
    "stored_locally": "Saved on the server; it moves to the cloud as soon as that is reachable.",
    "not_stored": "Storage was not reachable: download this before the link expires.",
    "quota_exceeded": "Your storage is full: free space, then save this before the link expires.",
}
