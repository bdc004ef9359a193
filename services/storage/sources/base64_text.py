"""Base64 that is turned into bytes while it arrives."""

import binascii
from collections.abc import AsyncIterator
from typing import Final

from services.kernel.errors import InvalidArgument

_BREAKS: Final = b"\r\n"


async def decoded(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes that the chunks spell in all; where they are cut means nothing. Raises InvalidArgument."""
    rest, ended = b"", False
    async for chunk in chunks:
        text = rest + chunk.translate(None, _BREAKS)
        whole = len(text) // 4 * 4
        text, rest = text[:whole], text[whole:]
        if not text:
            continue
        if ended:
            raise _no_base64()  # something follows the padding
        ended = text.endswith(b"=")
        yield _decode(text)
    if rest:
        raise _no_base64()


def _decode(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise _no_base64() from None


def _no_base64() -> InvalidArgument:
    return InvalidArgument("What was sent is not base64.", reason="NOT_BASE64", field="chunk")
