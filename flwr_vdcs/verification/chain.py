"""Line to hash: what binds each line of an audit log to the line before."""

import hashlib

BEGINNING = "0" * 64
"""What the first line of all carries as the hash of the line before."""


def line_hash(line: bytes) -> str:
    """Give the SHA-256 of a line without its newline, in hex."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
