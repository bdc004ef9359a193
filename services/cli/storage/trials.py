"""`reelgate storage check|diagnose|test`: each step ticks, or says what is wrong and how to mend it (E12)."""

import argparse
from typing import Final

from reelgate.storage.v1 import settings_pb2
from services.cli.screen import Mark, Step
from services.cli.storage import flags
from services.cli.storage.session import Session, add_command
from services.kernel.status import rpc_errors

# The longest name of a step: the details stand in one column.
_NAME_WIDTH: Final = 9
_TRIAL_SECONDS: Final = 300.0


def register(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands that try settings."""
    add_command(acts, "check", "connect to S3 and list, with the settings in force", _check)
    diagnose = add_command(
        acts,
        "diagnose",
        "try everything with the settings in force: a picture is uploaded, listed, fetched by its link, compared",
        _diagnose,
    )
    diagnose.add_argument(
        "--cleanup", action="store_true", help="delete the picture afterwards, and try that, too"
    )
    test = add_command(
        acts,
        "test",
        "try other settings without keeping them: those in force with what the flags say",
        _test,
        flags.read_secret,
    )
    flags.add_to(test)


async def _check(session: Session, _: argparse.Namespace) -> int:
    return await _try(session, settings_pb2.TestS3SettingsRequest(connect_only=True))


async def _diagnose(session: Session, arguments: argparse.Namespace) -> int:
    request = settings_pb2.TestS3SettingsRequest(keep_picture=not arguments.cleanup)
    return await _try(session, request)


async def _test(session: Session, arguments: argparse.Namespace) -> int:
    with rpc_errors():
        present = await session.settings.GetS3Settings(settings_pb2.GetS3SettingsRequest())
    settings = flags.merged(present.settings, arguments)
    return await _try(session, settings_pb2.TestS3SettingsRequest(settings=settings))


async def _try(session: Session, request: settings_pb2.TestS3SettingsRequest) -> int:
    """Shows the steps as they come; gives the exit code."""
    marks: list[Mark] = []
    with rpc_errors():
        async for answer in session.settings.TestS3Settings(request, timeout=_TRIAL_SECONDS):
            step = shown(answer.step)
            session.screen.step(step, _NAME_WIDTH)
            marks.append(step.mark)
    session.screen.line()
    session.screen.line(summary(marks))
    return 0 if marks and "failed" not in marks else 1


def shown(step: settings_pb2.TestStep) -> Step:
    """A step as the screen has it: what went well but has a cure is a warning."""
    mark: Mark = "failed" if not step.ok else "warning" if step.cure else "ok"
    milliseconds = step.duration.ToMicroseconds() / 1000
    return Step(mark, step.name, step.detail, step.cure, milliseconds)


def summary(marks: list[Mark]) -> str:
    """What came of all steps, in a sentence."""
    failed, warnings = marks.count("failed"), marks.count("warning")
    if not marks:
        return "Nothing could be tried."
    if failed:
        return f"{failed} of {len(marks)} steps failed."
    if warnings:
        return f"All {len(marks)} steps went well, {warnings} with something to know."
    return f"All {len(marks)} steps went well." if len(marks) > 1 else "The step went well."
