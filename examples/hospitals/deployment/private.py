"""Secrets to files that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, secret: bytes) -> None:
    """Write a new file with mode 0600; it is never readable by others, even briefly.

    Raises
    ------
    FileExistsError
        If there is such a file: a key that is in use is not overwritten.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret)
