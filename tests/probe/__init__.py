"""The model as the server runs it."""
