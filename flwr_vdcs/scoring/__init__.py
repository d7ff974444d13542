"""Admitted to scores: how consistent each update is with the others."""
