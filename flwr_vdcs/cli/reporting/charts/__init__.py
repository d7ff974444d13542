"""Decisions to charts: heatmaps, histograms and what they share."""
