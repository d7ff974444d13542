"""Threads to turns: a round and a pardon in another thread never meet halfway."""

from threading import RLock
from typing import Self


class Turn:
    """Let one thread at a time in. A copy lets in threads of its own."""

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        """Wait until nobody else is in."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        self._lock.release()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """Make copies anew, as locks have none."""
        return type(self), ()
