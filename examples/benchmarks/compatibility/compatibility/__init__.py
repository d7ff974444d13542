"""Models that people federate, each played with the plugin around Flower's FedAvg."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
sys.path.append(str(Path(__file__).resolve().parents[2] / "faults"))
