"""`reelgate admin create|reset-password` (H1) against a running gateway."""

import asyncio
import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.kernel.errors import ReelgateError
from services.kernel.migrations import migrate
from services.kernel.tokens import Signer, generate_signing_key, public_jwks
from tests.contract.gateway.identity.running import MIGRATIONS, Gateway, Keys, gateway_api

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "an administrator's password"
VARIABLES = (
    "REELGATE_HOME",
    "REELGATE_GATEWAY_ADDRESS",
    "REELGATE_EMAIL",
    "REELGATE_PASSWORD",
    "REELGATE_GATEWAY_SIGNING_KEY_FILE",
)


class Stack:
    """A gateway in a thread of its own, so that the command can run its own loop here."""

    def __init__(self, database: str, home: Path) -> None:
        self.home = home
        self.key_file = home / "signing_key.pem"
        pem = generate_signing_key()
        self.key_file.write_text(pem)
        jwks_file = home / "jwks.json"
        jwks_file.write_text(json.dumps(public_jwks(pem)))
        self._keys = Keys(Signer(pem), jwks_file)
        self._database = database
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.address = ""

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        await migrate(self._database, MIGRATIONS)
        async with gateway_api(self._database, self._keys) as gateway:
            self._gateway = gateway
            self.address = gateway.address
            self._up.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._up.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def can_log_in(self, email: str, password: str) -> bool:
        """The gateway lets him in."""

        async def login(gateway: Gateway) -> bool:
            try:
                return bool((await gateway.login(email, password)).access_token)
            except ReelgateError:
                return False

        return asyncio.run_coroutine_threadsafe(login(self._gateway), self._loop).result(30)

    def write_ready(self, email: str, password: str) -> None:
        """What the local stack writes when it is up."""
        ready = {
            "bff_url": "",
            "gateway_url": "",
            "email": email,
            "password": password,
            "api_key": "",
            "grpc": {"gateway": self.address},
            "admin": {},
            "studio": {},
            "s3": {},
            "database_url": "",
        }
        (self.home / "ready.json").write_text(json.dumps(ready))


@pytest.fixture
def stack(database: str, tmp_path: Path) -> Iterator[Stack]:
    """A gateway in which there is nobody yet."""
    running = Stack(database, tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, and no `.env` file here."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def with_key(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """As the operator of a new installation has it."""
    monkeypatch.setenv("REELGATE_GATEWAY_ADDRESS", stack.address)
    monkeypatch.setenv("REELGATE_GATEWAY_SIGNING_KEY_FILE", str(stack.key_file))
    return stack


def reelgate(monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = PASSWORD + "\n") -> int:
    """The exit code of the command."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    return main(["admin", *arguments, "--password-stdin"])


def test_the_first_administrator_is_made_with_the_signing_key(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reelgate(monkeypatch, "create", "--email", "Root@Example.com") == 0
    assert capsys.readouterr().out == "root@example.com is an administrator now.\n"
    assert with_key.can_log_in("root@example.com", PASSWORD)


def test_an_administrator_makes_the_next_one_with_his_own_login(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 0
    monkeypatch.delenv("REELGATE_GATEWAY_SIGNING_KEY_FILE")
    monkeypatch.setenv("REELGATE_EMAIL", "root@example.com")
    monkeypatch.setenv("REELGATE_PASSWORD", PASSWORD)
    assert reelgate(monkeypatch, "create", "--email", "next@example.com") == 0
    assert with_key.can_log_in("next@example.com", PASSWORD)


def test_a_local_stack_is_found_by_its_ready_file(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reelgate(monkeypatch, "create", "--email", "demo@example.com") == 0
    with_key.write_ready("demo@example.com", PASSWORD)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REELGATE_HOME", str(with_key.home))
    assert reelgate(monkeypatch, "create", "--email", "next@example.com") == 0
    assert with_key.can_log_in("next@example.com", PASSWORD)


def test_a_password_is_reset(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for email in ("root@example.com", "not-root@example.com"):
        assert reelgate(monkeypatch, "create", "--email", email) == 0
    assert (
        reelgate(
            monkeypatch, "reset-password", "--email", "ROOT@example.com", stdin="another password"
        )
        == 0
    )
    assert "root@example.com has a new password" in capsys.readouterr().out
    assert with_key.can_log_in("root@example.com", "another password")
    assert not with_key.can_log_in("root@example.com", PASSWORD)
    assert with_key.can_log_in("not-root@example.com", PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("create", "--email", "no address"), PASSWORD, "not an e-mail address"),
        (("create", "--email", "root@example.com"), "short", "8 to 128 characters"),
        (("create", "--email", "root@example.com"), "", "8 to 128 characters"),
        (
            ("reset-password", "--email", "nobody@example.com"),
            PASSWORD,
            "no user with the address nobody@example.com",
        ),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(
    with_key: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    stdin: str,
    said: str,
) -> None:
    assert reelgate(monkeypatch, *arguments, stdin=stdin) == 1
    error = capsys.readouterr().err
    assert error.startswith("reelgate: ")
    assert said in error
    assert error.count("\n") == 1


def test_an_address_that_is_taken_says_what_to_do(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 0
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 1
    assert "reset-password" in capsys.readouterr().err


def test_another_signing_key_makes_nobody(
    with_key: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_key.key_file.write_text(generate_signing_key())
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 1
    assert "token is not valid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "No stack is running in .reelgate"),
        ({"REELGATE_GATEWAY_ADDRESS": "127.0.0.1:1"}, "REELGATE_EMAIL and REELGATE_PASSWORD"),
        (
            {
                "REELGATE_GATEWAY_ADDRESS": "127.0.0.1:1",
                "REELGATE_EMAIL": "root@example.com",
                "REELGATE_PASSWORD": PASSWORD,
            },
            "not reachable",
        ),
        (
            {
                "REELGATE_GATEWAY_ADDRESS": "127.0.0.1:1",
                "REELGATE_GATEWAY_SIGNING_KEY_FILE": "no-such-file",
            },
            "REELGATE_GATEWAY_SIGNING_KEY_FILE: no-such-file: No such file",
        ),
    ],
)
def test_a_gateway_that_is_not_found_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    said: str,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 1
    assert said in capsys.readouterr().err


def test_what_is_no_signing_key_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_text("not a key")
    monkeypatch.setenv("REELGATE_GATEWAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("REELGATE_GATEWAY_SIGNING_KEY_FILE", "key.pem")
    assert reelgate(monkeypatch, "create", "--email", "root@example.com") == 1
    error = capsys.readouterr().err
    assert "REELGATE_GATEWAY_SIGNING_KEY_FILE can not be used" in error
    assert error.count("\n") == 1


def test_without_a_terminal_the_password_has_to_be_piped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["admin", "create", "--email", "root@example.com"]) == 1
    assert "--password-stdin" in capsys.readouterr().err


def _at_a_terminal(stack: Stack, *typed: str) -> tuple[int, str]:
    """Exit code and screen of the command, run at a terminal where these lines are typed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "admin", "create", "--email", "root@example.com"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos' / 'gen'}",
            "REELGATE_GATEWAY_ADDRESS": stack.address,
            "REELGATE_GATEWAY_SIGNING_KEY_FILE": str(stack.key_file),
        },
    )
    os.close(slave)
    screen = ""
    prompts = iter(zip(("New password: ", "The same again: "), typed, strict=True))
    prompt, answer = next(prompts)
    with process:
        try:
            while chunk := os.read(master, 4096):
                screen += chunk.decode()
                if prompt in screen:
                    os.write(master, answer.encode() + b"\n")
                    prompt, answer = next(prompts, ("no more prompts", ""))
        except OSError:
            pass  # so ends a terminal whose last process is gone
        finally:
            os.close(master)
    return process.returncode, screen


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(with_key: Stack) -> None:
    code, screen = _at_a_terminal(with_key, PASSWORD, PASSWORD)
    assert code == 0, screen
    assert "root@example.com is an administrator now." in screen
    assert PASSWORD not in screen
    assert with_key.can_log_in("root@example.com", PASSWORD)


def test_two_different_passwords_change_nothing(with_key: Stack) -> None:
    code, screen = _at_a_terminal(with_key, PASSWORD, "a slip of the finger")
    assert code == 1
    assert "two different passwords" in screen
    assert not with_key.can_log_in("root@example.com", PASSWORD)
