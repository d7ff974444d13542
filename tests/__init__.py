"""Tests, one file a stage, plus whole rounds in process and real simulations."""
