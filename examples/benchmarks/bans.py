"""How often reputation bans honest clients, and how soon malicious ones.

Run ``python examples/benchmarks/bans.py``: federations of ten clients that really train
a small CNN on scikit-learn's digits for 200 rounds, with and without attackers. Prints
a table and writes a CSV, a line a federation; those that are in it are not run again.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from rows import Row, Rows

APP = Path(__file__).resolve().parents[1] / "bloodmnist"
NUM_CLIENTS = 10
AUTO = -2

DEFENSES = {
    "dry run, M = 0": ("paper", 0),
    "paper, M = 3": ("paper", 3),
    "hardened, M = 3": ("hardened", 3),
    "hardened, auto": ("hardened", AUTO),
}
HONEST = {"fraction-malicious": 0.0}
POISONED = {"fraction-malicious": 0.3}
ATTACKS: dict[str, dict[str, Any]] = {
    "none": HONEST,
    "sign-flip": {**POISONED, "attack": "sign-flip"},
    "ump-paper": {**POISONED, "attack": "ump-paper"},
    "flipped labels": {**POISONED, "labels": "flipped"},
}
FIELDS = ["scoring", "attack", "alpha", "seed", "rounds", "honest banned"]
FIELDS += ["honest rounds lost", "honest drops", "attackers banned", "first ban"]
FIELDS += ["attacker rounds kept", "accuracy"]


def federations(seeds: int) -> Iterator[Row]:
    """Name the federations to run."""
    for seed, alpha, scoring, attack in product(
        range(seeds), (10.0, 0.3), DEFENSES, ATTACKS
    ):
        yield {"scoring": scoring, "attack": attack, "alpha": alpha, "seed": seed}


def run(federation: Row, num_rounds: int) -> list[dict[str, Any]]:
    """Train, and give what the app wrote of each round."""
    scoring, num_malicious = DEFENSES[federation["scoring"]]
    with tempfile.TemporaryDirectory() as folder:
        results, config = Path(folder, "results.jsonl"), Path(folder, "config.json")
        settings = {
            "model": "groupnorm-cnn",
            "data-path": "digits",
            "defense": "vdcs",
            "reputation": True,
            "scoring": scoring,
            "num-malicious": num_malicious,
            **ATTACKS[federation["attack"]],
            "alpha": federation["alpha"],
            "seed": federation["seed"],
            "num-server-rounds": num_rounds,
            "device": "cpu",
            "results": str(results),
        }
        config.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "bloodmnist.engine", "--config", str(config)]
        subprocess.run(command, cwd=APP, check=True, capture_output=True)
        return [json.loads(line) for line in results.read_text().splitlines()]


def measure(rounds: list[dict[str, Any]]) -> Row:
    """Count bans and drops of honest and of malicious clients."""
    decisions = [(r["round"], d) for r in rounds for d in r["decisions"]]

    def count(verdict: str, *, poisoned: bool) -> int:
        return sum(
            d["verdict"] == verdict and d["poisoned"] is poisoned for _, d in decisions
        )

    bans = [(r, d) for r, d in decisions if d["verdict"] == "banned"]
    honest = {d["client"] for _, d in bans if not d["poisoned"]}
    guilty = {d["client"] for _, d in bans if d["poisoned"]}
    return {
        "rounds": rounds[-1]["round"],
        "honest banned": len(honest),
        "honest rounds lost": count("banned", poisoned=False),
        "honest drops": count("dropped", poisoned=False),
        "attackers banned": len(guilty),
        "first ban": min((r for r, d in bans if d["poisoned"]), default=""),
        "attacker rounds kept": count("kept", poisoned=True),
        "accuracy": round(rounds[-1]["accuracy"], 4),
    }


def main(
    *,
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("bans.csv"),
    num_rounds: Annotated[int, typer.Option(min=1)] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each setting.")] = 1,
) -> None:
    """Run the federations that are missing in the CSV, and print it."""
    rows = Rows(output, FIELDS)
    wanted = ({**each, "rounds": num_rounds} for each in federations(seeds))
    for federation in track(rows.missing(wanted), description="federations"):
        rows.append({**federation, **measure(run(federation, num_rounds))})
    rows.show()


if __name__ == "__main__":
    typer.run(main)
