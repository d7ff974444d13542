"""Random streams of the attacks, each for one purpose.

They share no numbers with each other, nor with the streams that training draws from
(other seed sequences over the same numbers).
"""

from __future__ import annotations

import numpy as np
import torch

DATA, CLIENT, COLLUDERS = 1, 2, 3


def for_data(seed: int, partition_id: int) -> torch.Generator:
    """Decide which images a poisoned client tampers with, the same in all rounds."""
    return _generator(seed, DATA, partition_id)


def for_client(seed: int, server_round: int, partition_id: int) -> torch.Generator:
    """Draw one poisoned client's noise in one round."""
    return _generator(seed, CLIENT, server_round, partition_id)


def for_colluders(seed: int, server_round: int) -> torch.Generator:
    """Draw the noise that all poisoned clients share in one round."""
    return _generator(seed, COLLUDERS, server_round)


def _generator(seed: int, *purpose: int) -> torch.Generator:
    state = np.random.SeedSequence(seed, spawn_key=purpose).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))
