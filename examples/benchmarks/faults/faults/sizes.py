"""Honest reply to hostile: replies that are far larger, or claim to be, than a model's.

Every case takes an honest draft and gives what a hostile client sends instead.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO

import numpy as np

from faults.draft import WEIGHT, Draft, encoded
from faults.mutations.encodings import forged, header

Case = Callable[[Draft], Draft]

MEBIBYTE = 2**20
LARGE = 256 * MEBIBYTE
MANY = 100_000
LONG_LIST = [0.5] * 5_000_000
LONG_NAME = "x" * MEBIBYTE
NESTED_NAME = ".".join("a" * MANY)
KEY = "1.weight"


def _sent(data: bytes) -> Case:
    """Send other bytes for one of the model's arrays."""
    return lambda draft: draft.with_bytes(KEY, data)


def _zeros(dtype: str, order: str = "False") -> Case:
    """Send zeros, 64 times as many as the whole model has numbers."""
    shape = f"({LARGE // np.dtype(dtype).itemsize},)"
    return lambda draft: draft.with_bytes(
        KEY, forged(header(shape, repr(dtype), order), bytes(LARGE))
    )


def _zeros_in_place(draft: Draft) -> Draft:
    """Send zeros behind a header of NumPy's own, which leaves them aligned."""
    return draft.with_array(KEY, np.zeros(LARGE // 4, np.float32))


def _trailing(draft: Draft) -> Draft:
    return draft.with_bytes(KEY, draft.arrays[KEY] + bytes(LARGE))


def _zip_bomb(draft: Draft) -> Draft:
    """Send a quarter of a MiB that unpacks to 256."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", encoded(np.zeros(LARGE // 4, np.float32)))
    return draft.with_bytes(KEY, stream.getvalue())


def _keys(*names: str) -> Case:
    """Send a small array more under each of the names."""
    more = dict.fromkeys(names, encoded(np.zeros(1, np.float32)))
    return lambda draft: replace(draft, arrays={**draft.arrays, **more})


def _metrics(*names: str) -> Case:
    return lambda draft: draft.with_metrics(dict.fromkeys(names, 1.0))


def _metric(name: str, value: object) -> Case:
    return lambda draft: draft.with_metrics({name: value})


def _numbered(name: str) -> list[str]:
    return [f"{name} {number}" for number in range(MANY)]


CASES: Mapping[str, Case] = {
    "honest": lambda draft: draft,
    "256 MiB in one array": _zeros_in_place,
    "256 MiB in one array, not aligned": _zeros("<f4"),
    "256 MiB in one array, foreign byte order": _zeros(">f4"),
    "256 MiB in one array, in columns": _zeros("<f4", "True"),
    "256 MiB in one array, of single bytes": _zeros("|i1"),
    "256 MiB in one array, of text": _zeros("<U64"),
    "256 MiB after an array": _trailing,
    "a zip archive of 256 MiB of zeros": _zip_bomb,
    "a header that claims 4 TB": _sent(forged(header("(1000000, 1000000)"))),
    "a header that claims 10^300 numbers": _sent(forged(header(f"({10**300},)"))),
    "a header that claims 2 GiB items": _sent(
        forged(header("(1000,)", "'|V2147483647'"))
    ),
    "a header of 64 KiB": _sent(forged(header("(" + "1, " * 20_000 + ")"))),
    "a header of 16 MiB": _sent(
        forged(header("(" + "1, " * 5_000_000 + ")"), version=b"\x02\x00")
    ),
    "a header of 4,000 brackets": _sent(forged("(" * 4_000)),
    "a header of 9,000 signs": _sent(forged("-" * 9_000 + "1")),
    "100,000 arrays more": _keys(*_numbered("array")),
    "an array with a name of 1 MiB": _keys(LONG_NAME),
    "an array with a name 100,000 levels deep": _keys(NESTED_NAME),
    "100 arrays with names of 1 MiB": _keys(*(f"{LONG_NAME}{n}" for n in range(100))),
    "100,000 metrics more": _metrics(*_numbered("metric")),
    "a metric with a name of 1 MiB": _metrics(LONG_NAME),
    "a metric with a name 100,000 levels deep": _metrics(NESTED_NAME),
    "a metric with 5,000,000 numbers": _metric("train_loss", LONG_LIST),
    "a weight with 5,000,000 numbers": _metric(WEIGHT, LONG_LIST),
    "a weight with 5,000 digits": _metric(WEIGHT, 10**5_000),
    "a record with a name of 1 MiB": lambda draft: replace(
        draft, array_records=(LONG_NAME,)
    ),
    "100 records of arrays": lambda draft: replace(
        draft, array_records=tuple(f"arrays {n}" for n in range(100))
    ),
    "a serialisation with a name of 1 MiB": lambda draft: replace(
        draft, serialisation=LONG_NAME
    ),
    "64 MiB in a config record": lambda draft: replace(
        draft, configs={"note": bytes(64 * MEBIBYTE)}
    ),
    "1,000 answers": lambda draft: replace(draft, num_copies=1_000),
}
