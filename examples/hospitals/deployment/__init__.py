"""What `federation.py` is made of: certificates, keys, programs, runs and their end."""
