"""Values that more than one body has, each with its check and its place in the OpenAPI document."""

import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from services.kernel.errors import InvalidArgument
from services.kernel.ids import parse_id

MediaType = Literal["video", "image"]
Orientation = Literal["landscape", "portrait", "square"]
Status = Literal["pending", "generating", "completed", "failed", "cancelled"]
Stage = Literal["admitting", "queued", "submitting", "generating", "unknown", "storing", "stored"]
StorageType = Literal["s3", "local", "upstream", "none"]
QuotaSource = Literal["user", "group", "default", "unlimited"]
Role = Literal["user", "admin"]
TransactionKind = Literal["grant", "correction", "hold", "capture", "refund"]
Tier = Literal["s3", "local"]
Delivery = Literal["redirect", "proxy"]
SettingsOrigin = Literal["environment", "operator"]
ImageType = Literal["image/jpeg", "image/png", "image/webp"]

MAX_IMAGE_BYTES: Final = 10 * 1024 * 1024
# A protobuf Struct is parsed 100 messages deep at most, and each level of JSON takes up to three.
_MAX_DEPTH: Final = 24
# Numbers of a Struct are doubles: a larger whole number would come out changed.
_MAX_WHOLE_NUMBER: Final = 2**53
# Bytes and credits; more is refused by the quota service, too.
LARGEST_AMOUNT: Final = 2**53


def _canonical_id(text: str) -> str:
    try:
        return str(parse_id(text, "id"))
    except InvalidArgument:
        raise ValueError("Input should be an id (UUID)") from None


def _storable(text: str) -> str:
    # PostgreSQL stores no NUL, and UTF-8 has no surrogates.
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("Input should be text without NUL characters and lone surrogates")
    return text


def _plain(value: JsonValue, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"Input should be nested at most {_MAX_DEPTH} levels deep")
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Numbers should be finite")
    elif isinstance(value, int) and abs(value) > _MAX_WHOLE_NUMBER:
        raise ValueError("Whole numbers should be between -2^53 and 2^53")
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _plain(item, depth + 1)


def _plain_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _plain(value)
    return value


def _decimal(text: str) -> int:
    # int() would also take "+5", " 5", "1_0" and digits of other scripts.
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        raise ValueError("Input should be a whole number")
    return int(text)


_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII
)


def _moment(text: Any) -> datetime:
    # fromisoformat() would also take weeks and days without a time.
    try:
        if isinstance(text, str) and _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("Input should be a time as in RFC 3339: 2026-01-31T12:00:00Z")


_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("Input should be a day: 2026-01-31")


class _NeverNull:
    """Metadata of a field that may be left out: absent is None, but a null is refused."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_refuse_null, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        one, null = described.pop("anyOf")
        if null != {"type": "null"}:
            raise TypeError("This is for what is either one type or None.")
        return {**one, **described}


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise ValueError("Input should not be null; leave it out instead")
    return value


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def comma_list(values: Any) -> tuple[BeforeValidator, WithJsonSchema]:
    """Metadata for a tuple of the Literal `values`, written with commas between them; empty: none."""
    one = "|".join(get_args(values))
    return BeforeValidator(_split), WithJsonSchema(
        {"type": "string", "pattern": f"^(({one})(,({one}))*)?$"}
    )


Id = Annotated[
    str, AfterValidator(_canonical_id), WithJsonSchema({"type": "string", "format": "uuid"})
]
Text = Annotated[str, AfterValidator(_storable)]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_plain_object)]
# Last in an `Annotated`, so that the bounds before it are those of the number.
decimal = BeforeValidator(_decimal)
moment = BeforeValidator(_moment)
day = BeforeValidator(_day)
never_null = _NeverNull()
QuotaLimit = Annotated[
    int, Field(ge=-1, le=LARGEST_AMOUNT, description="Bytes; 0: not set, -1: no limit")
]
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Date = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
