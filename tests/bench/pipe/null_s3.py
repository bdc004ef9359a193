"""An S3 that takes everything and keeps nothing but names and sizes, as cheaply as can be. Argument: host:port."""

import sys
import threading
from itertools import count
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.bench.pipe.http_threads import Request, serve

_ETAG: Final = '"00000000000000000000000000000000-1"'
_MODIFIED: Final = "Sun, 01 Nov 2026 00:00:00 GMT"
_NO_UPLOAD: Final = b"<Error><Code>NoSuchUpload</Code><Message>It is gone.</Message></Error>"
_LISTING: Final = "<{0}><IsTruncated>false</IsTruncated></{0}>"


class NullS3:
    """Answers as S3 does to those who store and then look whether it is there."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._uploads: dict[str, dict[str, int]] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def handle(self, request: Request) -> None:
        """One request."""
        split = urlsplit(request.target)
        query = {
            name: values[0]
            for name, values in parse_qs(split.query, keep_blank_values=True).items()
        }
        key = unquote(split.path)
        match request.method:
            case "PUT":
                self._put(request, key, query)
            case "POST":
                self._post(request, key, query)
            case "DELETE":
                with self._lock:
                    self._uploads.pop(query.get("uploadId", ""), None)
                    if "uploadId" not in query:
                        self._sizes.pop(key, None)
                request.answer("204 No Content")
            case _:
                self._get(request, key, query)

    def _put(self, request: Request, key: str, query: dict[str, str]) -> None:
        size = request.discard()
        with self._lock:
            if upload := query.get("uploadId"):
                self._uploads[upload][query["partNumber"]] = size
            else:
                self._sizes[key] = size
        request.answer("200 OK", headers={"ETag": _ETAG})

    def _post(self, request: Request, key: str, query: dict[str, str]) -> None:
        request.read()
        with self._lock:
            if upload := query.get("uploadId"):
                self._sizes[key] = sum(self._uploads.pop(upload).values())
                kind, inside = "CompleteMultipartUploadResult", f"<ETag>{_ETAG}</ETag>"
            else:
                upload = f"upload-{next(self._numbers)}"
                self._uploads[upload] = {}
                kind, inside = "InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>"
        bucket, _, name = key.lstrip("/").partition("/")
        body = f"<{kind}><Bucket>{bucket}</Bucket><Key>{name}</Key>{inside}</{kind}>"
        request.answer("200 OK", body.encode(), {"Content-Type": "application/xml"})

    def _get(self, request: Request, key: str, query: dict[str, str]) -> None:
        is_bucket = "/" not in key.strip("/")
        with self._lock:
            size = self._sizes.get(key)
        if "uploadId" in query:
            request.answer("404 Not Found", _NO_UPLOAD)
        elif is_bucket:
            kind = "ListMultipartUploadsResult" if "uploads" in query else "ListBucketResult"
            request.answer("200 OK", _LISTING.format(kind).encode())
        elif size is None or request.method != "HEAD":
            request.answer("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            facts = {"Content-Length": str(size), "ETag": _ETAG, "Last-Modified": _MODIFIED}
            request.answer("200 OK", headers=facts)


if __name__ == "__main__":
    serve(sys.argv[1], NullS3().handle)
