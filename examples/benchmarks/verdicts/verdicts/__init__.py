"""The yardstick: rounds recorded once, on which every rule meets every attack."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "bloodmnist"))
