"""An S3 server in memory that misbehaves on demand, for what a real one can not be brought to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web


@dataclass
class FakeS3:
    """Knows no signatures. `refusals`: operation → (status, code); the operations are those of `_operation`."""

    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    region: str = ""
    date: str = ""
    compares_checksums: bool = True
    takes_checksums: bool = True
    allowed_origin: str = "*"
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        operation = self._operation(request)
        headers = (
            {"Access-Control-Allow-Origin": self.allowed_origin} if self.allowed_origin else {}
        )
        if self.date:
            headers["Date"] = self.date
        summed = any(name.lower().startswith("x-amz-checksum") for name in request.headers)
        if operation in self.refusals:
            status, code = self.refusals[operation]
            return self._refuse(status, code, headers)
        if summed and not self.takes_checksums:
            return self._refuse(501, "NotImplemented", headers)
        status, body, more = await self._do(operation, request)
        if status >= 400:
            return self._refuse(status, body.decode(), headers)
        return web.Response(status=status, body=body, headers=headers | more)

    @staticmethod
    def _operation(request: web.Request) -> str:
        key = request.match_info["path"].partition("/")[2]
        if request.method == "OPTIONS":
            return "preflight"
        if not key:
            if request.method == "HEAD":
                return "connect"
            return "uploads" if "uploads" in request.query else "list"
        names = {"GET": "get", "HEAD": "head", "PUT": "put", "DELETE": "delete", "POST": "create"}
        if "uploadId" in request.query:
            names |= {"PUT": "part", "POST": "complete", "DELETE": "abort"}
        return names[request.method]

    async def _do(self, operation: str, request: web.Request) -> tuple[int, bytes, dict[str, str]]:
        key = request.match_info["path"].partition("/")[2]
        upload_id = request.query.get("uploadId", "")
        done: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        match operation:
            case "list":
                found = [one for one in self.objects if one.startswith(request.query["prefix"])]
                rows = "".join(f"<Contents><Key>{one}</Key></Contents>" for one in found)
                done = (200, _result("ListBucket", rows), {})
            case "uploads":
                rows = "".join(f"<Upload><UploadId>{one}</UploadId></Upload>" for one in self.parts)
                done = (200, _result("ListMultipartUploads", rows), {})
            case "put":
                self.objects[key] = await request.read()
                done = (200, b"", {"ETag": '"etag"'})
            case "get" | "head" if key not in self.objects:
                done = (404, b"NoSuchKey", {})
            case "get":
                wanted = request.http_range
                part = self.objects[key][wanted]
                done = (200 if wanted.stop is wanted.start is None else 206, part, {})
            case "delete":
                self.objects.pop(key, None)
                done = (204, b"", {})
            case "create":
                upload_id = f"upload-{len(self.parts)}-{len(self.objects)}"
                self.parts[upload_id] = {}
                done = (
                    200,
                    _result("InitiateMultipartUpload", f"<UploadId>{upload_id}</UploadId>"),
                    {},
                )
            case "part":
                body = await request.read()
                told = request.headers.get("x-amz-checksum-crc32")
                if told and self.compares_checksums and body == b"a part":
                    done = (400, b"BadDigest", {})  # the one that the trial lies about
                else:
                    self.parts[upload_id][int(request.query["partNumber"])] = body
                    done = (200, b"", {"ETag": '"etag"'})
            case "complete":
                parts = self.parts.pop(upload_id)
                self.objects[key] = b"".join(parts[number] for number in sorted(parts))
                row = f"<Key>{key}</Key><ETag>etag-{len(parts)}</ETag>"
                done = (200, _result("CompleteMultipartUpload", row), {})
            case "abort":
                self.parts.pop(upload_id, None)
                done = (204, b"", {})
            case "preflight":
                done = (200, b"", {"Access-Control-Allow-Methods": "GET, PUT"})
        return done

    def _refuse(self, status: int, code: str, headers: dict[str, str]) -> web.Response:
        if not code:
            return web.Response(status=status, text="<html>something else</html>", headers=headers)
        region = f"<Region>{self.region}</Region>" if self.region else ""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code>{region}</Error>"
        return web.Response(status=status, text=body, headers=headers)


def _result(name: str, rows: str) -> bytes:
    return f"<{name}Result>{rows}</{name}Result>".encode()
