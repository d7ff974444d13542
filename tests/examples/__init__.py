"""The apps that people copy."""
