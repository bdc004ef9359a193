"""`reelgate storage set`: shows the S3 settings in force, or changes them (E1)."""

import argparse
from typing import Final

from reelgate.storage.v1 import settings_pb2
from services.cli import figures
from services.cli.screen import Screen
from services.cli.storage import flags
from services.cli.storage.session import Refused, Session, add_command
from services.kernel.status import rpc_errors

# A new bucket is asked for objects that are kept in the old one.
_CHANGE_SECONDS: Final = 60.0
_ORIGIN: Final = {
    settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT: "the environment of the storage service",
    settings_pb2.SETTINGS_ORIGIN_OPERATOR: "an operator's change",
}


def register(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command that changes settings."""
    parser = add_command(
        acts,
        "set",
        "change the S3 settings, in force within 5 s; without flags, show them",
        _set,
        _prepare,
    )
    flags.add_to(parser)
    parser.add_argument(
        "--reset",
        action="store_true",
        help="forget what was changed: the settings of the environment are in force again",
    )
    parser.add_argument(
        "--leave-objects-behind",
        action="store_true",
        help="go on although kept works are not found in the new bucket: they can not be read until they are",
    )


def _prepare(arguments: argparse.Namespace) -> None:
    changes = flags.are_given(arguments)
    if arguments.reset and changes:
        raise Refused("--reset goes back to the environment; it takes no other settings.")
    if arguments.leave_objects_behind and not (arguments.reset or changes):
        raise Refused("--leave-objects-behind says nothing without a setting to change.")
    flags.read_secret(arguments)


async def _set(session: Session, arguments: argparse.Namespace) -> int:
    present = await _present(session)
    if not arguments.reset and not flags.are_given(arguments):
        _show(session.screen, present)
        return 0
    with rpc_errors():
        if arguments.reset:
            settings = await _reset(session, present, arguments)
            origin = settings_pb2.SETTINGS_ORIGIN_ENVIRONMENT
        else:
            settings = await _update(session, present, arguments)
            origin = settings_pb2.SETTINGS_ORIGIN_OPERATOR
    now = await _present(session)
    # Another replica may have answered, for which the change is seconds away.
    now.settings.CopyFrom(settings)
    now.origin = origin
    _show(session.screen, now)
    session.screen.line()
    session.screen.line("Changed. `reelgate storage diagnose --cleanup` tries it.")
    return 0


async def _update(
    session: Session, present: settings_pb2.GetS3SettingsResponse, arguments: argparse.Namespace
) -> settings_pb2.S3Settings:
    request = settings_pb2.UpdateS3SettingsRequest(
        settings=flags.merged(present.settings, arguments),
        leave_objects_behind=arguments.leave_objects_behind,
    )
    return (await session.settings.UpdateS3Settings(request, timeout=_CHANGE_SECONDS)).settings


async def _reset(
    session: Session, present: settings_pb2.GetS3SettingsResponse, arguments: argparse.Namespace
) -> settings_pb2.S3Settings:
    request = settings_pb2.ResetS3SettingsRequest(
        etag=present.settings.etag, leave_objects_behind=arguments.leave_objects_behind
    )
    return (await session.settings.ResetS3Settings(request, timeout=_CHANGE_SECONDS)).settings


async def _present(session: Session) -> settings_pb2.GetS3SettingsResponse:
    with rpc_errors():
        return await session.settings.GetS3Settings(settings_pb2.GetS3SettingsRequest())


def _show(screen: Screen, answer: settings_pb2.GetS3SettingsResponse) -> None:
    settings = answer.settings
    proxied = settings.delivery == settings_pb2.DELIVERY_PROXY
    rows = [
        ("enabled", "yes" if settings.enabled else "no"),
        ("endpoint", settings.endpoint),
        ("public endpoint", settings.public_endpoint or "(the endpoint)"),
        ("region", settings.region),
        ("bucket", settings.bucket),
        ("access key id", settings.access_key_id or "(credential chain)"),
        ("secret", "set" if settings.secret_set else "not set"),
        ("prefix", settings.prefix or "(none)"),
        ("path style", "yes" if settings.force_path_style else "no"),
        ("CDN URL", settings.cdn_url or "(none)"),
        ("delivery", "proxy" if proxied else "redirect"),
    ]
    if answer.HasField("capabilities"):
        rows.append(("capabilities", _capabilities(answer.capabilities)))
    screen.table(("setting", f"from {_ORIGIN.get(answer.origin, 'somewhere')}"), rows)
    for warning in answer.warnings:
        screen.line(f"! {warning}")


def _capabilities(found: settings_pb2.S3Capabilities) -> str:
    said = (
        "can be listed" if found.listing else "can not be listed",
        "refuses parts with a wrong checksum" if found.checksums else "checks no checksums",
    )
    when = figures.moment(found.try_time.ToDatetime())
    return f"{', '.join(said)} (tried {when} UTC)"
