"""What administrators send about storage."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from services.frontend_bff.schemas.requests import Body, Texts
from services.frontend_bff.schemas.values import Delivery, Text, decimal, moment

_Line = Annotated[Text, Field(max_length=2048)]


class S3Form(Body):
    """The values of the form."""

    enabled: Annotated[bool, Field(description="Switched on")]
    endpoint: Annotated[_Line, Field(description="URL that the service talks to")]
    public_endpoint: Annotated[
        _Line, Field(description="URL that links carry; empty: the endpoint")
    ] = ""
    region: Annotated[_Line, Field(description='"auto" for R2')]
    bucket: _Line
    access_key_id: Annotated[
        _Line, Field(description="Empty: the credential chain of the service's machine")
    ] = ""
    secret_access_key: Annotated[
        _Line | None, Field(description="null or empty: the one that is stored")
    ] = None
    prefix: Annotated[_Line, Field(description="Put before every key, with its own slash")] = ""
    force_path_style: Annotated[
        bool, Field(description="The bucket stands in the path of addresses, not in the host name")
    ] = True
    cdn_url: Annotated[_Line, Field(description="Base URL of a CDN in front; empty: none")] = ""
    delivery: Annotated[
        Delivery, Field(description="Links to the bucket, or bytes through this server")
    ] = "redirect"


class S3Change(S3Form):
    """New settings, instead of those that were read."""

    etag: Annotated[Text, Field(max_length=256, description="Of the settings that were read")]
    leave_objects_behind: Annotated[
        bool, Field(description="Go on although kept works are not found in the new bucket")
    ] = False


class S3ResetQuery(Texts):
    """Which settings are to be forgotten."""

    etag: Annotated[Text, Field(max_length=256, description="Of the settings that were read")]
    leave_objects_behind: Annotated[
        bool, Field(description="Go on although kept works are not found in the other bucket")
    ] = False


class UploadsQuery(Texts):
    """Which page of the log."""

    page_size: Annotated[int, Field(ge=1, le=100), decimal] = 20
    page_token: Annotated[Text, Field(max_length=1024, description="From the page before")] = ""


class CostsQuery(Texts):
    """Which time."""

    start: Annotated[
        datetime | None,
        moment,
        Field(description="From which day on; absent: the first of the month"),
    ] = None
    end: Annotated[datetime | None, moment, Field(description="Until which day; absent: now")] = (
        None
    )
