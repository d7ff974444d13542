"""Names to facts: what the page must know of scorings, without importing PyTorch."""

WITHOUT_THRESHOLD = frozenset({"paper"})
"""One of the user's own may have one."""

SEE_WITHOUT_SAMPLES = frozenset({"hardened"})
"""These do not depend on features that vary with the virtual samples."""
