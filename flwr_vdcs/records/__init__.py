"""What is written down: Flower's log, the audit log and the saved state."""

from flwr_vdcs.records.audit_log import AuditLog
from flwr_vdcs.records.journal import Journal, Listener
from flwr_vdcs.records.notices import logger
from flwr_vdcs.records.state_file import StateFile

__all__ = [
    "AuditLog",
    "Journal",
    "Listener",
    "StateFile",
    "logger",
]
