"""Name to key pair: what a SuperNode proves with that it is the registered one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from deployment.private import write_private


@dataclass(frozen=True)
class KeyPair:
    """The files of an ECDSA key pair in OpenSSH's format, as ``ssh-keygen`` makes.

    Parameters
    ----------
    private : Path
        Stays at the hospital.
    public : Path
        Goes to the administrator of the SuperLink, who registers it.
    """

    private: Path
    public: Path


def write_key_pair(folder: Path, name: str) -> KeyPair:
    """Write a new key pair, or return the one that is in the folder already."""
    pair = KeyPair(folder / name, folder / f"{name}.pub")
    if pair.public.exists():
        return pair
    key = ec.generate_private_key(ec.SECP384R1())
    write_private(
        pair.private,
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    pair.public.write_bytes(public + b"\n")
    return pair
