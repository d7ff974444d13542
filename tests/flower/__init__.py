"""The edge to Flower."""
