"""Bytes to tensors: equal to NumPy's reader, without copying, and safe with lies."""

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr_vdcs.admission.npy import UndecodableArrayError, decode, encode, reading_only


def npy(array: np.ndarray) -> bytes:
    """Encode an array as Flower does."""
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


real_arrays = hnp.arrays(
    st.sampled_from(["?", "i1", "u1", "<i8", "<f2", "<f4", ">f4", "<f8", ">i4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
)


@given(array=real_arrays, fortran=st.booleans())
def test_reads_what_numpy_reads(array, fortran):
    """Any real array comes back equal, whatever its order of bytes and axes."""
    data = npy(np.asfortranarray(array) if fortran and array.ndim else array)
    with reading_only():
        tensor = decode(data)
    expected = np.load(BytesIO(data))
    assert tuple(tensor.shape) == expected.shape
    np.testing.assert_array_equal(tensor.numpy(), expected)


def test_views_the_bytes():
    """The tensor's memory is that of the bytes."""
    data = npy(np.arange(4.0))
    start = np.frombuffer(data, np.uint8).ctypes.data
    with reading_only():
        address = decode(data).data_ptr()
    assert start < address < start + len(data)


def test_encode_gives_an_array_of_its_own():
    """Writing to what the wrapped strategy gets does not touch the client's bytes."""
    tensor = torch.zeros(3)
    encode(tensor)[:] = 1
    assert tensor.sum() == 0


def test_reads_unaligned_data():
    """A header of odd length is legal, and its data are copied into place."""
    header = b"{'descr':'<f8','fortran_order':False,'shape':(2,),}\n"
    values = np.array([1.5, 2.5])
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with reading_only():
        tensor = decode(data + values.tobytes())
    assert tensor.tolist() == [1.5, 2.5]


def with_shape(shape: str, body: bytes = b"") -> bytes:
    """Claim a shape for four-byte numbers."""
    header = f"{{'descr':'<f4','fortran_order':False,'shape':{shape}}}"
    return header_only(header.encode()) + body


def header_only(header: bytes, version: bytes = b"\x01\x00") -> bytes:
    """Make an array file that is nothing but a header."""
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a NumPy array"),
        (b"hello, this is no array", "not a NumPy array"),
        (b"\x93NUMPY\x07\x00\x00\x00", "not a NumPy array"),
        (npy(np.zeros(2))[:-1], "needs more than the 15 bytes found"),
        (npy(np.array(["a"])), "no number"),
        (npy(np.ones(2, np.longdouble)), "'float128' is no number that PyTorch can"),
        (npy(np.ones(2, np.clongdouble)), "'complex256' is no number that PyTorch"),
        (npy(np.array(["2026"], "M8[D]")), "no number"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "a header of 65535 bytes"),
        (header_only(b"(" * 5000), "cannot be read as an array"),
        (header_only(b"{'descr': '|O'}"), "cannot be read as an array"),
        (
            header_only(b"{'descr':'|O','fortran_order':False,'shape':(1,),}"),
            "no number",
        ),
        (
            header_only(b"{'descr':'<f4','fortran_order':False,'shape':(-1,),}"),
            "is not one of lengths",
        ),
        (
            header_only(b"{'descr':'<f4','fortran_order':False,'shape':(9**99,),}"),
            "cannot be read as an array",
        ),
        (
            header_only(
                b"{'descr':'<f4','fortran_order':False,'shape':(10000000000,)}"
            ),
            "needs more than the 0 bytes found",
        ),
        (with_shape(f"(0, {2**70})"), "cannot be read as an array"),
        (with_shape(str((1,) * 70), b"0000"), "cannot be read as an array"),
        (with_shape("(True,)", b"0000"), "is not one of lengths"),
        (
            with_shape(str((10**18,) * 300)),
            "needs more than the 0 bytes|cannot be read",
        ),
        (with_shape("(0x" + "f" * 9000 + ",)"), "needs more than the 0 bytes found"),
    ],
)
def test_refuses_lies(data, reason):
    """Bytes that are no array of numbers are refused, never unpickled."""
    with pytest.raises(UndecodableArrayError, match=reason):
        decode(data)


@given(data=st.binary(max_size=200), cut=st.integers(0, 140))
@example(data=b"", cut=128)
def test_any_bytes_are_an_array_or_refused(data, cut):
    """No bytes raise anything but the refusal."""
    with reading_only():
        try:
            decode(npy(np.zeros((2, 2)))[:cut] + data)
        except UndecodableArrayError:
            return
