"""The yardstick: rounds recorded once, on which every rule meets every attack."""
