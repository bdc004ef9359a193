"""E13: what the thumbnailer and its parent say to one another, and the file between them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.objects import thumbnail_key
from services.storage.thumbnailer.asking import AskedFile, Parent, RefusedError
from services.storage.thumbnailer.protocol import (
    HEAD,
    LONGEST_READ_BYTES,
    MOST_READ_BYTES,
    TOO_LARGE,
    Hello,
    Job,
    Message,
    Piece,
    ProtocolError,
    Read,
    Refusal,
    Thumbnail,
    announced,
    packed,
    unpacked,
)


class Asked:
    """A file in memory, and how often it was asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def ask(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        return self.data[offset : offset + length]


@pytest.mark.parametrize(
    "message",
    [
        Hello(),
        Job("video/mp4", 2**40),
        Read(2**40, LONGEST_READ_BYTES),
        Piece(b""),
        Piece(b"abc"),
        Thumbnail(7680, 4320, 3_600_000, b"RIFF"),
        Refusal("TOO_LONG"),
    ],
)
def test_e13_messages_arrive_as_they_were(message: Message) -> None:
    sent = packed(message)
    kind, length = announced(sent[: HEAD.size])
    assert length == len(sent) - HEAD.size
    assert unpacked(kind, sent[HEAD.size :]) == message


@given(st.binary(min_size=5, max_size=5), st.binary(max_size=60))
def test_e13_anything_else_is_refused_before_it_is_read(head: bytes, payload: bytes) -> None:
    try:
        kind, length = announced(head)
        assert length <= MOST_READ_BYTES
        unpacked(kind, payload)
    except ProtocolError:
        pass


def test_e13_a_file_is_asked_for_in_few_blocks_and_reads_like_any_other() -> None:
    data = bytes(range(256)) * 16_384  # 4 MiB
    asked = Asked(data)
    file = AskedFile(asked, len(data))
    assert file.read(1_500_000) == data[:1_500_000]
    file.seek(-10, io.SEEK_END)
    assert file.read() == data[-10:]
    assert file.read(1) == b""
    file.seek(100)
    assert file.read(50) == data[100:150]
    assert [offset // LONGEST_READ_BYTES for offset, _ in asked.asked] == [0, 1, 3]
    with pytest.raises(ValueError, match="before the beginning"):
        file.seek(-1)


def test_e13_nobody_reads_a_file_for_ever() -> None:
    size = MOST_READ_BYTES + 1
    file = AskedFile(Asked(bytes(size)), size)
    file.read(MOST_READ_BYTES)
    with pytest.raises(RefusedError) as refused:
        file.read(1)
    assert refused.value.reason == TOO_LARGE
    assert file.refused is refused.value


def test_e13_a_piece_that_could_not_be_read_ends_the_job() -> None:
    parent = Parent(io.BytesIO(packed(Piece(b""))), io.BytesIO())
    with pytest.raises(RefusedError):
        parent.ask(0, 10)


def test_e13_a_parent_that_is_gone_has_no_more_jobs() -> None:
    assert Parent(io.BytesIO(), io.BytesIO()).next_job() is None
    assert Parent(io.BytesIO(packed(Job("a/b", 1))[:-1]), io.BytesIO()).next_job() is None


def test_e13_the_thumbnail_lies_beside_its_object() -> None:
    assert thumbnail_key("p/u/2026/11/22/a-b.mp4") == "p/u/2026/11/22/a-b.thumb.webp"
