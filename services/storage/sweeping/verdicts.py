"""What is to become of bytes under a key, by what the rows know of it."""

from enum import Enum, auto

from services.storage.keys import KeyName
from services.storage.objects import Tier
from services.storage.store.sweeps import Known


class Verdict(Enum):
    """One for each key of ours that a sweep meets."""

    LIVE = auto()
    """An object's, or its thumbnail's."""
    BUSY = auto()
    """Being written or removed: not ours to judge."""
    ADOPT = auto()
    """A work that no row knows, and none has removed: the database was set back."""
    LOST = auto()
    """A work whose row looks for its bytes in another place."""
    ORPHAN = auto()
    """Nobody's."""


def judge(tier: Tier, name: KeyName, known: Known) -> Verdict:
    """What is not certainly garbage is kept; certain are what we removed, and thumbnails without an object."""
    if known.is_live:
        return Verdict.LIVE
    if known.is_busy or known.is_going:
        return Verdict.BUSY
    if name.is_thumbnail:
        elsewhere = known.other_tier is not None and known.other_tier is not tier
        left_behind = elsewhere and known.is_traced
        return Verdict.LIVE if known.has_object and not left_behind else Verdict.ORPHAN
    if known.is_traced:
        return Verdict.ORPHAN
    return Verdict.LOST if known.has_object else Verdict.ADOPT
