"""The routes of videos: `/v1/videos`."""

import asyncio

from aiohttp import web

from services.studio.content import FileBody, SyntheticBody, send
from services.studio.errors import ApiError, invalid
from services.studio.jobs import Job
from services.studio.requests import read_fields, video_request
from services.studio.studio import Studio

STUDIO = web.AppKey("studio", Studio)


def routes() -> list[web.RouteDef]:
    """All of them."""
    return [
        web.post("/v1/videos", create),
        web.get("/v1/videos", list_all),
        web.get("/v1/videos/{id}", show),
        web.get("/v1/videos/{id}/content", content),
        web.delete("/v1/videos/{id}", delete),
    ]


async def create(request: web.Request) -> web.StreamResponse:
    """Accepts a video, or answers with the one its `Idempotency-Key` started before."""
    studio = request.app[STUDIO]
    studio.behaviour.refuse_submit()
    wanted = video_request(await read_fields(request))
    job, new = studio.submit(wanted, request.headers.get("Idempotency-Key") or None)
    answer = job.video_object()
    if new:
        await answer_as_told(request, studio)
    return web.json_response(answer)


async def answer_as_told(request: web.Request, studio: Studio) -> None:
    """Lets the answer of an accepted submit come late, or never."""
    lost = studio.behaviour.lose_answer()
    await asyncio.sleep(studio.behaviour.submit_delay_seconds)
    if lost and request.transport is not None:
        request.transport.abort()


async def list_all(request: web.Request) -> web.Response:
    """A page of them, newest first unless `order=asc`."""
    query = request.query
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after")
    if not limit.isdecimal() or not 1 <= int(limit) <= 100:
        raise invalid("limit", "limit must be a whole number from 1 to 100.")
    if order not in ("asc", "desc"):
        raise invalid("order", "order must be asc or desc.")
    jobs = request.app[STUDIO].jobs.listed()
    if order == "desc":
        jobs.reverse()
    if after:
        ids = [job.id for job in jobs]
        if after not in ids:
            raise invalid("after", f"after: there is no video {after}.")
        jobs = jobs[ids.index(after) + 1 :]
    page = [job.video_object() for job in jobs[: int(limit)]]
    ends = (
        {"first_id": page[0]["id"], "last_id": page[-1]["id"]}
        if page
        else {"first_id": None, "last_id": None}
    )
    return web.json_response(
        {"object": "list", "data": page, "has_more": len(jobs) > len(page), **ends}
    )


async def show(request: web.Request) -> web.Response:
    """One video's state."""
    return web.json_response(_job(request).video_object())


async def content(request: web.Request) -> web.StreamResponse:
    """The MP4, or the thumbnail."""
    studio, job = request.app[STUDIO], _job(request)
    variant = request.query.get("variant", "video")
    if variant not in ("video", "thumbnail"):
        raise invalid("variant", "variant must be video or thumbnail.")
    if job.status != "completed":
        raise ApiError(
            409, f"The video {job.id} has no content: it is {job.status}.", "video_not_ready"
        )
    if job.expired:
        raise ApiError(404, f"The content of the video {job.id} has expired.", "video_expired")
    pace = studio.behaviour.content_bytes_per_second
    if variant == "thumbnail":
        path, kind = studio.jobs.thumbnail(job), "image/webp"
        if not path.exists():
            raise ApiError(404, f"The video {job.id} has no thumbnail.", "thumbnail_not_found")
    else:
        path, kind = studio.video_of(job), "video/mp4"
        if job.plan.synthetic_bytes is not None:
            return await send(request, SyntheticBody(job.id, job.plan.synthetic_bytes), kind, pace)
    if pace is not None:
        return await send(request, FileBody(path), kind, pace)
    return web.FileResponse(path, headers={"Content-Type": kind})


async def delete(request: web.Request) -> web.Response:
    """Aborts or removes one."""
    job = _job(request)
    await request.app[STUDIO].delete(job)
    return web.json_response({"id": job.id, "object": "video.deleted", "deleted": True})


def _job(request: web.Request) -> Job:
    job_id = request.match_info["id"]
    job = request.app[STUDIO].jobs.get(job_id)
    if job is None:
        raise ApiError(404, f"There is no video {job_id}.", "video_not_found", "video_id")
    return job
