"""Scores to decisions: who is dropped, and how long an update may be."""
