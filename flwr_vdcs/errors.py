"""Errors a user can act on: what was given, what is allowed, what to do."""

from collections.abc import Collection, Iterable

MAX_QUOTED = 60
MAX_LISTED = 3
MAX_LAYERS = 5


def quoted(value: object) -> str:
    """Quote what a client sent, shortened and on one line."""
    if isinstance(value, list):
        value = value[:MAX_QUOTED]  # a client may send a very long one
    try:
        text = repr(value)
    except ValueError:
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}..."


def printable(text: str) -> str:
    """Keep what strangers named from adding lines of its own."""
    return text if text.isprintable() else quoted(text)


def listed(names: Collection[str]) -> str:
    """List the first few of some names, and how many more there are."""
    first = ", ".join(quoted(name) for name in sorted(names)[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{first} and {more} more" if more > 0 else first


class VirtualConsistencyError(Exception):
    """Base class of every error this package raises."""


class UnsupportedStrategyError(VirtualConsistencyError, TypeError):
    """The object to wrap is not a Flower strategy this package can protect."""


class NumMaliciousError(VirtualConsistencyError, ValueError):
    """``num_malicious`` is no count, no fraction below one half and not "auto"."""

    def __init__(self, num_malicious: object) -> None:
        self.num_malicious = num_malicious
        super().__init__(
            f"num_malicious={num_malicious!r} is not possible: give an int >= 0 "
            "(clients per round), a float in [0, 0.5) (fraction of the admitted "
            "updates), or 'auto'. Half or more malicious clients cannot be told from "
            "the honest."
        )


class InvalidArgumentError(VirtualConsistencyError, ValueError):
    """An argument of the constructor is outside what is allowed."""

    def __init__(self, name: str, given: object, allowed: str) -> None:
        self.name = name
        self.given = given
        super().__init__(f"{name}={quoted(given)} is not possible: give {allowed}.")


class PositionalArgumentError(VirtualConsistencyError, TypeError):
    """An argument besides the strategy was given without its name."""

    def __init__(self, num_unnamed: int) -> None:
        self.num_unnamed = num_unnamed
        super().__init__(
            f"{num_unnamed} arguments besides the strategy have no name. Name them: "
            "VirtualConsistencyStrategy(strategy, model=..., input_shape=...)."
        )


class UnknownScoringError(InvalidArgumentError):
    """``scoring`` names no scoring and is no scoring itself."""

    def __init__(self, scoring: object, known: Iterable[str]) -> None:
        names = ", ".join(repr(name) for name in known)
        super().__init__(
            "scoring",
            scoring,
            f"one of {names}, or an object with `name` (a string), `features` and "
            "`scores`",
        )


class NumMaliciousNeededError(VirtualConsistencyError, ValueError):
    """The scoring has no threshold, so ``num_malicious`` must be given as a number."""

    def __init__(self, scoring: str) -> None:
        self.scoring = scoring
        super().__init__(
            f"scoring={quoted(scoring)} needs num_malicious: it has no threshold, so "
            "'auto' cannot tell whom to drop. Give an int >= 0 (clients per round) or "
            "a float in [0, 0.5) (fraction of the admitted updates), or take a scoring "
            "with a threshold, such as scoring='hardened'."
        )


class ScoringError(VirtualConsistencyError, RuntimeError):
    """A scoring fails for the global model too, so no client is to blame."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        super().__init__(
            f"scoring {quoted(name)} failed for all updates of a round, and fails for "
            f"the global model: {type(error).__name__}, see above. No client is to "
            "blame. Mend its `features`, or the model if that raised it."
        )


class DeviceUnavailableError(VirtualConsistencyError, ValueError):
    """The device asked for is not on this machine, or PyTorch does not see it."""

    def __init__(self, device: object, available: Iterable[str]) -> None:
        self.device = device
        self.available = tuple(available)
        super().__init__(
            f"device={device!r} is not available here; available: "
            f"{', '.join(self.available)}. Give one of these, or 'auto'."
        )


class HeadNotFoundError(VirtualConsistencyError, ValueError):
    """The final classification layer is not where the features end."""

    def __init__(self, head: str | None, problem: str, layers: Collection[str]) -> None:
        self.head = head
        self.layers = tuple(layers)
        last = ", ".join(self.layers[-MAX_LAYERS:]) or "none"
        super().__init__(
            f"head={head!r}: {problem}. Give `head` the name of the model's final "
            f"classification layer; its last layers are: {last}."
        )


class InputShapeError(VirtualConsistencyError, ValueError):
    """The model refuses the virtual samples, such as those of the given input shape."""

    def __init__(
        self, input_shape: tuple[int, ...] | None, problem: str, hint: str = ""
    ) -> None:
        self.input_shape, self.problem = input_shape, problem
        if input_shape is None:
            super().__init__(
                f"the model refuses its virtual samples: {problem}. A tuple is given "
                "as model(*x), a dict as model(**x): let `virtual_samples` return what "
                "the model takes."
            )
            return
        super().__init__(
            f"the model refuses inputs of input_shape={input_shape}: {problem}. {hint}"
            "Give the shape of one input without the batch axis, and `virtual_samples` "
            "if the model does not take real numbers (token ids, for example), or "
            "takes more than one tensor: let them return a tuple, for model(*x), or a "
            "dict, for model(**x). If it takes one batch size only, give that as "
            "`num_virtual_samples`."
        )


class ArraysMismatchError(VirtualConsistencyError, ValueError):
    """The arrays that the server sends out do not fit the model."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the global arrays do not fit `model`: {problem}. Send the model's "
            "state_dict or any part of it, by name or as a list in its order, and give "
            "VirtualConsistencyStrategy the same architecture."
        )


class SetupError(VirtualConsistencyError, RuntimeError):
    """Most clients answer with the same fault, so that no client is to blame."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        super().__init__(
            f"most clients answer with the same fault, so no client is to blame: "
            f"{fault}. Let clients send the arrays that they were sent, under the same "
            "names (of a wrapped model, the state_dict of the model inside), with the "
            "number of examples that they trained on."
        )


class RoundOrderError(VirtualConsistencyError, RuntimeError):
    """A round's answers came before the round was configured."""

    def __init__(self) -> None:
        super().__init__(
            "updates can only be judged against the model they started from: call "
            "configure_train (or configure_fit) before aggregating a round."
        )


class SecondRunError(VirtualConsistencyError, RuntimeError):
    """A strategy object was started while a run of it goes on."""

    def __init__(self) -> None:
        super().__init__(
            "this strategy object has a run that goes on, in another thread perhaps, "
            "and what it knows of clients is of one run at a time: make an object for "
            "each run, or start again when the first has ended."
        )


class SecureAggregationError(VirtualConsistencyError, RuntimeError):
    """Secure aggregation hides the single updates, so none can be judged."""

    def __init__(self) -> None:
        super().__init__(
            "all clients of this round share one parameters object, as secure "
            "aggregation (SecAgg+) does: single updates are hidden, so poisoned ones "
            "cannot be found. Drop secure aggregation, or set num_malicious=0 to go on "
            "without protection."
        )


class AuditLogError(VirtualConsistencyError, OSError):
    """The audit log cannot be written."""

    def __init__(self, path: object, problem: object) -> None:
        self.path = path
        super().__init__(
            f"audit_log={str(path)!r} cannot be written: {problem}. Give a path in an "
            "existing folder that this process may write to."
        )


class StateError(VirtualConsistencyError, ValueError):
    """A saved state cannot be used: it is damaged, or none of this package's."""

    def __init__(self, path: object, problem: object) -> None:
        self.path = path
        super().__init__(
            f"state_path={str(path)!r} cannot be used: {problem}. Restore the file "
            "from a backup, or move it away to start without bans."
        )


class MissingExtraError(VirtualConsistencyError, ImportError):
    """A part of this package needs a library that is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f'{part} needs more than is installed: pip install "flwr-vdcs[{extra}]".'
        )


class ExecutorError(VirtualConsistencyError, RuntimeError):
    """An executor could not compute the evidence of a round's clients."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)
