"""Hardened scoring: each of its stages, and whole rounds."""
