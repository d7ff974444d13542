"""Ledger to words: what the page says in sentences and settings."""
