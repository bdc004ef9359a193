"""Sizes, times and money as a person reads them."""

from datetime import datetime
from typing import Final

_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000


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
