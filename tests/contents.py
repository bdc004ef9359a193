"""Reading what a source gives, as the pipe does."""

from services.storage.ports import Content


async def read(content: Content, most: int = 10**9, *, step: int = 100_000) -> bytes:
    """The next bytes until `most` of them have come (some more may), or there are no more."""
    found = bytearray()

    def seen(_: int) -> None:
        """Nothing to be said."""

    while len(found) < most:
        space = bytearray(step)
        count = await content.fill(memoryview(space), seen)
        found += space[:count]
        if count < step:
            break
    return bytes(found)
