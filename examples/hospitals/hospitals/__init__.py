"""Flower app: hospitals that train one model, and a server that finds the poisoned."""
