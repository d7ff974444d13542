"""The edge to Flower: its two strategy APIs, replies and wrapped strategies."""
