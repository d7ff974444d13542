"""A model to findings: one stage a file, from its name to what would fail."""
