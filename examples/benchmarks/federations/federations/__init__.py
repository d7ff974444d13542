"""Federations as hospitals are: unequal, partial, and of many kinds of models."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "bloodmnist"))
sys.path.append(str(Path(__file__).resolve().parents[2]))
