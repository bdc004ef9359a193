"""The studio at work: it accepts videos, renders them one after the other, and forgets none."""

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from services.studio.behaviour import Behaviour
from services.studio.errors import ApiError
from services.studio.jobs import Job, Jobs
from services.studio.order import Order
from services.studio.requests import VideoRequest
from services.studio.submits import SubmitLog
from services.studio.workshop import RenderFailedError, Workshop

_log = logging.getLogger(__name__)

_SWEEP_SECONDS = 30.0
_PACE_SECONDS = 0.05


class Studio:
    """Owns the jobs, the renderers, the knobs and the log of submits under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.behaviour = Behaviour()
        self.workshop = Workshop()
        self.log = SubmitLog(self.directory)
        self.jobs = Jobs(self.directory / "videos")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._instant = asyncio.Lock()
        self.album_locks = WeakValueDictionary[str, asyncio.Lock]()

    async def start(self) -> None:
        """Takes up what an earlier run left undone."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for job in self.jobs.load():
            self._begin(job)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Ends every render; the next start takes them up again."""
        tasks = [*self._running.values(), *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def submit(self, wanted: VideoRequest, key: str | None) -> tuple[Job, bool]:
        """Accepts a video, or finds the one that this key started: the job, and whether it is new.

        Raises:
            ApiError: 409, the key belongs to another request or to a deleted video.
        """
        earlier = self.jobs.by_key(key) if key is not None else None
        if earlier is not None:
            if earlier.fingerprint != wanted.fingerprint():
                raise ApiError(
                    409,
                    "This Idempotency-Key was used for another request.",
                    "idempotency_key_reused",
                )
            if earlier.deleted:
                raise ApiError(
                    409,
                    f"The video {earlier.id} of this Idempotency-Key was deleted.",
                    "video_deleted",
                )
            self.log.replayed(self._entry(earlier))
            return earlier, False
        job = Job(
            id=f"video_{secrets.token_hex(12)}",
            model=wanted.model,
            prompt=wanted.prompt,
            seconds=wanted.seconds,
            size=wanted.size,
            created_at=time.time(),
            metadata=wanted.metadata,
            idempotency_key=key,
            fingerprint=wanted.fingerprint(),
            has_reference=wanted.reference is not None,
            plan=self.behaviour.plan(),
        )
        self.jobs.add(job, wanted.reference)
        self.log.submitted(self._entry(job))
        self._begin(job)
        return job, True

    @staticmethod
    def _entry(job: Job) -> dict[str, Any]:
        return {
            "kind": "video",
            **job.model_dump(include={"id", "model", "prompt", "idempotency_key", "metadata"}),
        }

    async def delete(self, job: Job) -> None:
        """Aborts the render if it runs, and removes its files."""
        task = self._running.get(job.id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if not job.deleted:
            self.jobs.delete(job)

    async def instant_video(self) -> Path:
        """A tiny MP4 that stands for every instant render; made once."""
        path = self.directory / "instant.mp4"
        async with self._instant:
            if not path.exists():
                await self.workshop.render(
                    Order("video", "instant", 64, 64, str(path), seconds=0.1)
                )
        return path

    def video_of(self, job: Job) -> Path:
        """Where the content of a completed job is."""
        return self.directory / "instant.mp4" if job.plan.instant else self.jobs.video(job)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._running[job.id] = task
        task.add_done_callback(lambda _: self._running.pop(job.id, None))

    async def _run(self, job: Job) -> None:
        try:
            await self._make(job)
        except (RenderFailedError, OSError) as problem:
            _log.warning("%s: %s", job.id, problem)
            self._end(
                job, {"code": "render_failed", "message": "The studio could not render this video."}
            )

    async def _make(self, job: Job) -> None:
        plan = job.plan
        if plan.fail_with is not None:
            await self._pretend(job, half=True)
            self._end(job, {"code": plan.fail_with.code, "message": plan.fail_with.message})
        elif plan.synthetic_bytes is not None:
            await self._pretend(job)
            self._end(job)
        elif plan.instant:
            await self._pretend(job)
            await self.instant_video()
            self._end(job)
        else:
            await self._render(job)
            self._end(job)

    async def _render(self, job: Job) -> None:
        width, _, height = job.size.partition("x")
        order = Order(
            "video",
            job.prompt,
            int(width),
            int(height),
            str(self.jobs.video(job)),
            seconds=float(job.seconds),
            thumbnail=str(self.jobs.thumbnail(job)),
            reference=str(self.jobs.reference(job)) if job.has_reference else None,
            at_least_seconds=job.plan.render_seconds,
        )

        def encoded(frames: int) -> None:
            # 100 is for the finished file, so the last frame alone does not make it.
            job.progress = min(99, frames * 100 // order.frames)

        await self.workshop.render(order, started=lambda: self._started(job), encoded=encoded)

    async def _pretend(self, job: Job, *, half: bool = False) -> None:
        """Takes the time of a render without rendering; a failure comes half-way."""
        self._started(job)
        began, whole = time.monotonic(), job.plan.render_seconds
        while (passed := time.monotonic() - began) < whole:
            job.progress = min(99, int(passed / whole * (50 if half else 100)))
            await asyncio.sleep(min(_PACE_SECONDS, whole - passed))

    def _started(self, job: Job) -> None:
        job.status = "in_progress"

    def _end(self, job: Job, error: dict[str, str] | None = None) -> None:
        job.error = error
        job.completed_at = time.time()
        if error is None:
            job.progress = 100
            if job.plan.expires_in_seconds is not None:
                job.expires_at = job.completed_at + job.plan.expires_in_seconds
        job.status = "failed" if error else "completed"
        self.jobs.save(job)

    async def _sweep(self) -> None:
        """Removes the files of expired videos, so that the directory does not grow for ever."""
        while True:
            for job in self.jobs.listed():
                if job.expired:
                    await asyncio.to_thread(self.jobs.drop_media, job)
            await asyncio.sleep(_SWEEP_SECONDS)
