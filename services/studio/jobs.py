"""Videos as records: one folder each, so that a restart of the studio loses none."""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from services.studio.behaviour import Plan

_log = logging.getLogger(__name__)

Status = Literal["queued", "in_progress", "completed", "failed"]


class Job(BaseModel):
    """One video that was accepted. Times are Unix seconds.

    `progress` is not kept on disk: after a restart the render begins anew.
    """

    id: str
    model: str
    prompt: str
    seconds: str
    size: str
    created_at: float
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    fingerprint: str
    has_reference: bool = False
    plan: Plan = Plan()
    status: Status = "queued"
    progress: int = 0
    error: dict[str, str] | None = None
    completed_at: float | None = None
    expires_at: float | None = None
    deleted: bool = False

    @property
    def ended(self) -> bool:
        """Completed or failed."""
        return self.status in ("completed", "failed")

    @property
    def expired(self) -> bool:
        """Whether its content is not given out any more."""
        return self.expires_at is not None and time.time() >= self.expires_at

    def video_object(self) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        return {
            "id": self.id,
            "object": "video",
            "status": self.status,
            "progress": self.progress,
            "created_at": int(self.created_at),
            "completed_at": int(self.completed_at) if self.completed_at else None,
            "expires_at": int(self.expires_at) if self.expires_at else None,
            "model": self.model,
            "seconds": self.seconds,
            "size": self.size,
            "prompt": self.prompt,
            "remixed_from_video_id": None,
            "error": self.error,
            "metadata": self.metadata,
        }


class Jobs:
    """All jobs, oldest first, in memory and under `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._by_id: dict[str, Job] = {}
        self._by_key: dict[str, Job] = {}

    def load(self) -> list[Job]:
        """Reads what an earlier run left; gives the jobs that had not ended, as queued again."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found = []
        for path in self._directory.glob("*/job.json"):
            try:
                found.append(Job.model_validate_json(path.read_bytes()))
            except ValidationError:
                _log.warning("%s is damaged; its video is forgotten", path)
        for job in sorted(found, key=lambda job: job.created_at):
            job.progress = 100 if job.status == "completed" else 0
            self._index(job)
        waiting = [job for job in self._by_id.values() if not job.ended and not job.deleted]
        for job in waiting:
            job.status = "queued"
        return waiting

    def add(self, job: Job, reference: bytes | None) -> None:
        """Keeps a new job and its reference picture."""
        self.folder(job).mkdir()
        if reference is not None:
            self.reference(job).write_bytes(reference)
        self.save(job)
        self._index(job)

    def _index(self, job: Job) -> None:
        self._by_id[job.id] = job
        if job.idempotency_key is not None:
            self._by_key[job.idempotency_key] = job

    def save(self, job: Job) -> None:
        """Writes the record in one step: a kill leaves the old one or the new one."""
        path = self.folder(job) / "job.json"
        part = path.with_suffix(".part")
        part.write_text(
            json.dumps(job.model_dump(mode="json", exclude={"progress"}), ensure_ascii=False)
        )
        part.replace(path)

    def get(self, job_id: str) -> Job | None:
        """The job, unless it is unknown or deleted."""
        job = self._by_id.get(job_id)
        return None if job is None or job.deleted else job

    def by_key(self, key: str) -> Job | None:
        """The job of an idempotency key, also a deleted one."""
        return self._by_key.get(key)

    def listed(self) -> list[Job]:
        """Those that are not deleted, oldest first."""
        return [job for job in self._by_id.values() if not job.deleted]

    def delete(self, job: Job) -> None:
        """Removes its files.

        The record of a job with a key stays, so that the key never starts a second render.
        """
        job.deleted = True
        self.drop_media(job)
        if job.idempotency_key is None:
            del self._by_id[job.id]
            shutil.rmtree(self.folder(job), ignore_errors=True)
        else:
            self.save(job)

    def drop_media(self, job: Job) -> None:
        """Removes everything but the record."""
        for path in self.folder(job).iterdir():
            if path.name != "job.json":
                path.unlink(missing_ok=True)

    def folder(self, job: Job) -> Path:
        """Where everything of a job is kept."""
        return self._directory / job.id

    def video(self, job: Job) -> Path:
        """Its MP4."""
        return self.folder(job) / "video.mp4"

    def thumbnail(self, job: Job) -> Path:
        """Its WebP."""
        return self.folder(job) / "thumbnail.webp"

    def reference(self, job: Job) -> Path:
        """The picture that came with the prompt."""
        return self.folder(job) / "reference"
