"""Layouts: arrays of another shape, dtype, byte order or key than the model's."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faults.draft import Draft, decoded, encoded

Array = NDArray[Any]
Change = Callable[[Array], Array]


def _in_one(change: Change) -> Callable[[Draft, np.random.Generator], Draft]:
    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        key = rng.choice(list(draft.arrays))
        return draft.with_array(key, change(decoded(draft.arrays[key])))

    return mutation


def _in_all(change: Change) -> Callable[[Draft, np.random.Generator], Draft]:
    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        for key, data in draft.arrays.items():
            draft = draft.with_array(key, change(decoded(data)))
        return draft

    return mutation


def _random_dtype(*names: str) -> Callable[[Draft, np.random.Generator], Draft]:
    """Convert one array to one of some dtypes."""

    def mutation(draft: Draft, rng: np.random.Generator) -> Draft:
        dtype = np.dtype(rng.choice(names))
        return _in_one(lambda array: array.real.astype(dtype))(draft, rng)

    return mutation


def _wider(array: Array) -> Array:
    return array.astype(np.result_type(array.dtype, np.float64))


def _structured(array: Array) -> Array:
    return np.zeros(array.shape, [("a", "<f4"), ("b", "<i8", (2,))])


def _foreign_order(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder(">"))


def _rows_missing(array: Array) -> Array:
    return array[:-1] if array.ndim else array.reshape(1)


def _transposed(array: Array) -> Array:
    return array.T if array.ndim > 1 else array[..., None]


def _permuted(draft: Draft, rng: np.random.Generator) -> Draft:
    keys = rng.permutation(list(draft.arrays))
    return replace(draft, arrays={key: draft.arrays[key] for key in keys})


def _swapped(draft: Draft, rng: np.random.Generator) -> Draft:
    one, other = rng.choice(list(draft.arrays), 2, replace=False)
    swapped = draft.with_bytes(one, draft.arrays[other])
    return swapped.with_bytes(other, draft.arrays[one])


def _missing(draft: Draft, rng: np.random.Generator) -> Draft:
    num_left = rng.integers(1, len(draft.arrays))
    kept = rng.choice(list(draft.arrays), num_left, replace=False)
    return replace(draft, arrays={key: draft.arrays[key] for key in kept})


def _extra(draft: Draft, rng: np.random.Generator) -> Draft:
    data = encoded(np.zeros(1))
    more = {f"extra {number}": data for number in range(10 ** rng.integers(4))}
    return replace(draft, arrays={**draft.arrays, **more})


def _renamed(draft: Draft, rng: np.random.Generator) -> Draft:
    old = rng.choice(list(draft.arrays))
    new = rng.choice(["", "\n", "\x00", "weights/é", f"{old} ", "x" * 10_000])
    arrays = {new if k == old else k: v for k, v in draft.arrays.items()}
    return replace(draft, arrays=arrays)


class _Bomb:
    """What a pickle may be: unpickling it runs what the client chose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle of a client was loaded')",))


def _pickled(draft: Draft, rng: np.random.Generator) -> Draft:
    return _in_one(lambda array: np.full(array.shape, _Bomb(), object))(draft, rng)


def _bare_pickle(draft: Draft, rng: np.random.Generator) -> Draft:
    return draft.with_bytes(rng.choice(list(draft.arrays)), pickle.dumps(_Bomb()))


LAYOUTS = {
    "wider floats": _in_all(_wider),
    "half floats": _random_dtype("float16"),
    "integers": _random_dtype("int8", "int16", "int32", "int64"),
    "unsigned integers": _random_dtype("uint8", "uint16", "uint32", "uint64"),
    "booleans": _random_dtype("bool"),
    "complex numbers": _random_dtype("complex64", "complex128"),
    "wide floats": _random_dtype("longdouble"),
    "text": _random_dtype("U3", "S3"),
    "dates": _random_dtype("datetime64[s]", "timedelta64[s]"),
    "structures": _in_one(_structured),
    "objects": _pickled,
    "a bare pickle": _bare_pickle,
    "foreign byte order": _in_all(_foreign_order),
    "Fortran order": _in_all(lambda array: np.array(array, order="F")),
    "flattened": _in_one(lambda array: array.reshape(-1, 1)),
    "one axis more": _in_one(lambda array: array[None]),
    "broadcastable": _in_one(lambda array: array.reshape(-1)[:1]),
    "a scalar": _in_one(lambda array: array.reshape(-1)[0]),
    "an empty array": _in_one(lambda array: array.reshape(-1)[:0]),
    "a row missing": _in_one(_rows_missing),
    "transposed": _in_one(_transposed),
    "twice as long": _in_one(lambda array: np.stack([array, array])),
    "keys permuted": _permuted,
    "two arrays swapped": _swapped,
    "arrays missing": _missing,
    "arrays more": _extra,
    "a key renamed": _renamed,
}
