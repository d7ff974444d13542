"""All federations, by whether the rule was derived on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from federations import deriving, held_out
from federations.federation import Federation


def federations(heart: Path | None, blood_cells: str) -> tuple[Federation, ...]:
    """List all federations.

    Parameters
    ----------
    heart
        The heart disease data; without them these federations are left out.
    blood_cells
        Path of ``bloodmnist.npz``; if it is empty that federation is left out.
    """
    known = (*deriving.synthetic(), *(deriving.with_heart(heart) if heart else ()))
    return (
        *(replace(each, is_held_out=False) for each in known),
        *held_out.synthetic(),
        *(held_out.with_heart(heart) if heart else ()),
        *(held_out.with_blood_cells(blood_cells) if blood_cells else ()),
    )
