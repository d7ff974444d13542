"""What a faulty or hostile client may do to its reply, by name, in the order applied.

Every mutation takes a draft and a random generator, and gives another draft.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from faults.draft import Draft
from faults.mutations.claims import CLAIMS
from faults.mutations.encodings import ENCODINGS
from faults.mutations.envelopes import ENVELOPES
from faults.mutations.layouts import LAYOUTS
from faults.mutations.values import VALUES

Mutation = Callable[[Draft, np.random.Generator], Draft]
Stages = Sequence[Mapping[str, Mutation]]

OF_ARRAYS: Stages = (VALUES, LAYOUTS, ENCODINGS)
OF_CLAIMS: Stages = (CLAIMS, ENVELOPES)

COMBINATION = "a combination"

IMPOSSIBLE = {
    "message": ("a metric of another kind",),
    "legacy": (
        "a key renamed",
        "another serialisation",
        "other array records",
        "other metric records",
        "record names exchanged",
        "a config record",
        "neither content nor error",
        "strange numbers in a list",
        "a number posing as a list",
    ),
}
"""What an API's own types do not let a client say."""


def possible(api: str, phase: str) -> Stages:
    """Give the mutations that an API lets through, in training or evaluation."""
    stages = (*OF_ARRAYS, *OF_CLAIMS) if phase == "train" else OF_CLAIMS
    return [
        {name: each for name, each in stage.items() if name not in IMPOSSIBLE[api]}
        for stage in stages
    ]


def names(stages: Stages) -> list[str]:
    """Name the mutations, and the combination of several of them."""
    return [*(name for stage in stages for name in stage), COMBINATION]


def mutate(draft: Draft, name: str, stages: Stages, rng: np.random.Generator) -> Draft:
    """Apply one mutation, or one of each of several stages."""
    if name == COMBINATION:
        num_stages = rng.integers(2, len(stages) + 1)
        chosen = sorted(rng.choice(len(stages), num_stages, replace=False))
        chain = [(stages[place], rng.choice(list(stages[place]))) for place in chosen]
    else:
        chain = [(stage, name) for stage in stages if name in stage]
    with np.errstate(all="ignore"):
        for stage, each in chain:
            draft = stage[each](draft, rng)
    return draft
