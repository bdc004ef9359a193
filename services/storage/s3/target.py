"""One S3 bucket and how to reach it: what the S3 tier is made of."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, urlsplit

from services.kernel.egress import origin_of


class Delivery(StrEnum):
    """How readers get bytes: by links to the CDN or the bucket, or through our own media route."""

    REDIRECT = "redirect"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class S3Target:
    """A bucket. URLs come without a slash at their end; an empty `access_key_id` means the SDK's credential chain.

    `private`: the endpoint may have a private address. `checksums`: the server takes requests that carry them.
    """

    endpoint: str
    public_endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    prefix: str
    path_style: bool
    cdn_url: str
    delivery: Delivery = Delivery.REDIRECT
    private: bool = False
    checksums: bool = True

    def missing(self) -> list[str]:
        """What is needed and not there; empty when it is complete."""
        wanted = {"endpoint": self.endpoint, "bucket": self.bucket}
        absent = [name for name, value in wanted.items() if not value]
        if bool(self.access_key_id) != bool(self.secret_access_key):
            absent.append("secret_access_key" if self.access_key_id else "access_key_id")
        return absent

    @property
    def link_endpoint(self) -> str:
        """The endpoint that presigned links carry."""
        return self.public_endpoint or self.endpoint

    def object_url(self, endpoint: str, key: str) -> str:
        """The address of an object under one of the endpoints, path style or virtual-host style."""
        path = quote(key, safe="/-_.~")
        if self.path_style:
            return f"{endpoint}/{quote(self.bucket, safe='-_.~')}/{path}"
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{self.bucket}.{parts.netloc}{parts.path}/{path}"


def spelled_origin(url: str) -> str:
    """The origin of a URL as browsers write it: without a port that goes without saying."""
    origin = origin_of(url)
    standard = {"http": 80, "https": 443}[origin.scheme]
    return str(origin).removesuffix(f":{standard}") if origin.port == standard else str(origin)
