"""Values to text: how the page writes counts, times and lists of names."""

from collections.abc import Sequence
from datetime import UTC, datetime


def plural(count: int, noun: str) -> str:
    """Count in words."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(names: Sequence[str]) -> str:
    """Join names as a sentence does."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def moment(time: datetime) -> str:
    """Write a time in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
