"""Tests of the recipes of the page on partial exchange."""
