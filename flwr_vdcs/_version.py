"""The version, where code and packaging both find it."""

__version__ = "0.1.0"
