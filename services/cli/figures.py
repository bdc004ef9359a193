"""Sizes, times and money as a person reads and writes them."""

import argparse
import re
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
LARGEST: Final = 2**53
"""As far as quota counts, in bytes and credits."""


def size(size_bytes: float) -> str:
    """Bytes in the largest decimal unit that leaves a figure before the point: 1.2 GB."""
    value, unit = float(size_bytes), 0
    while abs(value) >= _STEP - 0.05 and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def seconds(value: float) -> str:
    """A time span: 850 ms, 12.3 s, 4 min 05 s."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s"


def dollars(value: float) -> str:
    """US dollars; what is less than a cent is not called nothing."""
    return "< $0.01" if 0 < value < 0.01 else f"${value:,.2f}"


def moment(value: datetime) -> str:
    """A moment in UTC, to the second."""
    return value.strftime("%Y-%m-%d %H:%M:%S")


def parse_size(text: str) -> int:
    """Bytes, as `size` writes them or a person does: 5GB, 1.5 TiB, 1048576. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([KMGTP])(I?)B?|B)?", text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is no size")
    number, unit, binary = found.groups()
    factor: int = (1024 if binary else _STEP) ** (" KMGTP".index(unit) if unit else 0)
    size_bytes = round(float(number) * factor)
    if size_bytes > LARGEST:
        raise ValueError(f"{text!r} is too large")
    return size_bytes


def parse_count(text: str) -> int:
    """A whole number that a message can carry. Raises ValueError."""
    value = int(text)
    if abs(value) > LARGEST:
        raise ValueError(f"{text} is too large")
    return value


def parse_moment(text: str) -> datetime:
    """A date, or a date and a time, in UTC unless it says otherwise. Raises argparse's error."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        message = "must be a time, for example 2026-01-31 or 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(message) from None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
