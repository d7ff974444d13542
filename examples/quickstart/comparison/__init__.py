"""What `compare.py` is made of: simulations, their results, the picture."""
