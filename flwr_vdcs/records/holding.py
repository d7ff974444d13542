"""Paths to holds: two servers that write the same files would spoil both runs."""

import os
from pathlib import Path
from typing import Any, Self
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout


class HeldError(Exception):
    """Another process holds the file."""

    def __init__(self) -> None:
        super().__init__(
            "another server writes to it; end that one first, or give each a file of "
            "its own"
        )


class Hold:
    """Keep a file from other processes, until nobody here has the hold any more.

    In one process there is one hold for each file, which all may have. Where no lock
    can be made, as in a folder that may not be written to, nothing is held.

    Parameters
    ----------
    path
        The file; the lock is a file beside it.

    Raises
    ------
    HeldError
        If another process holds it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = _lock_for(self._path)

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        """Let copies hold the file by themselves."""
        return type(self), (self._path,)


def _lock_for(path: Path) -> Any:
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            return None  # a pipe, for example
        lock = _LOCKS.get(target)
        if lock is None:
            lock = FileLock(f"{target}.lock", thread_local=False)
            lock.acquire(timeout=0)
            _LOCKS[target] = lock
    except Timeout:
        raise HeldError from None
    except (OSError, RuntimeError, NotImplementedError):
        return None
    return lock


_LOCKS: WeakValueDictionary[Path, FileLock] = WeakValueDictionary()
