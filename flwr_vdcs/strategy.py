"""The plugin: one line around any Flower strategy."""

import inspect
import os
from collections.abc import Callable
from typing import Any, Self, TypeGuard

import torch
from flwr.serverapp.strategy import Strategy
from torch import nn

from flwr_vdcs.device import resolve_device
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.guard import Guard
from flwr_vdcs.journal import Journal, logger
from flwr_vdcs.legacy import LegacyAdapter
from flwr_vdcs.message import MessageAdapter
from flwr_vdcs.report import RoundReport
from flwr_vdcs.scoring import Scoring, resolve_scoring
from flwr_vdcs.selection import NumMalicious, check_num_malicious
from flwr_vdcs.virtual import MAX_SEED, VirtualSamples, gaussian
from flwr_vdcs.wrapped import AnyStrategy, caution, check_strategy, metric_keys


def _without_self(method: Callable[..., Any]) -> inspect.Signature:
    """Show users and editors the constructor's arguments rather than ``__new__``'s."""
    signature = inspect.signature(method)
    _self, *parameters = signature.parameters.values()
    return signature.replace(parameters=parameters)


class VirtualConsistencyStrategy:
    """Let a strategy aggregate only those updates that are consistent with the others.

    Every round the server feeds virtual samples through the model with each
    client's update, scores how consistent each client's features are with the
    others', and drops the ``num_malicious`` lowest. Replies that cannot be
    aggregated at all are quarantined. The wrapped strategy sees the rest and goes on
    unchanged (Lee, Gong and Kang, "Embedding Byzantine Fault Tolerance into
    Federated Learning via Virtual Data-Driven Consistency Scoring Plugin").

    The object is a strategy of the API that the wrapped one belongs to. Unknown
    attributes are looked up in the wrapped strategy.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy or flwr.server.strategy.Strategy
        The strategy to protect; also one that wraps others.
    model : torch.nn.Module
        Gives architecture and key names. It is neither changed nor trained.
    input_shape : tuple of int
        Shape of one input, without the batch axis.
    num_malicious : int, float or "auto"
        M, how many updates to drop each round: an int >= 0, or a float in [0, 0.5)
        for a fraction of the admitted updates, rounded down. With 0 the clients are
        scored and reported, and none is dropped. ``"auto"`` drops those that are
        further from the others than honest updates are, and less than half of them;
        it needs a scoring that knows how far that is, such as ``"hardened"``.
    num_virtual_samples : int, default 100
        N, how many virtual samples to draw each round.
    virtual_samples : callable, optional
        ``(generator, N) -> Tensor`` of shape ``(N, *input_shape)``, instead of
        standard normal samples: token ids, for example.
    head : str, optional
        Name of the final classification layer; its input are the features. Found by
        running the model if not given.
    scoring : str or Scoring, default "paper"
        ``"paper"`` for the published score, ``"hardened"`` for one that also sees
        what that misses, or an object of your own.
    equal_weights : bool, default False
        Whether all kept clients weigh the same, whatever they claim (Eq. 20).
    device : str or torch.device, default "auto"
        Where the features are computed; ``"auto"`` takes Gaudi, CUDA or an Intel GPU
        where there is one, else the CPU.
    seed : int, optional
        Makes the virtual samples reproducible. Without one they come from a fresh
        secret seed each round, noted in the report.
    audit_log : path, optional
        A JSON Lines file that gets one line a round, at once.

    Attributes
    ----------
    strategy
        The wrapped strategy.
    reports : list of RoundReport
        What each training round decided.
    evaluation_reports : list of RoundReport
        The evaluation rounds in which a reply was quarantined.

    Raises
    ------
    UnsupportedStrategyError
        If ``strategy`` is none of Flower's, or one of decision trees.
    InputShapeError, HeadNotFoundError
        If the model does not run on the inputs, or has no such head.
    InvalidArgumentError, NumMaliciousError, DeviceUnavailableError, AuditLogError
        If another argument is not possible here.

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedAvg
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Linear(32, 10))
    >>> strategy = VirtualConsistencyStrategy(
    ...     FedAvg(), model=net, input_shape=(1, 28, 28), num_malicious=3
    ... )
    >>> isinstance(strategy, VirtualConsistencyStrategy)
    True
    """

    strategy: Any

    def __new__(cls, strategy: AnyStrategy, **_: Any) -> Self:
        """Add the adapter for the API that the wrapped strategy belongs to."""
        is_message = isinstance(check_strategy(strategy), Strategy)
        adapter = MessageAdapter if is_message else LegacyAdapter
        adapted: type[Self] = _with(cls, adapter)
        return super().__new__(adapted)

    def __init__(
        self,
        strategy: AnyStrategy,
        *,
        model: nn.Module,
        input_shape: tuple[int, ...],
        num_malicious: NumMalicious,
        num_virtual_samples: int = 100,
        virtual_samples: VirtualSamples | None = None,
        head: str | None = None,
        scoring: str | Scoring = "paper",
        equal_weights: bool = False,
        device: str | torch.device = "auto",
        seed: int | None = None,
        audit_log: str | os.PathLike[str] | None = None,
    ) -> None:
        input_shape = _checked_shape(input_shape)
        self.strategy = strategy
        self._guard = Guard(
            model=_checked_model(model),
            input_shape=input_shape,
            num_malicious=check_num_malicious(num_malicious),
            num_virtual_samples=_checked_count(num_virtual_samples),
            virtual_samples=virtual_samples or gaussian(input_shape),
            head=head,
            scoring=resolve_scoring(scoring),
            device=resolve_device(device),
            seed=_checked_seed(seed),
        )
        self._equal_weights = equal_weights
        self._metric_keys = metric_keys(strategy)
        self._journal = Journal(audit_log)
        if self._guard.is_protecting and (warning := caution(strategy)):
            logger.warning(warning)

    __signature__ = _without_self(__init__)

    def __getnewargs__(self) -> tuple[AnyStrategy]:
        """Let copies be made."""
        return (self.strategy,)

    @property
    def reports(self) -> list[RoundReport]:
        """What each training round decided, oldest first."""
        return self._journal.reports

    @property
    def evaluation_reports(self) -> list[RoundReport]:
        """The evaluation rounds in which a reply was quarantined, oldest first."""
        return self._journal.evaluation_reports

    def summary(self) -> None:
        """Log the settings in Flower's tree, then the wrapped strategy's."""
        guard, log = self._guard, self._journal.audit_log
        for line in (
            "├──> Virtual consistency:",
            f"│\t├── Scoring: {guard.scoring.name}",
            f"│\t├── Malicious clients to drop: {guard.num_malicious}",
            f"│\t├── Virtual samples: {guard.num_virtual_samples}",
            f"│\t├── Input shape: {guard.input_shape}",
            f"│\t├── Head: {guard.probe.head!r} ({guard.probe.num_features} features)",
            f"│\t├── Device: {guard.device}",
            f"│\t├── Equal weights: {self._equal_weights}",
            f"│\t└── Audit log: {log.path if log else '(none)'}",
        ):
            logger.info("\t%s", line)
        if hasattr(self.strategy, "summary"):
            self.strategy.summary()

    def __repr__(self) -> str:
        """Name the wrapped strategy."""
        return f"VirtualConsistencyStrategy({self.strategy!r})"

    def __getattr__(self, name: str) -> Any:
        """Look up what this class does not have in the wrapped strategy."""
        if name.startswith("_") or "strategy" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self.strategy, name)


def _with(cls: type, adapter: type) -> Any:
    """Make the class a strategy of the adapter's API, unless it is one already."""
    if issubclass(cls, adapter):
        return cls
    return type(cls.__name__, (cls, adapter), {"__module__": cls.__module__})


def _checked_model(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError("model", model, "a torch.nn.Module (an instance)")
    return model


def _checked_shape(input_shape: object) -> tuple[int, ...]:
    shape = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    if not shape or not all(_is_int(length) and length > 0 for length in shape):
        allowed = "a tuple of positive ints, one input without the batch axis"
        raise InvalidArgumentError("input_shape", input_shape, allowed)
    return shape


def _checked_count(num_virtual_samples: object) -> int:
    if not _is_int(num_virtual_samples) or num_virtual_samples < 1:
        raise InvalidArgumentError(
            "num_virtual_samples", num_virtual_samples, "an int >= 1"
        )
    return num_virtual_samples


def _checked_seed(seed: object) -> int | None:
    if seed is not None and not (_is_int(seed) and 0 <= seed < MAX_SEED):
        allowed = f"None, or an int from 0 to {MAX_SEED - 1}"
        raise InvalidArgumentError("seed", seed, allowed)
    return seed


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
