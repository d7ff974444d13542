"""What the paper reports: maximum test accuracy in per cent, from its section 4.2.

The paper prints few exact numbers. Where its text gives a range, both ends stand here;
"approximately 20 %" is 20. Its TMP and UMP are those of its Eqs. 9 to 12.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL = ("fedavg", "fedprox", "feddyn", "fedrs", "fedsam", "fedspeed")
STRONG, WEAK = ALL[:4], ALL[4:]
WITHOUT, WITH = False, True
FRACTIONS = (0.1, 0.2, 0.3)
ALPHAS = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Reported:
    """One statement of the paper.

    Parameters
    ----------
    figure : int
        The figure that the text speaks of.
    algorithms : tuple[str, ...]
        Whose accuracy it is.
    attack : str
        ``"tmp"`` or ``"ump"``.
    plugin : bool
        With or without the plugin.
    fractions : tuple[float, ...]
        Shares of poisoned clients it holds for.
    alphas : tuple[float, ...]
        Concentrations of the Dirichlet distribution it holds for.
    low, high : float
        The range, in per cent; a single number twice.
    """

    figure: int
    algorithms: tuple[str, ...]
    attack: str
    plugin: bool
    fractions: tuple[float, ...]
    alphas: tuple[float, ...]
    low: float
    high: float

    def __str__(self) -> str:
        """Write ``89.68`` or ``65-70``."""
        if self.low == self.high:
            return f"{self.low:g}"
        return f"{self.low:g}-{self.high:g}"


REPORTED = (
    # Fig. 3: "approximately 20 % when p = 0.3"; 17 to 19 under UMP from p = 0.1 on.
    Reported(3, ("fedavg",), "tmp", WITHOUT, (0.1,), (10.0,), 80.06, 80.06),
    Reported(3, ("fedavg",), "tmp", WITHOUT, (0.3,), (10.0,), 19.47, 19.47),
    Reported(3, ALL[1:], "tmp", WITHOUT, (0.3,), (10.0,), 20, 20),
    Reported(3, ALL, "ump", WITHOUT, (0.1,), (10.0,), 17, 19),
    Reported(3, ALL, "ump", WITHOUT, (0.3,), (10.0,), 20, 20),
    # Fig. 4.
    Reported(4, ("fedavg",), "tmp", WITHOUT, (0.1,), (10.0,), 80.06, 80.06),
    Reported(4, ("fedavg",), "tmp", WITHOUT, (0.3,), (10.0,), 19.47, 19.47),
    Reported(4, ("fedavg",), "tmp", WITH, (0.3,), (10.0,), 89.68, 89.68),
    Reported(4, STRONG[1:], "tmp", WITH, FRACTIONS, (10.0,), 85, 90),
    Reported(4, ALL, "ump", WITHOUT, (0.1,), (10.0,), 17, 19),
    Reported(4, STRONG, "ump", WITH, (0.3,), (10.0,), 65, 70),
    Reported(4, WEAK, "ump", WITH, (0.3,), (10.0,), 25, 30),
    # Fig. 5: "below 30 %" under UMP where alpha is below 1.
    Reported(5, ALL, "tmp", WITHOUT, (0.3,), ALPHAS, 20, 20),
    Reported(5, STRONG, "tmp", WITH, (0.3,), (10.0,), 85, 90),
    Reported(5, WEAK, "tmp", WITH, (0.3,), (10.0,), 70, 80),
    Reported(5, ALL, "ump", WITHOUT, (0.3,), ALPHAS, 17, 20),
    Reported(5, ALL, "ump", WITH, (0.3,), (0.1,), 0, 30),
    Reported(5, STRONG, "ump", WITH, (0.3,), (100.0,), 74, 75),
    Reported(5, WEAK, "ump", WITH, (0.3,), (100.0,), 64, 65),
)


def find_reported(
    *, algorithm: str, attack: str, defense: str, fraction: float, alpha: float
) -> list[Reported]:
    """Return what the paper says about such a cell; nothing about a baseline.

    ``attack`` is one of this example, ``"tmp-authors"`` for example.
    """
    return [
        each
        for each in REPORTED
        if defense in {"none", "vdcs"}
        and algorithm in each.algorithms
        and attack.partition("-")[0] == each.attack
        and (defense == "vdcs") == each.plugin
        and fraction in each.fractions
        and alpha in each.alphas
    ]
