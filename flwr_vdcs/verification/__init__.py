"""Audit log to verification: whether each line follows the line before."""

from flwr_vdcs.verification.chain import BEGINNING, line_hash
from flwr_vdcs.verification.verification import Verification, verify

__all__ = ["BEGINNING", "Verification", "line_hash", "verify"]
