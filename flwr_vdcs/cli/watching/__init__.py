"""A growing log to what it says now: followed, summed up, and drawn in a terminal."""
