"""Verification to words: whether a log is whole, or where it is not."""

from collections.abc import Sequence
from pathlib import Path

from flwr_vdcs.cli.outcome import InputError
from flwr_vdcs.verification import Verification, verify


def verified(paths: Sequence[Path]) -> Verification:
    """Follow the chain of hashes through some files.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    try:
        return verify(paths)
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be read: {error.strerror}."
        ) from error


def in_one_line(found: Verification) -> str:
    """Say what became of the chain."""
    if found.is_whole:
        return f"whole: {found.num_lines} lines, last hash {found.head}"
    return f"broken at line {found.broken_line} of {found.broken_path}: {found.problem}"
