"""Links for readers, kept as long as they stay the same: signing one takes a tenth of a millisecond."""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final

from botocore.credentials import ReadOnlyCredentials

from services.storage.objects import Link
from services.storage.s3.presign import Presigner

# Some 7 MB: the works that everybody looks at within an hour.
_MOST: Final = 10_000


class ReaderLinks:
    """The links of one bucket, the least used forgotten first."""

    def __init__(self, presigner: Presigner, *, most: int = _MOST) -> None:
        self._presigner = presigner
        self._most = most
        self._known: OrderedDict[tuple[str, str], Link] = OrderedDict()
        self._signed: tuple[object, ...] = ()

    def link(self, key: str, credentials: ReadOnlyCredentials, download_name: str) -> Link:
        """What readers get for an object; signed anew when the hour or the credentials change."""
        signed = (datetime.now(UTC).replace(minute=0, second=0, microsecond=0), *credentials)
        if signed != self._signed:
            self._known.clear()
            self._signed = signed
        wanted = (key, download_name)
        link = self._known.get(wanted)
        if link is None:
            link = self._presigner.reader_link(key, credentials, download_name)
            self._known[wanted] = link
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(wanted)
        return link
