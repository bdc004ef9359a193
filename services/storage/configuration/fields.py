"""What the fields of the S3 settings must look like, wherever they are written: each function gives the cleaned value.

All raise ValueError with a sentence that says how the value should look and never repeats it.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url

from services.kernel.egress import EgressRefused, origin_of

_LONGEST_PREFIX: Final = 200
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")
_ACCESS_KEY: Final = re.compile(
    r"[!-.0-~]{0,128}"
)  # without a slash, which would end it in a signature
_SECRET: Final = re.compile(r"[!-~]{0,512}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")


def address(value: str) -> str:
    """An http(s) address with or without a path, or nothing; without a slash at its end."""
    text = value.strip()
    if not text:
        return ""
    try:
        origin_of(text)
    except EgressRefused:
        raise ValueError("must be an http(s) address, for example https://s3.example.com") from None
    parts = urlsplit(text)
    if parts.query or parts.fragment or not text.isascii() or " " in text:
        raise ValueError("must be an address without a question mark, a hash or blanks")
    return text.rstrip("/")


def endpoint(value: str) -> str:
    """The address of an S3 server, or nothing."""
    text = address(value)
    if text and not (is_valid_endpoint_url(text) or is_valid_ipv6_endpoint_url(text)):
        raise ValueError("must have a host name of letters, digits and hyphens only")
    return text


def bucket(value: str) -> str:
    """The name of a bucket, or nothing."""
    text = value.strip()
    if text and (_BUCKET.fullmatch(text) is None or ".." in text or _NUMBERS.fullmatch(text)):
        raise ValueError(
            "must be 3 to 63 lower-case letters, digits, dots and hyphens, "
            "with a letter or digit at both ends"
        )
    return text


def region(value: str) -> str:
    """A region, or nothing."""
    text = value.strip()
    if _REGION.fullmatch(text) is None:
        raise ValueError('must be letters, digits and hyphens, for example us-east-1, or "auto"')
    return text


def prefix(value: str) -> str:
    """What keys begin with, with the slash at its end, or nothing."""
    text = value.strip()
    if not text:
        return ""
    if not text.endswith("/") or text.startswith("/"):
        raise ValueError("must end with a slash and not begin with one, for example media/")
    # What begins with a dot below a prefix is Reelgate's own: its marker and its trials.
    if len(text) > _LONGEST_PREFIX or not all(map(_SEGMENT.fullmatch, text[:-1].split("/"))):
        raise ValueError(
            f"must be at most {_LONGEST_PREFIX} letters, digits and the characters _ - . ~ "
            "between slashes; none of its parts begins with a dot"
        )
    return text


def access_key_id(value: str) -> str:
    """An access key id, or nothing."""
    text = value.strip()
    if _ACCESS_KEY.fullmatch(text) is None:
        raise ValueError("must be the access key id as its provider shows it, without blanks")
    return text


def secret(value: str) -> str:
    """A secret access key, or nothing."""
    text = value.strip()
    if _SECRET.fullmatch(text) is None:
        raise ValueError("must be the secret access key as its provider shows it, without blanks")
    return text
