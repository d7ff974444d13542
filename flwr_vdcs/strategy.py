"""The plugin: one line around any Flower strategy."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from flwr_vdcs._arguments import (
    check_paths,
    checked_flag,
    checked_key,
    checked_listeners,
    checked_reputation,
)
from flwr_vdcs.decision import NumMalicious
from flwr_vdcs.errors import (
    InvalidArgumentError,
    PositionalArgumentError,
    StateError,
)
from flwr_vdcs.executors import Executor
from flwr_vdcs.flower import (
    AnyStrategy,
    Forwarding,
    MetricKeys,
    StandIns,
    adapter_for,
    caution,
)
from flwr_vdcs.history import History, Reputation
from flwr_vdcs.probe import VirtualSamples
from flwr_vdcs.records import Journal, Listener, StateFile, logger
from flwr_vdcs.report import RoundReport
from flwr_vdcs.round import Examiner, RoundStart, run_of
from flwr_vdcs.scoring import Scoring

BANS_BY_RANK = (
    "Bans follow the scores, and scoring %r has no threshold: an honest client that is "
    "dropped again and again, as its data are unlike the others', is banned too. "
    'scoring="hardened" counts only drops far below its threshold.'
)


HEAD_FOUND = "Virtual consistency: the features are what the layer %r is given"


def _without_self(method: Callable[..., Any]) -> inspect.Signature:
    """Show users and editors the constructor's arguments rather than ``__new__``'s."""
    signature = inspect.signature(method)
    _self, *parameters = signature.parameters.values()
    return signature.replace(parameters=parameters)


class VirtualConsistencyStrategy(Forwarding):
    """Let a strategy aggregate only those updates that are consistent with the others.

    Every round the server scores how consistent each client's update is with the
    others', and drops those that are shown to do harm. Replies that cannot be
    aggregated at all are quarantined. The wrapped strategy sees the rest and goes on
    unchanged. Nobody has to say how many clients are malicious.

    With ``scoring="paper"`` the score is the published one: virtual samples are fed
    through the model with each client's update, and the ``num_malicious`` least
    consistent features are dropped (Lee, Gong and Kang, "Embedding Byzantine Fault
    Tolerance into Federated Learning via Virtual Data-Driven Consistency Scoring
    Plugin").

    The object is a strategy of the API that the wrapped one belongs to. Attributes that
    are not the plugin's own are read from the wrapped strategy and written to it. If
    that has a ``start`` of its own, this is what runs, with the checks in it.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy or flwr.server.strategy.Strategy
        The strategy to protect; also one that wraps others.
    model : torch.nn.Module
        Gives architecture and key names. It is neither changed nor trained.
    input_shape : tuple of int, optional
        Shape of one input, without the batch axis. Needed unless ``virtual_samples`` is
        given.
    num_malicious : int, float or "auto", default "auto"
        M, how many updates to drop each round. ``"auto"`` drops those whose score is
        below the scoring's threshold, and less than half of them. It needs a scoring
        that has one, as ``"hardened"`` has; with ``"paper"`` give a number. An int >= 0
        is a count, a float in [0, 0.5) a fraction of the admitted updates, rounded
        down. With 0 the clients are scored and reported, and none is dropped; nor is
        one, with any number, where all scores are the same.
    num_virtual_samples : int, default 100
        N, how many virtual samples to draw each round.
    virtual_samples : callable, optional
        ``(generator, N) -> samples``, instead of standard normal ones: token ids, for
        example. Samples are a tensor, for ``model(x)``, a tuple, for ``model(*x)``, or
        a dict, for ``model(**x)``. If ``input_shape`` is given, a tensor must have the
        shape ``(N, *input_shape)``.
    head : str or sequence of str, optional
        Name of the final classification layer, or of several; their input are the
        features. Found by running the model if not given.
    scoring : str or Scoring, default "hardened"
        ``"hardened"`` looks at all parameters and over the rounds, and clips what is
        kept. ``"paper"`` is the published score. Or an object of your own.
    equal_weights : bool, default False
        Whether all kept clients weigh the same, whatever they claim (Eq. 20).
    report_only : bool, default False
        Whether to decide and report everything and change nothing: the wrapped strategy
        gets every reply as it came, malformed or not, all clients are asked, and what
        goes wrong in judging is a warning. With ``num_malicious=0`` alone nobody is
        dropped, but malformed replies are quarantined.
    executor : Executor or str, optional
        Where the clients' evidence is computed: in this process if not given, with
        ``"ray"`` or a `RayExecutor` on Ray, or by an object of your own with the method
        of an `Executor`. If it fails, this process does it, and a warning is logged.
    arrays_key : str, optional
        Name of the record to judge, where replies have several with arrays. Without it
        this is the one under whose name the model was sent out, else the one with the
        model's keys. Message API only.
    weight_key, loss_key : str, optional
        The metrics by which the wrapped strategy weighs clients, where it has no
        ``weighted_by_key`` or ``train_loss_key`` that says so. Message API only.
    device : str or torch.device, default "auto"
        Where the features are computed; ``"auto"`` takes Gaudi, CUDA or an Intel GPU
        where there is one, else the CPU.
    seed : int, optional
        Makes the virtual samples reproducible. Without one they come from a fresh
        secret seed each round, noted in the report.
    quorum : float, optional
        The share of the clients asked that must answer, in (0, 1]. If fewer do, the
        round is skipped and the model kept. Without it any number will do that the
        wrapped strategy takes.
    audit_log : path, optional
        A JSON Lines file that gets one line a round, at once.
    reputation : Reputation, optional
        Bans clients that are refused again and again: they are asked neither to train
        nor to evaluate until their parole is over. Who answers with errors again and
        again is not asked for some rounds, without blame. Without it all are asked.
    state_path : path, optional
        A file that keeps bans, evidence and track records over restarts. It is read at
        construction if it exists, and replaced in one step after each round, when the
        wrapped strategy has aggregated.
    save_arrays : bool, default True
        Whether the state has a second file beside the first, with the momentum of the
        global model and what each client sent last. With a scoring that needs the
        momentum it is about twice as large as the model. Without it these are forgotten
        at a restart.
    on_round : callable, or a sequence of them, optional
        Called with each `RoundReport` that the audit log would get, before the wrapped
        strategy aggregates the round. If it raises, a warning is logged.

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
    NumMaliciousNeededError
        If the scoring has no threshold, as the published score has none, and
        ``num_malicious`` is not given as a number.
    MissingExtraError
        If ``executor="ray"``, and Ray is not installed.
    InvalidArgumentError, NumMaliciousError, DeviceUnavailableError, AuditLogError
        If another argument is not possible here.
    PositionalArgumentError
        If an argument besides ``strategy`` has no name.
    StateError
        If the file at ``state_path`` is damaged, or something else.

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedAvg
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Linear(32, 10))
    >>> strategy = VirtualConsistencyStrategy(
    ...     FedAvg(), model=net, input_shape=(1, 28, 28)
    ... )
    >>> isinstance(strategy, VirtualConsistencyStrategy)
    True
    """

    strategy: Any

    def __new__(cls, strategy: AnyStrategy, *unnamed: Any, **_: Any) -> Self:
        """Add the adapter for the API that the wrapped strategy belongs to."""
        if unnamed:
            raise PositionalArgumentError(len(unnamed))
        adapted: type[Self] = _with(cls, adapter_for(strategy))
        return super().__new__(adapted)

    def __init__(
        self,
        strategy: AnyStrategy,
        *,
        model: nn.Module,
        input_shape: tuple[int, ...] | None = None,
        num_malicious: NumMalicious = "auto",
        num_virtual_samples: int = 100,
        virtual_samples: VirtualSamples | None = None,
        head: str | Sequence[str] | None = None,
        scoring: str | Scoring = "hardened",
        equal_weights: bool = False,
        report_only: bool = False,
        executor: Executor | str | None = None,
        arrays_key: str | None = None,
        weight_key: str | None = None,
        loss_key: str | None = None,
        device: str | torch.device = "auto",
        seed: int | None = None,
        quorum: float | None = None,
        audit_log: str | os.PathLike[str] | None = None,
        reputation: Reputation | None = None,
        state_path: str | os.PathLike[str] | None = None,
        save_arrays: bool = True,
        on_round: Listener | Sequence[Listener] | None = None,
    ) -> None:
        check_paths(audit_log, state_path)
        self.strategy = strategy
        self._examiner = Examiner(
            model,
            input_shape=input_shape,
            num_malicious=num_malicious,
            num_virtual_samples=num_virtual_samples,
            virtual_samples=virtual_samples,
            head=head,
            scoring=scoring,
            device=device,
            seed=seed,
            quorum=quorum,
            executor=executor,
        )
        self._start: RoundStart | None = None
        reputation = checked_reputation(reputation)
        self._run = run_of(self._examiner, reputation)
        self._history = History(reputation)
        self._equal_weights = checked_flag("equal_weights", equal_weights)
        self._report_only = checked_flag("report_only", report_only)
        self._arrays_key = checked_key("arrays_key", arrays_key)
        self._given_keys = MetricKeys(
            checked_key("weight_key", weight_key), checked_key("loss_key", loss_key)
        )
        self._stand_ins = StandIns()
        self._save_arrays = checked_flag("save_arrays", save_arrays)
        self._state_file = None if state_path is None else StateFile(state_path)
        self._resume()
        listeners = checked_listeners(on_round)
        self._journal = Journal(
            audit_log,
            listeners,
            self._examiner.num_malicious,
            needs_sensitivity=self._examiner.scoring.needs_sensitivity,
        )
        changes = self._examiner.is_protecting and not self._report_only
        if changes and (warning := caution(strategy)):
            logger.warning(warning)
        for warning in self._examiner.cautions:
            logger.warning(warning)
        if head is None:
            logger.info(HEAD_FOUND, self._examiner.probe.head)
        if reputation and self._examiner.scoring.ban_threshold is None:
            logger.warning(BANS_BY_RANK, self._examiner.scoring.name)
        self._is_constructed = True

    __signature__ = _without_self(__init__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies be made, though the class is put together at construction."""
        kind = type(self)
        declared = vars(kind).get("_declared", kind)
        return _empty, (declared, adapter_for(self.strategy)), vars(self)

    @property
    def reports(self) -> list[RoundReport]:
        """What each training round decided, oldest first."""
        return self._journal.reports

    @property
    def evaluation_reports(self) -> list[RoundReport]:
        """The evaluation rounds in which a reply was quarantined, oldest first."""
        return self._journal.evaluation_reports

    def state_dict(self, *, arrays: bool = True) -> dict[str, Any]:
        """Give what outlives a round: evidence, bans, track records, momentum, replays.

        Neither the model nor the wrapped strategy's own state is part of it.

        Parameters
        ----------
        arrays : bool, default True
            Whether to give what grows with the model: the momentum, and what each
            client sent last. Without it the state is plain values only, as JSON has.

        Returns
        -------
        dict
            Plain values, and under ``"arrays"`` tensors by name.
        """
        with self._history.turn:
            return self._history.state_dict(arrays=arrays)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises
        ------
        InvalidArgumentError
            If it is something else; then nothing is changed.
        """
        with self._history.turn:
            self._history.load_state_dict(state)

    def pardon(self, client_id: str) -> None:
        """Forget all that is held against a client, and its ban if it is banned.

        What it sent last is not forgotten: a replay of that is refused all the same.
        Ids are those of reports, which are Flower's; a warning tells where nothing is
        known of one. It may be called from another thread while a run goes on.
        """
        if not self._history.pardon(client_id):
            logger.warning("Nothing is held against a client with the id %r", client_id)
        self._save()

    def summary(self) -> None:
        """Log the settings in Flower's tree, then the wrapped strategy's."""
        examiner, log = self._examiner, self._journal.audit_log
        probe, reputation = examiner.probe, self._history.ledger.reputation
        state = self._state_file
        for line in (
            "├──> Virtual consistency:",
            f"│\t├── Scoring: {examiner.scoring.name}",
            f"│\t├── Malicious clients to drop: {examiner.num_malicious}",
            f"│\t├── Virtual samples: {examiner.num_virtual_samples}",
            f"│\t├── Input shape: {examiner.input_shape}",
            f"│\t├── Head: {probe.head!r} ({probe.num_features} features)",
            f"│\t├── Device: {examiner.device}",
            f"│\t├── Equal weights: {self._equal_weights}",
            f"│\t├── Report only: {self._report_only}",
            f"│\t├── Quorum: {examiner.quorum or '(none)'}",
            f"│\t├── Reputation: {reputation or '(none)'}",
            f"│\t├── State: {state.path if state else '(none)'}",
            f"│\t└── Audit log: {log.path if log else '(none)'}",
        ):
            logger.info("\t%s", line)
        if hasattr(self.strategy, "summary"):
            with self._stand_ins.off():
                self.strategy.summary()

    def _resume(self) -> None:
        """Go on from the saved state, if there is one."""
        if self._state_file is None:
            return
        state = self._state_file.read()
        if state is None:
            logger.info("No state at %s yet: nobody is banned", self._state_file.path)
            return
        try:
            self.load_state_dict(state)
        except InvalidArgumentError as error:
            problem = f"it holds no state of a server ({error.__cause__!r})"
            raise StateError(self._state_file.path, problem) from error
        rounds = self._history.ledger.num_rounds
        logger.info("Going on after %d rounds with %s", rounds, self._state_file.path)

    def _save(self) -> None:
        """Write the state: after each round, and after a pardon."""
        if self._state_file is None:
            return
        try:
            with self._history.turn:
                self._state_file.write(self.state_dict(arrays=self._save_arrays))
        except OSError as error:
            logger.warning("%s is out of date: %s", self._state_file.path, error)

    def __repr__(self) -> str:
        """Name the wrapped strategy."""
        return f"VirtualConsistencyStrategy({self.strategy!r})"


def _with(cls: type, adapter: type) -> Any:
    """Make the class a strategy of the adapter's API, unless it is one already."""
    if issubclass(cls, adapter):
        return cls
    own = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_declared": cls}
    return type(cls.__name__, (cls, adapter), own)


def _empty(cls: type, adapter: type) -> Any:
    """Make an object whose attributes are still to come."""
    return object.__new__(_with(cls, adapter))
