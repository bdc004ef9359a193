"""What administrators read about storage."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from services.frontend_bff.schemas.values import Delivery, Id, SettingsOrigin, Tier, Timestamp


class S3Capabilities(TypedDict):
    """What the server was found to be able to do."""

    listing: Annotated[bool, Field(description="It may be listed; without it nothing is swept")]
    checksums: Annotated[bool, Field(description="It refuses a part whose checksum is wrong")]
    tried_at: Timestamp


class S3Settings(TypedDict):
    """The S3 settings in force."""

    enabled: bool
    endpoint: Annotated[str, Field(description="URL that the service talks to")]
    public_endpoint: Annotated[str, Field(description="URL that links carry; empty: the endpoint")]
    region: str
    bucket: str
    access_key_id: Annotated[
        str, Field(description="Empty: the credential chain of the service's machine")
    ]
    secret_access_key: Annotated[None, Field(description="Never shown; see secret_set")]
    secret_set: Annotated[bool, Field(description="A secret is stored")]
    prefix: str
    force_path_style: bool
    cdn_url: Annotated[str, Field(description="Base URL of a CDN in front; empty: none")]
    delivery: Delivery
    etag: Annotated[str, Field(description="To be sent with a change of these settings")]
    origin: Annotated[SettingsOrigin, Field(description="Where they come from")]
    capabilities: Annotated[S3Capabilities | None, Field(description="null: not tried yet")]
    warnings: Annotated[list[str], Field(description="What an administrator should know")]


class TrialStep(TypedDict):
    """One step of a trial."""

    name: Annotated[str, Field(description="connect, list, upload, link, cors, …")]
    ok: Annotated[bool, Field(description="It went well; with a cure it is a warning")]
    detail: Annotated[str, Field(description="What was seen")]
    cure: Annotated[str | None, Field(description="What to do about it")]
    duration_ms: float


class Trial(TypedDict):
    """What came of trying settings."""

    ok: Annotated[bool, Field(description="No step failed")]
    steps: list[TrialStep]


class UploadRecord(TypedDict):
    """One line of the upload log."""

    id: Id
    object_id: Id | None
    source: Annotated[str, Field(description='Host the bytes came from; "upload": sent to us')]
    tier: Annotated[Tier | None, Field(description="null: none took it")]
    size_bytes: int
    duration_ms: float
    failure: Annotated[str | None, Field(description="Why it was not kept; null: it was")]
    created_at: Timestamp


class UploadPage(TypedDict):
    """A page of the upload log, newest first."""

    items: list[UploadRecord]
    next_page_token: Annotated[str | None, Field(description="null on the last page")]


class Costs(TypedDict):
    """What is stored and moved, and what that costs."""

    stored_bytes: Annotated[int, Field(description="Now")]
    write_operations: Annotated[int, Field(description="Writes and lists (class A) in that time")]
    read_operations: Annotated[int, Field(description="Reads (class B) in that time")]
    egress_bytes: Annotated[int, Field(description="Sent out in that time, as far as we saw")]
    r2_monthly_usd: Annotated[float, Field(description="At R2's list prices")]
    s3_monthly_usd: Annotated[float, Field(description="At S3's list prices")]
