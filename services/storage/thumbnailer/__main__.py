"""`python -m services.storage.thumbnailer`: started by the storage service, never by hand."""

from services.storage.thumbnailer.asking import (
    AskedFile,
    Parent,
    RefusedError,
    parent_of_this_process,
)
from services.storage.thumbnailer.confinement import begin_job, confine
from services.storage.thumbnailer.protocol import (
    NO_LIBRARY,
    NOT_DECODABLE,
    TOO_LARGE,
    Job,
    Refusal,
    Thumbnail,
)


def main() -> None:
    """Works off jobs until the parent has no more."""
    confine()
    parent = parent_of_this_process()
    parent.hello()
    while (job := parent.next_job()) is not None:
        begin_job()
        try:
            outcome = _outcome(parent, job)
        except MemoryError:
            # What is left of it is in pieces: the next job gets a new process.
            parent.answer(Refusal(TOO_LARGE))
            return
        parent.answer(outcome)


def _outcome(parent: Parent, job: Job) -> Thumbnail | Refusal:
    file = AskedFile(parent, job.size_bytes)
    try:
        return _drawn(file, job.content_type)
    except RefusedError as refused:
        return Refusal(refused.reason)
    except ImportError:
        return Refusal(NO_LIBRARY)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a file of a stranger; whatever is wrong with it, it has no picture
        return Refusal(file.refused.reason if file.refused else NOT_DECODABLE)


def _drawn(file: AskedFile, content_type: str) -> Thumbnail | Refusal:
    # The libraries are loaded by the first file that needs them.
    if content_type.startswith("video/"):
        from services.storage.thumbnailer.films import draw_film  # noqa: PLC0415 - see above

        return draw_film(file, content_type)
    from services.storage.thumbnailer.pictures import draw_picture  # noqa: PLC0415 - see above

    return draw_picture(file, content_type)


if __name__ == "__main__":
    main()
