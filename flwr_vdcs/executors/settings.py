"""PyTorch's settings that change last digits, from the server to its workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Settings:
    """How PyTorch computes in a process.

    Attributes
    ----------
    num_threads
        Sums are split among them.
    dtype
        Of numbers that have none.
    is_deterministic, only_warns
        Whether operations must be deterministic, or it is only warned where not.
    precision
        Of products of float32 matrices.
    tf32
        Whether convolutions may use TF32, where there is CUDA.
    """

    num_threads: int
    dtype: torch.dtype
    is_deterministic: bool
    only_warns: bool
    precision: str
    tf32: bool

    @classmethod
    def here(cls) -> "Settings":
        """Read those of this process."""
        return cls(
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
        )

    def apply(self) -> None:
        """Let this process have them."""
        torch.set_num_threads(self.num_threads)
        torch.set_default_dtype(self.dtype)
        torch.use_deterministic_algorithms(
            self.is_deterministic, warn_only=self.only_warns
        )
        torch.set_float32_matmul_precision(self.precision)
        torch.backends.cudnn.allow_tf32 = self.tf32

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let this process have them for a while."""
        own = Settings.here()
        if own == self:
            yield
            return
        self.apply()
        try:
            yield
        finally:
            own.apply()
