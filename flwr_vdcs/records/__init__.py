"""What is written down: Flower's log, the audit log and the saved state."""
