"""Let the tests import the example, and the quickstart's isolated Flower."""

import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path += [str(EXAMPLES / "hospitals"), str(EXAMPLES / "quickstart")]
