"""Bytes to tensors: NumPy's file format, viewed without copying, trusting nothing."""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from flwr_vdcs.errors import quoted

State = Mapping[str, Tensor]
"""A model's arrays by name, in the order of the global state."""

Encoded = bytes | Tensor
"""An array as it arrives: NumPy's file format, or a tensor where nothing travelled."""

EncodedArrays = Mapping[str, Encoded]
"""Arrays by key; those without names are keyed by their position."""

LENGTH_FIELD = {(1, 0): 2, (2, 0): 4}
HEADER_READER = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
MAX_HEADER = 10_000
MAX_ITEMSIZE = {"b": 1, "i": 8, "u": 8, "f": 8, "c": 16}
"""Most bytes of a number that PyTorch can read, by the kinds that it can."""


class UndecodableArrayError(Exception):
    """These bytes are not an array of numbers."""


def as_real(tensor: Tensor) -> Tensor:
    """View complex numbers as pairs of real ones, along one more axis."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def is_complex(data: Encoded) -> bool:
    """Tell whether an array claims to be of complex numbers.

    Raises
    ------
    UndecodableArrayError
        If its bytes have no header that can be read.
    """
    if isinstance(data, Tensor):
        return data.is_complex()
    with _suspecting():
        _, _, dtype = _read_header(data[: _data_start(data)])
    return bool(dtype.kind == "c")


def shape_of(data: Encoded) -> tuple[int, ...]:
    """Read what shape an array claims to have, and nothing else.

    Of complex numbers it is that of pairs of real ones.

    Raises
    ------
    UndecodableArrayError
        If its bytes have no header that can be read.
    """
    if isinstance(data, Tensor):
        return tuple(as_real(data).shape)
    with _suspecting():
        shape, _, dtype = _read_header(data[: _data_start(data)])
    return (*shape, 2) if dtype.kind == "c" else shape


def decode(data: Encoded) -> Tensor:
    """View an array as a tensor on the CPU, complex numbers as pairs of real ones.

    It must not be written to.

    Raises
    ------
    UndecodableArrayError
        If it is not one of numbers, or its bytes are no array at all.
    """
    if isinstance(data, Tensor):
        return _dense(data)
    with _suspecting():
        return _decode(data)


@contextmanager
def _suspecting() -> Iterator[None]:
    """Turn whatever hostile bytes make the readers raise into one error."""
    try:
        yield
    except UndecodableArrayError:
        raise
    except Exception as error:
        raise UndecodableArrayError("the bytes cannot be read as an array") from error


def is_verbatim(data: Encoded) -> bool:
    """Tell whether PyTorch can read the array as it is, in this machine's byte order.

    To be asked of what `decode` takes.
    """
    if isinstance(data, Tensor):
        return True
    _, _, dtype = _read_header(data[: _data_start(data)])
    return bool(dtype.isnative)


def _dense(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided:
        raise UndecodableArrayError(f"{tensor.layout} is no dense array")
    return as_real(tensor.detach().cpu().resolve_conj())


def _decode(data: bytes) -> Tensor:
    start = _data_start(data)
    shape, fortran_order, dtype = _read_header(data[:start])
    if dtype.itemsize > MAX_ITEMSIZE.get(dtype.kind, 0):
        raise UndecodableArrayError(
            f"dtype {quoted(str(dtype))} is no number that PyTorch can read"
        )
    count = math.prod(shape)
    if count * dtype.itemsize > len(data) - start:
        raise UndecodableArrayError(
            f"shape {quoted(shape)} of {dtype} needs more than the "
            f"{len(data) - start} bytes found"
        )
    flat = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    return as_real(torch.from_numpy(_native(array)))


def encode(tensor: Tensor) -> np.ndarray:
    """Give a tensor back as an array of its own, as the wrapped strategy expects."""
    return tensor.numpy().copy()


def encode_complex(pairs: Tensor) -> np.ndarray:
    """Give pairs of real numbers back as an array of complex ones."""
    return torch.view_as_complex(pairs.contiguous()).numpy().copy()


@contextmanager
def reading_only() -> Iterator[None]:
    """Hold back PyTorch's warning that a view of bytes must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not writable", UserWarning)
        yield


def _data_start(data: bytes) -> int:
    version = tuple(data[6:8])
    if not data.startswith(npy.MAGIC_PREFIX) or version not in LENGTH_FIELD:
        raise UndecodableArrayError("the bytes are not a NumPy array")
    width = LENGTH_FIELD[version]
    length = int.from_bytes(data[8 : 8 + width], "little")
    if length > MAX_HEADER:
        raise UndecodableArrayError(f"a header of {length} bytes, allowed {MAX_HEADER}")
    return 8 + width + length


@lru_cache(maxsize=1024)
def _read_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Parse a header once: the clients of a federation all send the same ones."""
    stream = BytesIO(header)
    shape, fortran_order, dtype = HEADER_READER[npy.read_magic(stream)](stream)
    if any(type(length) is not int or length < 0 for length in shape):
        raise UndecodableArrayError(f"shape {quoted(shape)} is not one of lengths")
    return shape, fortran_order, dtype


def _native(array: np.ndarray) -> np.ndarray:
    """Copy only what PyTorch cannot view: foreign byte order or odd place."""
    return np.require(array, array.dtype.newbyteorder("="), "A")
