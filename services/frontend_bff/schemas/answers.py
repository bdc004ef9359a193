"""What is written: bodies of answers. `clients` builds them from messages; nothing checks them again."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from services.frontend_bff.schemas.values import (
    Date,
    Id,
    MediaType,
    Orientation,
    QuotaSource,
    Role,
    Stage,
    Status,
    StorageType,
    Timestamp,
)


class FieldProblem(TypedDict):
    """A field of a request that is wrong."""

    field: Annotated[str, Field(description="Name, with dots inside a body; empty: the whole")]
    message: str


class Problem(TypedDict):
    """A refusal (RFC 9457)."""

    type: Annotated[str, Field(description="URI that names the kind of problem")]
    title: str
    status: int
    detail: Annotated[str, Field(description="One or two sentences for a person")]
    code: Annotated[str, Field(description="Stable name of the cause, for programs")]
    request_id: Annotated[str, Field(description="For the operator, who finds it in the logs")]
    errors: NotRequired[list[FieldProblem]]
    used: NotRequired[Annotated[int, Field(description="quota_exceeded: bytes of kept works")]]
    reserved: NotRequired[
        Annotated[int, Field(description="quota_exceeded: bytes set aside for works under way")]
    ]
    quota: NotRequired[Annotated[int, Field(description="quota_exceeded: the limit in bytes")]]
    requested: NotRequired[
        Annotated[int, Field(description="quota_exceeded: bytes that did not fit")]
    ]
    balance: NotRequired[
        Annotated[int, Field(description="insufficient_credits: credits that are left")]
    ]
    price: NotRequired[
        Annotated[int, Field(description="insufficient_credits: credits that are needed")]
    ]


class Health(TypedDict):
    """Whether the process is well."""

    status: Literal["healthy", "ready"]


class PublicSettings(TypedDict):
    """What a page may know before anyone has logged in."""

    sora_client_enabled: Annotated[bool, Field(description="An active account exists")]
    registration_enabled: bool
    default_locale: Annotated[str, Field(description="When the browser asks for none of ours")]
    version: str


class User(TypedDict):
    """A person."""

    id: Id
    email: str
    role: Role
    created_at: Timestamp


class Session(TypedDict):
    """Proof of who one is. A browser has it in its cookies, too."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="Seconds that the access token lives")]
    user: User


class Notice(TypedDict):
    """A code with a sentence for a person."""

    code: str
    message: str


class Media(TypedDict):
    """One medium of a result."""

    object_id: Id
    url: Annotated[str, Field(description="A fresh link, or a path of this server")]
    thumbnail_url: str | None
    content_type: str
    size_bytes: int | None
    width: int | None
    height: int | None
    duration_seconds: float | None


class Generation(TypedDict):
    """One piece of work."""

    id: Id
    run: Annotated[int, Field(description="Which try this is, from 0")]
    rev: Annotated[int, Field(description="Grows with every change of one of the user's works")]
    model: str
    prompt: str
    media_type: MediaType
    orientation: Orientation | None
    input_urls: list[str]
    parameters: dict[str, JsonValue]
    status: Status
    progress_percent: Annotated[int, Field(ge=0, le=100)]
    stage: Stage | None
    media_url: Annotated[str | None, Field(description="That of the first medium")]
    media_urls: list[str]
    thumbnail_url: str | None
    media: list[Media]
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size_bytes: Annotated[int | None, Field(description="Of all media")]
    storage_type: StorageType
    error: Annotated[Notice | None, Field(description="Why it failed")]
    notice: Annotated[Notice | None, Field(description="Something to know about the result")]
    retry_count: int
    cached: bool
    credits: int
    api_key_id: Id | None
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    estimated_completion_at: Timestamp | None
    expires_at: Annotated[Timestamp | None, Field(description="When the upstream's link dies")]
    expired: bool
    can_save: bool
    can_retry: bool


class Generated(TypedDict):
    """The work is under way."""

    generation_id: Id
    status: Status


class Counts(TypedDict):
    """All that match, by media type, whatever `media_type` asked for."""

    all: int
    video: int
    image: int


class GenerationPage(TypedDict):
    """A page of generations, newest first."""

    items: list[Generation]
    next_page_token: Annotated[str | None, Field(description="null on the last page")]
    total: NotRequired[Annotated[int, Field(description="With include=total")]]
    counts: NotRequired[Annotated[Counts, Field(description="With include=counts")]]


class DeletedGeneration(TypedDict):
    """A generation that is no more."""

    id: Id
    rev: int


class Quota(TypedDict):
    """A user's byte quota at one moment."""

    quota_bytes: Annotated[int, Field(description="-1: no limit")]
    used_bytes: int
    reserved_bytes: int
    available_bytes: Annotated[int, Field(description="Never negative but for -1: no limit")]
    source: QuotaSource


class Model(TypedDict):
    """One entry of the catalogue."""

    id: str
    family: Annotated[str, Field(description="Shared by entries that differ in form only")]
    name: str
    type: MediaType
    orientation: Orientation | None
    duration_seconds: float | None
    parameters: Annotated[dict[str, JsonValue], Field(description="JSON Schema")]
    credits: int
    shutdown_date: Date | None


class StorageStatus(TypedDict):
    """Where results can be kept."""

    s3_enabled: bool
    s3_healthy: bool
    local_enabled: bool


class UploadedImage(TypedDict):
    """A reference image that is kept."""

    object_id: Id
    url: Annotated[str, Field(description="A fresh link, or a path of this server")]
    size_bytes: int
    content_type: Annotated[str, Field(description="Found by looking at the bytes")]


class PresignedUpload(TypedDict):
    """A link to upload with."""

    object_id: Annotated[Id, Field(description="To commit it by, and of the image afterwards")]
    url: str
    method: str
    headers: Annotated[dict[str, str], Field(description="Must be sent as they are")]
    expires_at: Timestamp
