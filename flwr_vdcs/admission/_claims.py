"""What a reply says besides its arrays: how many examples, which metrics and records.

Clients can be aggregated together where these are alike. What is usual is what more
than half of them have; where clients have metrics of their own, nothing is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Real
from statistics import median
from typing import TypeGuard

from flwr_vdcs.admission.update import Update
from flwr_vdcs.errors import listed, quoted

MAX_WEIGHT = 2.0**53
"""A number of examples is at most what floating point counts exactly."""

MAX_BITS = 64

MAX_RATIO = 1_000
"""A client may claim that many times the examples of the round's median client.

So may it count, as the counters of batch norm do.
"""


def impossible(update: Update) -> str:
    """Say what is wrong with a claim by itself; nothing if nothing is."""
    weight = update.num_examples
    if weight is None or _is_weight(weight) or has_no_examples(update):
        return ""
    return f"num-examples: expected a positive number, found {quoted(weight)}"


def has_no_examples(update: Update) -> bool:
    """Tell whether a client says that it had nothing to train on."""
    weight = update.num_examples
    is_number = isinstance(weight, Real) and not isinstance(weight, bool)
    return is_number and weight == 0


def unlike(updates: Sequence[Update]) -> list[str]:
    """Say of each update in what it is unlike the others; nothing if in nothing."""
    weights = [u.num_examples for u in updates if _is_weight(u.num_examples)]
    typical = median(weights) if weights else 0.0
    layouts = [_layout(update) for update in updates]
    usual, is_whole = _usual(layouts)
    return [
        _implausible(update.num_examples, typical)
        or _differing(layout, usual, is_whole=is_whole)
        for update, layout in zip(updates, layouts, strict=True)
    ]


def kind_of(value: object) -> str:
    """Tell apart what cannot be averaged together: numbers, lists by length, others."""
    if isinstance(value, list):
        is_whole = bool(value) and set(map(type, value)) <= {int, bool}
        largest = kind_of(max(value, key=abs)) if is_whole else ""
        return f" (list of {len(value)}{largest})"
    if isinstance(value, bool) or not isinstance(value, Real):
        return f" ({type(value).__name__})"
    is_huge = isinstance(value, int) and value.bit_length() > MAX_BITS
    return " (beyond 64 bits)" if is_huge else ""


def _is_weight(weight: object) -> TypeGuard[float]:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        return False
    try:
        return 0 < float(weight) < MAX_WEIGHT
    except OverflowError:
        return False


def _implausible(weight: object, typical: float) -> str:
    if not _is_weight(weight) or weight <= MAX_RATIO * typical:
        return ""
    return (
        f"num-examples: expected at most {MAX_RATIO} times the median "
        f"{typical:g}, found {quoted(weight)}"
    )


def _layout(update: Update) -> frozenset[str]:
    """Describe all that is aggregated besides the arrays' values."""
    metrics = {_described(name, value) for name, value in update.metrics.items()}
    return update.records | metrics


def _described(name: str, value: object) -> str:
    """Name a metric and its kind, so that no name can pass for another's kind."""
    kind = kind_of(value) or (" (number)" if name.endswith(")") else "")
    return f"metric {name}{kind}"


def _usual(layouts: Sequence[frozenset[str]]) -> tuple[frozenset[str], bool]:
    """Give the layout of more than half, or else what more than half have.

    Returns
    -------
    frozenset
        What is usual.
    bool
        Whether it is a whole layout, so that nobody may have more.
    """
    counted = Counter(layouts).most_common(1)
    if counted and 2 * counted[0][1] > len(layouts):
        return counted[0][0], True
    return _common(layouts), False


def _common(layouts: Sequence[Iterable[str]]) -> frozenset[str]:
    """Give what more than half have."""
    counted = Counter(item for layout in layouts for item in layout)
    return frozenset(item for item, n in counted.items() if 2 * n > len(layouts))


def _differing(layout: frozenset[str], usual: frozenset[str], *, is_whole: bool) -> str:
    missing = usual - layout
    extra = layout - usual if is_whole else frozenset()
    if not missing and not extra:
        return ""
    return (
        "records or metrics unlike the majority's"
        + (f"; missing {listed(missing)}" if missing else "")
        + (f"; not theirs {listed(extra)}" if extra else "")
    )
