"""Audit logs to a page: one stage a file, from lines to HTML."""
