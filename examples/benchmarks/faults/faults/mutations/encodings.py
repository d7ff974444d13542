"""Encodings: bytes that are torn, forged or no array, behind honest keys."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np

from faults.draft import Draft

Change = Callable[[bytes, np.random.Generator], bytes]

MAGIC = b"\x93NUMPY"
HEADER_LENGTH = 128
SHARE_IN_HEADER = 0.5


def forged(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Write a header of one's own before some content."""
    width = 2 if version == b"\x01\x00" else 4
    text = f"{header}\n".encode("latin1", "replace")
    return MAGIC + version + len(text).to_bytes(width, "little") + text + content


def header(shape: str, dtype: str = "'<f4'", order: str = "False") -> str:
    """Write what a header says, true or not."""
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"


def _in_one(change: Change) -> Callable[[Draft, np.random.Generator], Draft]:
    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        key = rng.choice(list(draft.arrays))
        return draft.with_bytes(key, change(draft.arrays[key], rng))

    return mutation


def _torn(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, every other one in the header."""
    flipped = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        end = HEADER_LENGTH if rng.random() < SHARE_IN_HEADER else len(flipped)
        flipped[rng.integers(min(end, len(flipped)))] ^= 1 << rng.integers(8)
    return bytes(flipped)


def _other_version(data: bytes, rng: np.random.Generator) -> bytes:
    return data[:6] + rng.bytes(2) + data[8:]


def _other_length(data: bytes, rng: np.random.Generator) -> bytes:
    return data[:8] + rng.bytes(2) + data[10:]


def _forged(data: bytes, rng: np.random.Generator) -> bytes:
    """Claim a shape, dtype or order that nobody has, or that is no Python."""
    headers = [
        header("(1000000, 1000000)"),
        header("(2**62,)"),
        header(f"({10**300},)"),
        header("(0, 99999999999999999999)"),
        header("(-1,)"),
        header("(-1, -8)"),
        header("(True, 8)"),
        header("(8.0,)"),
        header("'8'"),
        header("[8]"),
        header("(8,)", "'|O'"),
        header("(8,)", "'<f16'"),
        header("(8,)", "'<f3'"),
        header("(8,)", "[('a', '<f4')]"),
        header("(8,)", "('<f4', (3,))"),
        header("(8,)", "'\\d'"),
        header("(8L,)"),
        header("(8,)", "'<f4'", "2"),
        "{}",
        "__import__('os').abort()",
        "(" * 5_000,
        "-" * 5_000 + "1",
        "[" * 99 + "]" * 99,
        "'" + "x" * 20_000 + "'",
    ]
    version = [b"\x01\x00", b"\x02\x00", b"\x03\x00"][rng.integers(3)]
    text = headers[rng.integers(len(headers))]
    return forged(text, data[HEADER_LENGTH:], version)


def _archive(data: bytes, _: np.random.Generator) -> bytes:
    """Send a zip archive, which NumPy's loader opens too."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("array.npy", data)
    return stream.getvalue()


def _lying_order(data: bytes, _: np.random.Generator) -> bytes:
    """Say that rows are columns, in a header of the same length."""
    return data.replace(b"'fortran_order': False", b"'fortran_order': True ", 1)


def _other_serialisation(draft: Draft, rng: np.random.Generator) -> Draft:
    names = ["pickle", "", "torch.Tensor", "numpy.ndarray ", "x" * 10_000]
    return replace(draft, serialisation=names[rng.integers(len(names))])


def _empty(draft: Draft, _: np.random.Generator) -> Draft:
    return replace(draft, arrays=dict.fromkeys(draft.arrays, b""))


ENCODINGS = {
    "bytes torn off": _in_one(_torn),
    "bits flipped": _in_one(_flipped),
    "another version": _in_one(_other_version),
    "another header length": _in_one(_other_length),
    "a forged header": _in_one(_forged),
    "rows for columns": _in_one(_lying_order),
    "random bytes": _in_one(lambda data, rng: rng.bytes(len(data))),
    "no bytes": _empty,
    "bytes more": _in_one(lambda data, rng: data + rng.bytes(1000)),
    "a zip archive": _in_one(_archive),
    "compressed": _in_one(lambda data, _: zlib.compress(data)),
    "another serialisation": _other_serialisation,
}
