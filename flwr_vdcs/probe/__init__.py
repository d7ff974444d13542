"""The model as the server runs it: on virtual samples, without its head."""
