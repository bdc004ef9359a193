"""S3 settings as an operator writes them, and what they mean: every field checked, the secret found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.kernel.egress import EgressRefused, origin_of
from services.kernel.errors import InvalidArgument
from services.storage.configuration import fields as s3_fields
from services.storage.configuration.in_force import S3InForce
from services.storage.configuration.model import S3Settings
from services.storage.s3.target import Delivery, S3Target

_R2: Final = ".r2.cloudflarestorage.com"


@dataclass(frozen=True, slots=True)
class S3Form:
    """What an operator wrote. An empty secret means the one there is; `etag` is that of what was shown ("": any)."""

    enabled: bool
    endpoint: str
    public_endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    prefix: str
    path_style: bool
    cdn_url: str
    delivery: Delivery
    etag: str


def understood(form: S3Form, in_force: S3InForce) -> S3Settings:
    """The settings that a form stands for, complete or not. Raises InvalidArgument naming the field that is wrong."""
    endpoint = _read("endpoint", s3_fields.endpoint, form.endpoint)
    bucket = _read("bucket", s3_fields.bucket, form.bucket)
    if bucket and endpoint.rpartition("/")[2] == bucket and endpoint.count("/") > 2:
        raise InvalidArgument(
            "The endpoint is the address without the bucket's name.", field="endpoint"
        )
    access_key_id = _read("access_key_id", s3_fields.access_key_id, form.access_key_id)
    default_region = "auto" if endpoint.endswith(_R2) else "us-east-1"
    target = S3Target(
        endpoint=endpoint,
        public_endpoint=_read("public_endpoint", s3_fields.endpoint, form.public_endpoint),
        region=_read("region", s3_fields.region, form.region) or default_region,
        bucket=bucket,
        access_key_id=access_key_id,
        secret_access_key=_secret(form, access_key_id, in_force),
        prefix=_read("prefix", s3_fields.prefix, form.prefix),
        path_style=form.path_style,
        cdn_url=_read("cdn_url", s3_fields.address, form.cdn_url),
        delivery=form.delivery,
        private=bool(endpoint) and origin_of(endpoint) in in_force.trusted,
    )
    _require_hosts(target)
    return S3Settings(form.enabled, target)


def _require_hosts(target: S3Target) -> None:
    """With the bucket's name before it, an endpoint must still be an address: a number is none then."""
    for endpoint in filter(None, (target.endpoint, target.public_endpoint)):
        try:
            origin_of(target.object_url(endpoint, ""))
        except EgressRefused:
            raise InvalidArgument(
                "The bucket's name can not stand before an endpoint that is an IP address: force path style.",
                field="force_path_style",
            ) from None


def _secret(form: S3Form, access_key_id: str, in_force: S3InForce) -> str:
    written = _read("secret_access_key", s3_fields.secret, form.secret_access_key)
    if written and not access_key_id:
        raise InvalidArgument("A secret needs its access key id.", field="access_key_id")
    if written or not access_key_id:
        return written
    for known in (in_force.now.settings.target, in_force.environment.target):
        if known.access_key_id == access_key_id and known.secret_access_key:
            return known.secret_access_key
    if in_force.now.locked:
        raise InvalidArgument(
            "The secret that is stored can not be opened: enter it again.",
            field="secret_access_key",
        )
    # What is kept under another id can only be the wrong one.
    if in_force.now.settings.target.secret_access_key:
        raise InvalidArgument(
            "The secret that is stored belongs to another access key id: enter that of this one.",
            field="secret_access_key",
        )
    return ""


def _read(name: str, read: Callable[[str], str], value: str) -> str:
    try:
        return read(value)
    except ValueError as problem:
        raise InvalidArgument(f"The {name.replace('_', ' ')} {problem}.", field=name) from None
