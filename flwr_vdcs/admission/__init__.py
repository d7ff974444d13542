"""Replies to admitted: what can be aggregated goes on, the rest is quarantined."""
