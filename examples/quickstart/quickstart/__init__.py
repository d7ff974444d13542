"""Flower quickstart whose server resists poisoned clients."""
