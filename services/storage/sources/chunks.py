"""Bytes that come in chunks of any size, put where they are wanted."""

from collections.abc import AsyncIterator, Callable


class Chunks:
    """The content of a body whose bytes somebody hands over chunk by chunk."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    async def fill(self, space: memoryview, seen: Callable[[int], None]) -> int:
        """Puts the next bytes into `space` until it is full or they are over; gives how many."""
        filled = 0
        while filled < len(space):
            if not self._rest:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    break
                seen(len(chunk))
                self._rest = memoryview(chunk)
            count = min(len(self._rest), len(space) - filled)
            space[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled
