"""A round from updates to decisions, without Flower."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from time import perf_counter
from uuid import uuid4

import torch
from torch import nn

from flwr_vdcs._arguments import (
    checked_count,
    checked_head,
    checked_inputs,
    checked_model,
    checked_quorum,
    checked_seed,
)
from flwr_vdcs._version import __version__
from flwr_vdcs.admission import (
    Admission,
    Candidate,
    EncodedArrays,
    GlobalState,
    State,
    Update,
    admit,
    admit_claims,
    admitted,
    global_states_from,
    leave_out_untrained,
)
from flwr_vdcs.decision import (
    AUTO,
    MIN_UPDATES,
    NumMalicious,
    Selection,
    check_num_malicious,
    clip,
    clip_arrays,
    is_protecting,
    select,
)
from flwr_vdcs.errors import (
    NumMaliciousNeededError,
    SetupError,
    VirtualConsistencyError,
    listed,
)
from flwr_vdcs.executors import Executor, resolve_executor
from flwr_vdcs.history import History, Reputation
from flwr_vdcs.probe import (
    RoundContext,
    Samples,
    VirtualSamples,
    cautions,
    draw_samples,
    probe_for,
    refusal,
    resolve_device,
    round_seed,
    unwrapped,
)
from flwr_vdcs.report import (
    OUT_OF_MEMORY,
    Decision,
    RoundReport,
    Run,
    Verdict,
    below_quorum,
)
from flwr_vdcs.scoring import (
    Scored,
    Scoring,
    is_out_of_memory,
    resolve_scoring,
    score,
)

NO_MEMORY = (
    "There is no memory for the virtual samples of a round: every round would be "
    "skipped. Lower `num_virtual_samples`, or choose another `device`."
)

NOT_JUDGED = "not judged: {}"

NOBODYS_FAULT = "Most clients answer with the same fault, so no client is to blame: %s"

FEW = (
    "Of fewer than three updates none can be told from the others: they are aggregated "
    "as they are. Sample more clients."
)

PART_TRAVELS = (
    "%d of the model's %d arrays travel: %s. The others keep the values that they have "
    "in `model`."
)


@dataclass(frozen=True)
class RoundStart:
    """What the clients of a round were sent, and which of them are not asked.

    Attributes
    ----------
    common
        The global state that most of them were sent.
    own
        By client id that of the others.
    banned, absent
        By client id why a client is not asked: for what it sent, or for its errors.
    num_asked
        How many clients are.
    notices
        What whoever runs the server should know, once.
    """

    common: GlobalState
    own: Mapping[str, GlobalState] = field(default_factory=dict)
    banned: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    num_asked: int = 0
    notices: tuple[str, ...] = ()

    @property
    def left_out(self) -> set[str]:
        """The ids of the clients that are not asked."""
        return {*self.banned, *self.absent}


@dataclass(frozen=True)
class Examination:
    """What came of a round.

    Attributes
    ----------
    report : RoundReport
        The decisions, one for each update, in their order.
    head : str
        Name of the layer whose input are the features.
    num_features : int
        How many features a virtual sample has.
    candidates : list
        The updates with all that was found about them.
    problem : Exception or None
        Why nothing could be scored; None if it could.
    notices : tuple of str
        What whoever runs the server should know, once.
    """

    report: RoundReport
    head: str
    num_features: int
    candidates: Sequence[Candidate] = field(repr=False)
    problem: Exception | None = None
    notices: tuple[str, ...] = ()

    @property
    def kept(self) -> dict[str, State]:
        """The updates that go on, clipped where they were too long, by client id."""
        return {
            each.update.client_id: each.state
            for each in self.candidates
            if each.verdict == "kept"
        }


class Examiner:
    """Examine the updates of each round against the model that they started from.

    It holds what is the same in every round. What outlives a round is the `History`.

    Attributes
    ----------
    cautions : list of str
        What to know of the memory that a round takes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_malicious: NumMalicious = AUTO,
        num_virtual_samples: int = 100,
        virtual_samples: VirtualSamples | None = None,
        head: str | Sequence[str] | None = None,
        scoring: str | Scoring = "hardened",
        device: str | torch.device = "auto",
        seed: int | None = None,
        quorum: float | None = None,
        executor: Executor | str | None = None,
    ) -> None:
        self.input_shape, self._virtual_samples = checked_inputs(
            input_shape, virtual_samples
        )
        self._model = unwrapped(checked_model(model))
        self.num_malicious = check_num_malicious(num_malicious)
        self.num_virtual_samples = checked_count(num_virtual_samples)
        self.scoring = resolve_scoring(scoring)
        self.device = resolve_device(device)
        self.seed = checked_seed(seed)
        self.quorum = checked_quorum(quorum)
        self.executor = resolve_executor(executor)
        if self.num_malicious == AUTO and self.scoring.threshold is None:
            raise NumMaliciousNeededError(self.scoring.name)
        self._has_admitted = False
        self.probe = probe_for(
            self._model,
            partial(self._draw, 0),
            self.num_virtual_samples,
            checked_head(head),
            self.device,
        )
        self.cautions = self._rehearsed()

    @property
    def is_protecting(self) -> bool:
        """Whether updates may be dropped; a dry run only quarantines."""
        return is_protecting(self.num_malicious)

    def start(
        self,
        given: EncodedArrays,
        sent: Mapping[str, EncodedArrays],
        history: History,
    ) -> RoundStart:
        """Begin a round: note what clients are sent, and let the momentum follow it.

        To be called once a round. Arrays are viewed, not copied.

        Parameters
        ----------
        given
            The global arrays as the strategy was given them, in case it sends nothing.
        sent
            What it sends, by client id.
        history
            What is known of the model and of the clients.

        Raises
        ------
        ArraysMismatchError
            If the arrays are not those of the model.
        """
        sent_out = sent or {"": given}
        common, own = global_states_from(list(sent_out.values()), self._model)
        others = zip(sent_out, own, strict=True)
        banned = history.ledger.banned(sent)
        absent = history.absent(sent.keys() - banned.keys())
        start = RoundStart(
            common,
            {client: state for client, state in others if state is not common},
            banned,
            absent,
            len(sent) - len(banned) - len(absent),
            _of_partial_exchange(common, self._model),
        )
        if self.scoring.needs_momentum:
            names = self.probe.parameter_names
            parameters = {n: t for n, t in common.state.items() if n in names}
            history.momentum.follow(parameters)
        return start

    def examine(
        self,
        server_round: int,
        start: RoundStart,
        updates: Iterable[Update],
        history: History,
        failed: Collection[str] = (),
    ) -> Examination:
        """Decide which of a round's updates go on, and let the history know.

        Parameters
        ----------
        server_round, start, updates, history
            The round, what its clients were sent, what they answered, and what is
            known of them.
        failed
            Ids of clients that answered with an error.

        Raises
        ------
        SetupError
            If most clients' replies have the same fault before any was ever admitted,
            and updates may be dropped.
        """
        began = perf_counter()
        candidates = [
            Candidate(update, start.own.get(update.client_id, start.common))
            for update in updates
        ]
        admission = self._admit(server_round, candidates, history)
        context = self._context(server_round, start, history)
        scored = self._score(admitted(candidates), context, history)
        selection = select(
            candidates,
            self.num_malicious,
            self.scoring.threshold,
            num_banned=len(start.banned),
            obstacle=self._obstacle(scored, len(candidates), start.num_asked),
        )
        if not selection.skipped:
            self._remember(candidates, history)
            self._clip(admitted(candidates))
        decisions = (
            *map(_decision, candidates),
            *_withheld("banned", start.banned),
            *_withheld("idle", start.absent),
        )
        report = RoundReport(
            server_round=server_round,
            decisions=decisions,
            num_malicious=selection.num_malicious,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=context.seed,
            seconds=perf_counter() - began,
            skipped=selection.skipped,
            sensitivity=scored.sensitivity,
            bans=history.ledger.note(
                decisions,
                self.scoring.ban_threshold,
                of_score=self.scoring.evidence,
                excused=_excused(decisions, admission.fault, selection),
            ),
            scores_alike=selection.scores_alike,
            note=scored.note,
        )
        answered = {each.update.client_id for each in candidates}
        history.availability.note(failed, answered, history.ledger.num_rounds)
        head, width = self.probe.head, self.probe.num_features
        notices = (*start.notices, *admission.notices)
        if scored.notice:
            notices = (*notices, scored.notice)
        if self.is_protecting and 0 < report.num_kept < MIN_UPDATES:
            notices = (*notices, FEW)
        return Examination(report, head, width, candidates, scored.problem, notices)

    def examine_claims(
        self, server_round: int, updates: Iterable[Update]
    ) -> RoundReport:
        """Decide which answers to an evaluation the wrapped strategy gets."""
        began = perf_counter()
        candidates = [Candidate(update, GlobalState()) for update in updates]
        admit_claims(candidates)
        return RoundReport(
            server_round=server_round,
            decisions=tuple(map(_decision, candidates)),
            num_malicious=0,
            scoring=self.scoring.name,
            device=str(self.device),
            seed=None,
            seconds=perf_counter() - began,
            phase="evaluate",
        )

    def _admit(
        self, server_round: int, candidates: Sequence[Candidate], history: History
    ) -> Admission:
        """Read the updates, and refuse what is malformed or a replay."""
        admission = admit(candidates)
        if admission.fault:
            self._excuse(candidates, admission.fault)
            notice = NOBODYS_FAULT % admission.fault
            admission = replace(admission, notices=(*admission.notices, notice))
        if self.is_protecting:
            leave_out_untrained(admitted(candidates))
            names = self.probe.parameter_names
            history.replays.quarantine(server_round, admitted(candidates), names)
        self._has_admitted = self._has_admitted or bool(admitted(candidates))
        return admission

    def _excuse(self, candidates: Sequence[Candidate], fault: str) -> None:
        """Blame nobody for a fault of the set-up.

        Before any update was ever admitted it ends the run, so that it is mended. A dry
        run goes on with the others, or if there are none, with all as they came.
        """
        if self.is_protecting:
            if not self._has_admitted:
                raise SetupError(fault)
        elif not admitted(candidates):
            for candidate in candidates:
                if candidate.reason == fault:
                    candidate.verdict, candidate.is_judged = "kept", False
                    candidate.reason = NOT_JUDGED.format(fault)

    def _obstacle(self, scored: Scored, num_answers: int, num_asked: int) -> str:
        """Say why the round is skipped whatever was sent; nothing if it is not."""
        if scored.problem is not None and self.is_protecting:
            return OUT_OF_MEMORY
        if num_answers < self.quorum * num_asked:
            return below_quorum(num_answers, num_asked, self.quorum)
        return ""

    def _context(
        self, server_round: int, start: RoundStart, history: History
    ) -> RoundContext:
        """Draw the virtual samples, now that all updates are in."""
        seed = round_seed(self.seed, history.ledger.rounds_before + server_round)
        samples = self._draw(seed, self.num_virtual_samples)
        return RoundContext(
            self.probe,
            self.probe.prepared(samples),
            seed,
            start.common.state,
            history.momentum.state,
            server_round,
        )

    def _clip(self, candidates: Sequence[Candidate]) -> None:
        """Clip what is too long, unless in a dry run, if the scoring says how long."""
        if not self.is_protecting:
            return
        clip_arrays(candidates)
        if self.scoring.max_update is not None:
            clip(candidates, self.probe.parameter_names, self.scoring.max_update)

    def _rehearsed(self) -> list[str]:
        """Run once as in a round, and say what it takes if that is much.

        Want of memory is no error, as rounds are skipped then.
        """
        samples = self._draw(0, self.num_virtual_samples)
        try:
            self.probe.rehearse(samples)
        except VirtualConsistencyError:
            raise
        except Exception as error:  # whatever the user's model raises
            if not is_out_of_memory(error):
                raise refusal(samples, error) from error
            return [NO_MEMORY]
        return [*cautions(self.probe.layout, samples, self.device)]

    def _draw(self, seed: int, num_samples: int) -> Samples:
        return draw_samples(self._virtual_samples, seed, num_samples, self.input_shape)

    def _score(
        self, candidates: Sequence[Candidate], context: RoundContext, history: History
    ) -> Scored:
        """Score the admitted updates; what a dry run cannot score ends no run."""
        if self.scoring.remembered:
            for each in candidates:
                each.past = history.track_records.of(each.update.client_id)
        try:
            return score(candidates, context, self.scoring, self.executor)
        except Exception as error:
            if self.is_protecting:
                raise
            return Scored(problem=error)

    @staticmethod
    def _remember(candidates: Sequence[Candidate], history: History) -> None:
        """Note what the scoring is to know in the clients' next rounds."""
        for each in candidates:
            if each.remembered:
                history.track_records.note(each.update.client_id, each.remembered)


def run_of(examiner: Examiner, reputation: Reputation | None) -> Run:
    """Name a run, and say what decides in it."""
    return Run(
        id=uuid4().hex,
        num_malicious=examiner.num_malicious,
        threshold=examiner.scoring.threshold,
        ban_threshold=examiner.scoring.ban_threshold,
        num_virtual_samples=examiner.num_virtual_samples,
        reputation=repr(reputation) if reputation else "",
        versions={
            "flwr-vdcs": __version__,
            "flwr": version("flwr"),
            "torch": torch.__version__,
        },
    )


def examine_round(
    model: nn.Module,
    global_state: State,
    updates: Mapping[str, State] | Sequence[State],
    *,
    input_shape: tuple[int, ...] | None = None,
    num_malicious: NumMalicious = AUTO,
    num_virtual_samples: int = 100,
    virtual_samples: VirtualSamples | None = None,
    head: str | Sequence[str] | None = None,
    scoring: str | Scoring = "hardened",
    device: str | torch.device = "auto",
    seed: int | None = None,
    num_examples: Mapping[str, float] | None = None,
    server_round: int | None = None,
    history: History | None = None,
    executor: Executor | str | None = None,
) -> Examination:
    """Decide on the updates of one round as the strategy would, without Flower.

    Parameters
    ----------
    model : torch.nn.Module
        Gives architecture and key names. It is neither changed nor trained.
    global_state : dict of str to Tensor
        What the clients were sent: the model's ``state_dict`` or any part of it. The
        rest keeps the values that it has in ``model``.
    updates : dict of str to dict, or list of dict
        What each client answered, by client id, with the keys of ``global_state``; in a
        list the ids are ``"0"``, ``"1"`` and so on.
    input_shape, num_malicious, num_virtual_samples, virtual_samples, head, scoring,
    device, seed
        As for `VirtualConsistencyStrategy`.
    num_examples : dict of str to float, optional
        The weights that clients claim, by client id.
    server_round : int, optional
        The number of the round, from 1; the next one of the history if not given.
    history : History, optional
        What is known from earlier rounds. It is brought up to date; without one this is
        the first round. Updates of clients that it has banned are not looked at.
    executor : Executor or str, optional
        As for `VirtualConsistencyStrategy`.

    Returns
    -------
    Examination
        The report, and the updates that are kept.

    Raises
    ------
    ArraysMismatchError
        If ``global_state`` is not the model's.
    VirtualConsistencyError
        If another argument is not possible, as for `VirtualConsistencyStrategy`.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    >>> start = net.state_dict()
    >>> updates = [{n: t + 0.1 for n, t in start.items()} for _ in range(4)]
    >>> updates.append({n: t - 10 for n, t in start.items()})
    >>> found = examine_round(net, start, updates, input_shape=(4,), seed=0)
    >>> [decision.verdict for decision in found.report.decisions]
    ['kept', 'kept', 'kept', 'kept', 'dropped']
    """
    examiner = Examiner(
        model,
        input_shape=input_shape,
        num_malicious=num_malicious,
        num_virtual_samples=num_virtual_samples,
        virtual_samples=virtual_samples,
        head=head,
        scoring=scoring,
        device=device,
        seed=seed,
        executor=executor,
    )
    history = History() if history is None else history
    given = {name: tensor.detach().clone() for name, tensor in global_state.items()}
    named = updates if isinstance(updates, Mapping) else _numbered(updates)
    weights = num_examples or {}
    start = examiner.start(given, dict.fromkeys(named, given), history)
    sent = [
        Update(client_id, dict(state), weights.get(client_id))
        for client_id, state in named.items()
        if client_id not in start.banned
    ]
    if server_round is None:
        server_round = history.ledger.num_rounds - history.ledger.rounds_before + 1
    return examiner.examine(server_round, start, sent, history)


def _numbered(updates: Sequence[State]) -> dict[str, State]:
    return {str(place): state for place, state in enumerate(updates)}


def _of_partial_exchange(common: GlobalState, model: nn.Module) -> tuple[str, ...]:
    """Say if not all of the model travels."""
    own = model.state_dict()
    if len(common.names) == len(own):
        return ()
    return (PART_TRAVELS % (len(common.names), len(own), listed(common.names)),)


def _excused(
    decisions: Sequence[Decision], fault: str, selection: Selection
) -> set[str]:
    """Name the clients of whom the round tells nothing.

    Those are who had nothing to train on; who has the fault that most have; and in a
    skipped round all but the quarantined, as a quarantine needs no comparison.
    """
    return {
        each.client_id
        for each in decisions
        if each.verdict == "idle"
        or (fault and each.reason == fault)
        or (selection.skipped and each.verdict != "quarantined")
    }


def _decision(candidate: Candidate) -> Decision:
    return Decision(
        candidate.update.client_id,
        candidate.verdict,
        candidate.score,
        candidate.reason,
    )


def _withheld(verdict: Verdict, reasons: Mapping[str, str]) -> Iterable[Decision]:
    """Report clients that were not asked."""
    for client_id, reason in reasons.items():
        yield Decision(client_id, verdict, None, reason)
