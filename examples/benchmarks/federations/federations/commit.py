"""Which commit of the code makes rows."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str:
    """Name the commit that is checked out, with ``+`` if files differ from it.

    It is empty where this is no clone, or there is no git.
    """
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{name}+" if changed else name


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip()
