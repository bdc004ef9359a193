"""What every upstream dialect offers, and how it says what went wrong."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from services.kernel.egress import Egress


@dataclass(frozen=True, slots=True)
class Account:
    """An upstream account, with its credential opened. Never logged: repr shows neither."""

    id: str
    name: str
    dialect: str
    base_url: str
    credential: str = field(repr=False)
    model_map: Mapping[str, str]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """What an upstream is asked for. `reference` is the same whenever the same attempt is submitted."""

    reference: str
    model: str
    prompt: str
    media_type: Literal["video", "image"]
    size: str
    duration_seconds: int | None
    count: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a result can be had. `headers` go to `trusted_origin` and no further."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    trusted_origin: str


@dataclass(frozen=True, slots=True)
class Result:
    """One medium of an ended task. `expires_at` is when the upstream forgets it, if it says so."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskState:
    """What an upstream says about a task."""

    status: Literal["running", "completed", "failed"]
    progress_percent: int = 0
    results: Sequence[Result] = ()
    error_code: Literal["upstream_error", "content_policy"] = "upstream_error"
    error_message: str = ""


class SubmitRefused(Exception):
    """The upstream surely did not accept the task.

    `elsewhere` says that another account may: it is the account's or the upstream's trouble, not the request's.
    """

    def __init__(
        self,
        message: str,
        *,
        elsewhere: bool,
        code: Literal["upstream_error", "content_policy"] = "upstream_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.elsewhere = elsewhere
        self.code = code
        self.retry_after = retry_after


class SubmitUnknown(Exception):
    """The answer to a submit was lost: it may have been accepted."""


class UpstreamTrouble(Exception):
    """A question about a task was not answered; ask again later."""


class TaskGone(Exception):
    """The upstream says that there is no such task."""


class Provider(ABC):
    """One dialect, spoken over the vetted connector.

    `can_find`: a task can be found by its reference. `idempotent_submit`: the same reference submitted again
    gives the same task. `can_cancel`: a running task can be stopped. An account's options may declare what its
    upstream can beyond its dialect.
    """

    media_types: ClassVar[frozenset[str]]
    can_find: ClassVar[bool] = False
    idempotent_submit: ClassVar[bool] = False
    can_cancel: ClassVar[bool] = False

    def __init__(self, egress: Egress) -> None:
        self.egress = egress

    @abstractmethod
    async def submit(self, account: Account, job: Job) -> str:
        """Hands over a task; returns the upstream's id of it. Raises SubmitRefused, SubmitUnknown."""

    @abstractmethod
    async def poll(self, account: Account, task_id: str) -> TaskState:
        """Asks how a task is. Raises UpstreamTrouble, TaskGone."""

    @abstractmethod
    async def find(self, account: Account, reference: str) -> str | None:
        """The id of the task submitted with this reference; None when there is none. Raises UpstreamTrouble.

        Asked only where `can_find` holds.
        """

    @abstractmethod
    async def cancel(self, account: Account, task_id: str) -> bool:
        """Stops a task; True when the upstream confirms. Raises UpstreamTrouble.

        Asked only where `can_cancel` holds.
        """

    @abstractmethod
    def source(self, account: Account, url: str) -> Source:
        """How to fetch a result that this account brought."""
