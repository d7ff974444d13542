"""Let the tests import the examples."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path += [str(EXAMPLES / "hospitals"), str(EXAMPLES / "faults")]
