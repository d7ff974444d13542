"""Ledger to charts: heat maps of verdicts and scores, and where the scores lie."""
