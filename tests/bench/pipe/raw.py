"""The ceiling: the same bytes from aiohttp into presigned parts, undigested. Arguments: URL, bytes, bucket, key.

Where S3 is and its secrets come from AWS_* of the environment. Prints seconds on the clock and of CPU from the first
request to the last answer: without the start of Python, and without Create and Complete.
"""

import asyncio
import json
import mmap
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import uvloop
from botocore.config import Config
from botocore.session import get_session

_PART: Final = 8 * 1024 * 1024
_IN_FLIGHT: Final = 3
_SLICE: Final = 256 * 1024


async def move(source: str, addresses: list[str]) -> list[str]:
    """Gives the ETags of the parts."""
    free: asyncio.Queue[memoryview] = asyncio.Queue()
    for _ in range(_IN_FLIGHT):
        free.put_nowait(memoryview(mmap.mmap(-1, _PART)))
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        asyncio.TaskGroup() as group,
        session.get(source) as body,
    ):

        async def put(address: str, buffer: memoryview, used: int) -> str:
            async def slices() -> AsyncIterator[memoryview]:
                for start in range(0, used, _SLICE):
                    yield buffer[start : min(start + _SLICE, used)]

            headers = {"Content-Length": str(used)}
            async with session.put(address, data=slices(), headers=headers) as answer:
                answer.raise_for_status()
            free.put_nowait(buffer)
            return answer.headers["ETag"]

        tasks: list[asyncio.Task[str]] = []
        buffer, used = await free.get(), 0
        async for chunk in body.content.iter_any():
            rest = memoryview(chunk)
            while rest:
                count = min(len(rest), _PART - used)
                buffer[used : used + count] = rest[:count]
                rest, used = rest[count:], used + count
                if used == _PART:
                    tasks.append(group.create_task(put(addresses[len(tasks)], buffer, used)))
                    buffer, used = await free.get(), 0
        if used:
            tasks.append(group.create_task(put(addresses[len(tasks)], buffer, used)))
    return [task.result() for task in tasks]


def main(source: str, size: str, bucket: str, key: str) -> None:
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    client: Any = get_session().create_client("s3", config=config)
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    addresses = [
        client.generate_presigned_url("upload_part", Params={**upload, "PartNumber": number})
        for number in range(1, -(-int(size) // _PART) + 1)
    ]
    begin, used = time.perf_counter(), time.process_time()
    etags = uvloop.run(move(source, addresses))
    figures = {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - used,
    }
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
