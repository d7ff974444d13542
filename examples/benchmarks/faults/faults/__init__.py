"""Faulty and hostile clients, tried on the plugin and counted."""
