"""What is admitted, and what is quarantined."""
