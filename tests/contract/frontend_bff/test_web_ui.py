"""The built web UI is served from the same origin, with one page for every address."""

import gzip
from pathlib import Path

import pytest

from tests.contract.frontend_bff.conftest import Bff

_HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Reelgate</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "app-1a2b.js").write_text("export {};")
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(b"export {};"))
    (tmp_path / "secret.txt").write_text("not for you")
    (folder / ".hidden").write_text("not for you")
    (folder / "outside.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("path", ["/", "/library", "/sora/generate", "/a/b?c=d"])
async def test_every_address_of_the_page_is_the_page(bff: Bff, path: str) -> None:
    answer = await bff.call("GET", path, headers=_HTML)

    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert "Reelgate" in await answer.text()
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.usefixtures("built")
async def test_files_with_a_hash_in_their_name_are_kept_for_good(bff: Bff) -> None:
    answer = await bff.call("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})

    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "javascript" in answer.content_type
    assert await answer.read() == b"export {};"


@pytest.mark.usefixtures("built")
async def test_a_compressed_twin_is_used(bff: Bff) -> None:
    answer = await bff.call("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["Content-Encoding"] == "gzip"
    assert await answer.read() == b"export {};"


@pytest.mark.usefixtures("built")
async def test_other_files_are_asked_for_each_time(bff: Bff) -> None:
    answer = await bff.call("GET", "/favicon.svg", headers={})
    again = await bff.call("GET", "/favicon.svg", headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.content_type, answer.headers["Cache-Control"]) == ("image/svg+xml", "no-cache")
    assert again.status == 304


@pytest.mark.usefixtures("built")
async def test_what_is_not_there_is_404(bff: Bff) -> None:
    hidden = (
        "/.hidden",
        "/outside.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/..%5csecret.txt",
    )
    deeper = ("/assets/..%2f..%2fsecret.txt", "/assets", "/assets/gone-9z.js", "/missing.png")
    for path in (*hidden, *deeper, "/a%00b", "/" + "x" * 5000, "/%FF", "/%ED%A0%80"):
        answer = await bff.call("GET", path, headers={"Accept": "image/*"})

        assert answer.status == 404, path
        assert answer.content_type == "application/problem+json"


@pytest.mark.usefixtures("built")
async def test_the_page_takes_no_changes(bff: Bff) -> None:
    assert (await bff.call("POST", "/library", headers=_HTML)).status == 404
    assert (await bff.call("HEAD", "/library", headers=_HTML)).status == 200


async def test_without_a_build_a_page_says_what_to_do(bff: Bff) -> None:
    answer = await bff.call("GET", "/", headers=_HTML)

    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert "make web" in await answer.text()
