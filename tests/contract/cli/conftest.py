"""A gateway and a storage service that answer what a test told them, in a thread: the command runs its own loop."""

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reelgate.gateway.v1 import identity_pb2
from services.cli.__main__ import main
from services.kernel.grpc_server import make_server, serving
from services.kernel.tokens import Signer, Verifier, generate_signing_key, public_jwks
from tests.contract.frontend_bff import messages
from tests.contract.frontend_bff.fakes import PUBLIC, Backend

_VARIABLES = (
    "REELGATE_HOME",
    "REELGATE_GATEWAY_ADDRESS",
    "REELGATE_STORAGE_ADDRESS",
    "REELGATE_EMAIL",
    "REELGATE_PASSWORD",
    "REELGATE_GATEWAY_SIGNING_KEY_FILE",
    "NO_COLOR",
)


class Services:
    """Gateway and storage at addresses of their own; each takes only tokens that are meant for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.backend = Backend()
        self.addresses: dict[str, str] = {}
        self.key_file = home / "signing_key.pem"
        pem = generate_signing_key()
        self.key_file.write_text(pem)
        self._jwks_file = home / "jwks.json"
        self._jwks_file.write_text(json.dumps(public_jwks(pem)))
        self._signer = Signer(pem)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Services":
        self._thread.start()
        assert self._up.wait(30)
        self.let_in("admin")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        gateway = make_server(Verifier(self._jwks_file, "gateway"), PUBLIC)
        storage = make_server(Verifier(self._jwks_file, "storage"))
        for server in (gateway, storage):
            self.backend.add_to(server)
        async with (
            serving(gateway, "127.0.0.1:0", (), drain_seconds=0) as gateway_port,
            serving(storage, "127.0.0.1:0", (), drain_seconds=0) as storage_port,
        ):
            self.addresses["gateway"] = f"127.0.0.1:{gateway_port}"
            self.addresses["storage"] = f"127.0.0.1:{storage_port}"
            self._up.set()
            await self._stop.wait()

    def let_in(self, role: str) -> None:
        """Whoever logs in has this role."""
        number = identity_pb2.ROLE_ADMIN if role == "admin" else identity_pb2.ROLE_USER
        audience = ("gateway", "storage", "quota")
        token = self._signer.sign(
            messages.USER, audience=audience, lifetime_seconds=60, role="admin"
        )
        self.backend.answers["Login"] = identity_pb2.LoginResponse(
            user=messages.user(role=number), tokens=messages.tokens(access=token)
        )

    def write_ready(self) -> None:
        """What the local stack writes when it is up."""
        texts = ("bff_url", "gateway_url", "api_key", "database_url")
        ready = {
            **dict.fromkeys(texts, ""),
            **{name: {} for name in ("admin", "studio", "s3")},
            "email": "demo@example.com",
            "password": "the demo's password",
            "grpc": self.addresses,
        }
        (self.home / "ready.json").write_text(json.dumps(ready))


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Reelgate = Callable[..., Ran]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, and no `.env` file here."""
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services that are up."""
    with Services(tmp_path) as running:
        yield running


@pytest.fixture
def backend(services: Services, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """What the services answer; the command finds them by ready.json."""
    services.write_ready()
    monkeypatch.setenv("REELGATE_HOME", str(services.home))
    return services.backend


@pytest.fixture
def reelgate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reelgate:
    """Runs `reelgate storage …`; ``stdin`` is what is piped into it."""

    def run(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main(["storage", *arguments])
        written = capsys.readouterr()
        return Ran(code, written.out, written.err)

    return run
