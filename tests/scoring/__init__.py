"""How updates are scored."""
