"""Flags that change S3 settings: only those that are given do."""

import argparse
import getpass
import re
import sys
from typing import Final

from reelgate.storage.v1 import settings_pb2
from services.cli.storage.session import Refused

_TEXTS: Final = {
    "endpoint": "URL that the service talks to",
    "public_endpoint": "URL that links carry ('' means the endpoint)",
    "region": "region; auto for R2",
    "bucket": "name of the bucket",
    "access_key_id": "id of the access key ('' means the credential chain of the service's machine)",
    "prefix": "put before every key, with its own slash at the end",
    "cdn_url": "base URL of a CDN in front of the bucket ('' means none)",
}
_DELIVERY: Final = {
    "redirect": settings_pb2.DELIVERY_REDIRECT,
    "proxy": settings_pb2.DELIVERY_PROXY,
}
_R2_ACCOUNT: Final = re.compile(r"[0-9A-Za-z]{1,63}")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the settings."""
    group = parser.add_argument_group("settings", "what is not given stays as it is")
    for name, what in _TEXTS.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=what)
    group.add_argument(
        "--secret-stdin",
        action="store_true",
        help="read the secret of the access key from the first line of the standard input; at a terminal "
        "it is asked for without showing it",
    )
    group.add_argument(
        "--path-style",
        action=argparse.BooleanOptionalAction,
        help="write the bucket into the path of addresses instead of into the host name",
    )
    group.add_argument(
        "--delivery",
        choices=_DELIVERY,
        help="links lead to the bucket or the CDN (redirect), or bytes go through our own server (proxy)",
    )
    switch = group.add_mutually_exclusive_group()
    switch.add_argument(
        "--enable", dest="enabled", action="store_true", default=None, help="switch S3 on"
    )
    switch.add_argument(
        "--disable", dest="enabled", action="store_false", default=None, help="switch S3 off"
    )
    group.add_argument(
        "--r2-account-id",
        metavar="ID",
        help="Cloudflare R2 of this account: sets endpoint, region and path style unless they are given, too",
    )


def are_given(arguments: argparse.Namespace) -> bool:
    """At least one setting is to change."""
    return arguments.secret_stdin or any(
        getattr(arguments, name) is not None
        for name in (*_TEXTS, "path_style", "delivery", "enabled", "r2_account_id")
    )


def read_secret(arguments: argparse.Namespace) -> None:
    """Puts the secret into ``arguments.secret``, "" when it stays. Raises Refused."""
    if arguments.r2_account_id is not None and not _R2_ACCOUNT.fullmatch(arguments.r2_account_id):
        raise Refused("--r2-account-id: this is no account id; it has letters and digits only.")
    arguments.secret = ""
    if not arguments.secret_stdin and not arguments.access_key_id:
        return
    if sys.stdin.isatty():
        arguments.secret = getpass.getpass("Secret access key: ")
    elif arguments.secret_stdin:
        arguments.secret = sys.stdin.readline().rstrip("\r\n")
    else:
        raise Refused("A new access key id needs its secret: pipe it in with --secret-stdin.")
    if not arguments.secret:
        raise Refused("The secret is empty; nothing was changed.")


def merged(
    present: settings_pb2.S3Settings, arguments: argparse.Namespace
) -> settings_pb2.S3Settings:
    """The present settings with what the flags say."""
    settings = settings_pb2.S3Settings()
    settings.CopyFrom(present)
    if arguments.r2_account_id is not None:
        settings.endpoint = f"https://{arguments.r2_account_id}.r2.cloudflarestorage.com"
        settings.public_endpoint = ""
        settings.region = "auto"
        settings.force_path_style = True
    for name in _TEXTS:
        value = getattr(arguments, name)
        if value is not None:
            setattr(settings, name, value)
    if arguments.path_style is not None:
        settings.force_path_style = arguments.path_style
    if arguments.delivery is not None:
        settings.delivery = _DELIVERY[arguments.delivery]
    if arguments.enabled is not None:
        settings.enabled = arguments.enabled
    settings.secret_access_key = arguments.secret
    return settings
