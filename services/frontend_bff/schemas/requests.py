"""What is read: bodies (strict: no type stands for another), and texts in queries, headers, paths."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.frontend_bff.schemas.values import (
    MAX_IMAGE_BYTES,
    Id,
    ImageType,
    JsonObject,
    MediaType,
    Orientation,
    Status,
    StorageType,
    Text,
    comma_list,
    decimal,
)

Include = Literal["total", "counts"]
Revision = Annotated[int, Field(ge=0, le=2**63 - 1), decimal]


class Body(BaseModel):
    """A JSON body. Unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class Texts(BaseModel):
    """Values of a query, of headers or of a path. Unknown ones are ignored."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class Credentials(Body):
    """How a person shows who he is."""

    email: Text
    password: Text


class GenerateRequest(Body):
    """A work that is asked for."""

    model: Annotated[Text, Field(min_length=1, description="Id of a model in the catalogue")]
    prompt: Annotated[Text, Field(min_length=1, max_length=32_000)]
    media_type: Annotated[
        MediaType | None, Field(description="Must agree with the model when given")
    ] = None
    orientation: Annotated[
        Orientation | None, Field(description="Must agree with the model when given")
    ] = None
    duration_seconds: Annotated[
        float | None,
        Field(gt=0, le=3600, description="Must agree with the model when given"),
    ] = None
    n: Annotated[int | None, Field(ge=1, le=10, description="How many media; videos: 1")] = None
    parameters: Annotated[
        JsonObject | None, Field(description="Checked against the model's schema")
    ] = None
    image_url: Annotated[Text | None, Field(description="A reference image by URL")] = None
    input_object_ids: Annotated[
        list[Id] | None, Field(description="Reference images uploaded before")
    ] = None
    cache: Annotated[
        Literal["prefer"] | None,
        Field(description='"prefer": may be answered from an earlier result'),
    ] = None


class IdempotencyHeaders(Texts):
    """Makes repeats harmless."""

    key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            pattern=r"^[\x21-\x7e]{1,255}$",
            description="For 24 h the same key and body give the first answer again",
        ),
    ] = None


class GenerationPath(Texts):
    """Names a generation."""

    id: Id


class ObjectPath(Texts):
    """Names a medium."""

    object_id: Id


class ListQuery(Texts):
    """Narrows a list."""

    status: Annotated[tuple[Status, ...], *comma_list(Status)] = ()
    storage_type: Annotated[tuple[StorageType, ...], *comma_list(StorageType)] = ()
    media_type: Annotated[tuple[MediaType, ...], *comma_list(MediaType)] = ()
    q: Annotated[Text, Field(max_length=1000, description="Words to find in the prompt")] = ""
    page_size: Annotated[int, Field(ge=1, le=100), decimal] = 20
    page_token: Annotated[Text, Field(description="From the page before")] = ""
    include: Annotated[tuple[Include, ...], *comma_list(Include)] = ()


class EventsQuery(Texts):
    """Where to go on, for clients that can not set a header."""

    last_event_id: Annotated[Revision | None, Field(description="As the header Last-Event-ID")] = (
        None
    )


class EventsHeaders(Texts):
    """Where to go on."""

    last_event_id: Annotated[
        Revision | None,
        Field(alias="Last-Event-ID", description="The id seen last; none: a snapshot first"),
    ] = None


class MediaQuery(Texts):
    """How a medium is to be shown."""

    download: Annotated[
        Literal["0", "1"], Field(description="1: to be saved under a name instead of shown")
    ] = "0"
    thumbnail: Annotated[
        Literal["0", "1"], Field(description="1: its thumbnail instead, where it has one")
    ] = "0"


class PresignRequest(Body):
    """A reference image that will be sent straight to the bucket."""

    size_bytes: Annotated[
        int, Field(ge=1, le=MAX_IMAGE_BYTES, description="Exactly how long it is")
    ]
    content_type: ImageType
