"""Requests go out to vetted addresses, and their failures say whether anything was sent."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest

from services.kernel.egress import (
    Egress,
    EgressFailed,
    EgressRefused,
    Policy,
    Timeouts,
    origin_of,
    parse_origins,
)
from services.kernel.egress.gate import Lookup
from tests.unit.kernel.egress_servers import Served, redirecting, saying, self_signed, serving

MIB = 1 << 20


def allowing(*servers: Served) -> Policy:
    return Policy(private=parse_origins(",".join(server.url for server in servers)))


def names(**addresses: str) -> Lookup:
    """Resolve as told: `studio_test="127.0.0.1"` is the name studio.test."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        found = addresses.get(host.replace(".", "_"))
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return found.split()

    return lookup


async def fetch(egress: Egress, url: str, method: str = "GET", **kwargs: object) -> bytes:
    async with egress.request(method, url, **kwargs) as response:  # type: ignore[arg-type]
        return await response.read()


async def failing(egress: Egress, url: str, method: str = "GET", **kwargs: object) -> EgressFailed:
    with pytest.raises(EgressFailed) as failed:
        await fetch(egress, url, method, **kwargs)
    return failed.value


# --- what is sent -------------------------------------------------------------------------------


async def test_a_request_carries_its_own_headers_and_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with serving(saying(headers={"Set-Cookie": "a=b"})) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        (tmp_path / "netrc").write_text("default login user password secret\n")
        async with serving(saying(headers={"Set-Cookie": "a=b"})) as server:
            async with Egress(allowing(server)) as egress:
                for _ in range(2):
                    await fetch(
                        egress, f"{server.url}/x?q=%3d", headers={"X-Mine": "1", "Host": "h"}
                    )
            head = server.heads[1]
            assert head.startswith("GET /x?q=%3d HTTP/1.1\r\n")
            assert f"Host: 127.0.0.1:{server.port}\r\n" in head
            assert "X-Mine: 1\r\n" in head
            assert "Accept-Encoding: identity\r\n" in head
            assert "Cookie" not in head
            assert "Authorization" not in head
            assert server.connections == 1, "the connection is kept alive"
        assert proxy.connections == 0


async def test_an_encoded_body_is_handed_on_as_it_is() -> None:
    zipped = saying(b"\x1f\x8bnot gzip", headers={"Content-Encoding": "gzip"})
    async with serving(zipped) as server, Egress(allowing(server)) as egress:
        assert await fetch(egress, server.url) == b"\x1f\x8bnot gzip"


async def test_tls_asks_for_the_name_and_connects_to_the_vetted_address(tmp_path: Path) -> None:
    trusted, trusting = self_signed(tmp_path, "studio.test")
    asked: list[str | None] = []

    def note(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        asked.append(name)

    trusted.sni_callback = note
    async with serving(saying(), tls=trusted) as server:
        url = f"https://studio.test:{server.port}/"
        policy = Policy(private=frozenset({origin_of(url)}))
        lookup = names(studio_test="127.0.0.1", other_test="127.0.0.1")
        async with Egress(policy, lookup=lookup, tls=trusting) as egress:
            assert await fetch(egress, url) == b"ok"
            assert asked == ["studio.test"]
            assert f"Host: studio.test:{server.port}\r\n" in server.heads[0]

            other = f"https://other.test:{server.port}/"
            failed = await failing(egress, other, "POST", data=b"x", allow={origin_of(other)})
            assert (failed.kind, failed.sent) == ("tls", False)
        async with Egress(policy, lookup=lookup) as egress:
            failed = await failing(egress, url)
            assert (failed.kind, failed.sent) == ("tls", False)
        assert len(server.heads) == 1


# --- where it may go ----------------------------------------------------------------------------


async def test_one_private_address_in_an_answer_refuses_the_whole_answer() -> None:
    lookup = names(mixed_test="1.1.1.1 127.0.0.1", six_test="2606:4700::1 fe80::1%1")
    async with Egress(Policy(), lookup=lookup) as egress:
        for host in ("mixed.test", "six.test"):
            with pytest.raises(EgressRefused) as refused:
                await fetch(egress, f"http://{host}/")
            assert refused.value.reason == "address"
            assert host in refused.value.detail
            assert host not in str(refused.value)


async def test_an_allowed_name_may_be_private_but_never_metadata() -> None:
    async with serving(saying()) as server:
        lookup = names(minio_lan="127.0.0.1", evil_lan="127.0.0.1 169.254.169.254")
        policy = Policy(
            private=parse_origins(f"http://minio.lan:{server.port},http://evil.lan:{server.port}"),
            ports=None,
        )
        async with Egress(policy, lookup=lookup) as egress:
            assert await fetch(egress, f"http://MINIO.lan.:{server.port}/") == b"ok"
            with pytest.raises(EgressRefused):
                await fetch(egress, f"http://evil.lan:{server.port}/")
            with pytest.raises(EgressRefused):
                await fetch(egress, f"http://minio.lan:{server.port + 1}/")


async def test_a_connection_one_request_was_allowed_is_not_found_by_another() -> None:
    async with serving(saying()) as server:
        url = f"http://studio.test:{server.port}/"
        lookup = names(studio_test="127.0.0.1")
        async with Egress(Policy(ports=None), lookup=lookup) as egress:
            assert await fetch(egress, url, allow={origin_of(url)}) == b"ok"
            with pytest.raises(EgressRefused):
                await fetch(egress, url)
        assert len(server.heads) == 1


# --- redirects ----------------------------------------------------------------------------------


async def test_a_redirect_is_returned_unless_it_shall_be_followed() -> None:
    async with serving(redirecting(lambda path: "/next")) as server:
        async with Egress(allowing(server)) as egress, egress.request("POST", server.url) as got:
            assert got.status == 302
        assert len(server.heads) == 1


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
async def test_credentials_stay_with_their_origin(status: str) -> None:
    secret = {"Authorization": "Bearer k", "X-Api-Key": "k", "Cookie": "c=1", "Range": "bytes=1-"}
    async with (
        serving(saying(b"end")) as last,
        serving(
            redirecting(lambda p: f"{last.url}/end?x=%2f" if p == "/b" else "b", status)
        ) as first,
        Egress(allowing(first, last)) as egress,
    ):
        async with egress.request(
            "GET", f"{first.url}/a", headers=secret, follow_redirects=True
        ) as r:
            assert (await r.read(), str(r.url)) == (b"end", f"{last.url}/end?x=%2f")
        same_origin, other_origin = first.heads[1], last.heads[0]
        assert "Bearer k" in same_origin
        assert other_origin.startswith("GET /end?x=%2f ")
        assert "Range: bytes=1-" in other_origin
        for name in ("Authorization", "X-Api-Key", "Cookie"):
            assert name not in other_origin


async def test_redirects_end_after_five() -> None:
    async with serving(redirecting(lambda path: path + "x")) as server:
        async with Egress(allowing(server)) as egress:
            failed = await failing(egress, server.url, follow_redirects=True)
        assert (failed.kind, failed.sent) == ("redirects", True)
        assert len(server.heads) == 6


async def test_a_request_with_a_body_is_never_sent_on() -> None:
    async with Egress(Policy()) as egress:
        for method, data in (("POST", None), ("GET", b"x")):
            with pytest.raises(ValueError, match="GET and HEAD"):
                await fetch(egress, "http://1.1.1.1/", method, data=data, follow_redirects=True)


async def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    trusted, trusting = self_signed(tmp_path, "studio.test")
    async with (
        serving(saying()) as plain,
        serving(redirecting(lambda path: plain.url), tls=trusted) as server,
    ):
        url = f"https://studio.test:{server.port}/"
        policy = Policy(private=frozenset({origin_of(url), origin_of(plain.url)}))
        async with Egress(policy, lookup=names(studio_test="127.0.0.1"), tls=trusting) as egress:
            with pytest.raises(EgressRefused) as refused:
                await fetch(egress, url, follow_redirects=True)
        assert (refused.value.reason, refused.value.sent) == ("downgrade", True)
        assert plain.connections == 0


# --- failures: surely not sent, or perhaps ------------------------------------------------------


async def test_a_name_that_is_not_found_was_surely_not_sent() -> None:
    async with Egress(Policy(), lookup=names()) as egress:
        for host in ("gone.test", "xn--a", "-.test"):
            failed = await failing(egress, f"https://{host}/", "POST", data=b"x")
            assert (failed.kind, failed.sent) == ("dns", False)


async def test_a_name_server_that_is_silent_was_surely_not_sent() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with Egress(Policy(), lookup=silent) as egress:
        for timeouts in (Timeouts(connect=0.1), Timeouts(total=0.1)):
            failed = await failing(egress, "http://a.test/", "POST", data=b"x", timeouts=timeouts)
            assert (failed.kind, failed.sent) == ("connect", False)


async def test_a_refused_port_was_surely_not_sent() -> None:
    async with serving(saying()) as server:
        pass
    async with Egress(allowing(server)) as egress:
        failed = await failing(egress, server.url, "POST", data=b"x")
        assert (failed.kind, failed.sent) == ("connect", False)
        assert str(server.port) in failed.detail
        assert str(server.port) not in str(failed)


async def test_a_server_that_accepts_no_connection_was_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:  # fill the queue of the listener, which accepts nobody
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Egress(Policy(private=parse_origins(url))) as egress:
            failed = await failing(egress, url, "POST", data=b"x", timeouts=Timeouts(connect=0.2))
        for one in waiting:
            one.close()
    assert (failed.kind, failed.sent) == ("connect", False)


async def test_a_tls_handshake_that_never_ends_was_surely_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with Egress(Policy(private=parse_origins(url))) as egress:
            failed = await failing(egress, url, "POST", data=b"x", timeouts=Timeouts(connect=0.2))
    assert (failed.kind, failed.sent) == ("connect", False)


async def reset(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang_up(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def never(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(MIB)
    await asyncio.Event().wait()


async def babble(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    writer.close()


async def cut(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    writer.close()


async def cut_chunk(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhalf")
    writer.close()


async def babble_later(
    head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    await asyncio.sleep(0.05)
    writer.write(b"no size\r\n")
    await asyncio.Event().wait()


async def stall(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reset, "reset"), (hang_up, "reset"), (never, "timeout"), (babble, "protocol"),
        (cut, "reset"), (cut_chunk, "reset"), (stall, "timeout"), (babble_later, "protocol"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "timeouts", [Timeouts(read=0.2), Timeouts(total=0.2)], ids=["read", "total"]
)
async def test_what_fails_after_the_request_was_written_may_have_been_done(
    answer: object, kind: str, timeouts: Timeouts
) -> None:
    async with serving(answer) as server, Egress(allowing(server)) as egress:  # type: ignore[arg-type]
        failed = await failing(egress, server.url, "POST", data=b"x", timeouts=timeouts)
        assert (failed.kind, failed.sent) == (kind, True)
        assert len(server.heads) == 1, "a POST is never repeated"


async def test_a_kept_connection_that_the_server_ends_is_ambiguous_and_not_repeated() -> None:
    async def once(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (saying() if head.startswith("GET") else reset)(head, reader, writer)

    async with serving(once) as server, Egress(allowing(server)) as egress:
        await fetch(egress, server.url)
        failed = await failing(egress, server.url, "POST", data=b"")
        assert (failed.kind, failed.sent) == ("reset", True)
        assert (server.connections, len(server.heads)) == (1, 2)


async def test_without_keepalive_each_request_has_its_own_connection() -> None:
    async with serving(saying()) as server:
        async with Egress(allowing(server), keepalive_seconds=0) as egress:
            for _ in range(3):
                await fetch(egress, server.url)
        assert server.connections == 3


async def test_an_error_of_the_callers_own_passes_unchanged() -> None:
    async with serving(saying()) as server, Egress(allowing(server)) as egress:
        for error in (ConnectionResetError("mine"), TimeoutError("mine")):
            with pytest.raises(type(error), match="mine"):
                async with egress.request("GET", server.url, timeouts=Timeouts(total=9)):
                    raise error


async def test_a_cancelled_request_is_just_cancelled() -> None:
    async with serving(never) as server, Egress(allowing(server)) as egress:
        task = asyncio.create_task(fetch(egress, server.url))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- bodies -------------------------------------------------------------------------------------


async def test_fifty_megabytes_stream_both_ways_in_constant_memory() -> None:
    size = 50 * MIB

    async def swallow_and_pour(
        head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        left = size if "POST" in head else 0
        while left:
            left -= len(await reader.read(min(left, MIB)))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(50):
            writer.write(bytes(MIB))
            await writer.drain()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield bytes(MIB)

    process, most, received = psutil.Process(), 0, 0
    async with serving(swallow_and_pour) as server, Egress(allowing(server)) as egress:
        before = process.memory_info().rss
        async with egress.request(
            "POST", server.url, data=pieces(), headers={"Content-Length": str(size)}
        ) as response:
            async for chunk in response.content.iter_any():
                received += len(chunk)
                most = max(most, process.memory_info().rss)
    assert received == size
    assert most - before < 24 * MIB
