"""Lines to a board: what became of each client in the last rounds."""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from flwr_vdcs.cli.reading.line import REFUSED, Line
from flwr_vdcs.cli.reading.rounds import LoggedRound, Numbering
from flwr_vdcs.report import Decision

MAX_CLIENTS = 1_000
"""So many are remembered, those that were seen last."""

MARKS = {"kept": ".", "idle": "i", "dropped": "D", "quarantined": "Q", "banned": "B"}
ABSENT = " "


@dataclass
class Seen:
    """What is remembered of a client.

    Attributes
    ----------
    name : str
        What Flower called it last.
    marks : deque of tuple
        Number and letter of each of the last rounds that it was in.
    counts : Counter
        How often it had each verdict, since it was first seen.
    scores : deque of float
        The last two.
    refusal : str
        When and why it was refused last; empty if never.
    """

    marks: deque[tuple[int, str]]
    name: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=2))
    refusal: str = ""

    @property
    def trend(self) -> int:
        """Whether the last score is higher (1) or lower (-1) than the one before."""
        if not self.scores:
            return 0
        before, last = self.scores[0], self.scores[-1]
        return (last > before) - (last < before)


class Board:
    """Sum up a log, line by line, in bounded memory.

    Parameters
    ----------
    num_rounds
        How many rounds are remembered.

    Attributes
    ----------
    rounds : deque of LoggedRound
        The last training rounds.
    clients : OrderedDict of str to Seen
        By client id, those seen last at the end.
    num_rounds, num_skipped, num_lost, num_unreadable, num_evaluations : int
        How many training rounds there were, how many of them were skipped or came to
        nothing afterwards, how many lines could not be read, and in how many
        evaluations answers were refused.
    """

    def __init__(self, num_rounds: int) -> None:
        self.rounds: deque[LoggedRound] = deque(maxlen=num_rounds)
        self.clients: OrderedDict[str, Seen] = OrderedDict()
        self.num_rounds = 0
        self.num_skipped = 0
        self.num_lost = 0
        self.num_unreadable = 0
        self.num_evaluations = 0
        self._numbering = Numbering()

    def add(self, line: Line | None) -> LoggedRound | None:
        """Enter a line, and give the round that it is, if it is one."""
        if line is None:
            self.num_unreadable += 1
            return None
        logged = self._numbering.place(line)
        self.num_evaluations += line.phase == "evaluate"
        self.num_lost += line.phase == "aggregate"
        if line.phase != "train":
            return logged
        self.num_rounds += 1
        self.num_skipped += line.skipped
        self.rounds.append(logged)
        for decision in line.decisions:
            self._enter(logged, decision)
        while len(self.clients) > MAX_CLIENTS:
            self.clients.popitem(last=False)
        return logged

    def strip(self, seen: Seen) -> str:
        """Give a client's marks in the last rounds, the latest at the end."""
        marks = dict(seen.marks)
        return "".join(marks.get(each.number, ABSENT) for each in self.rounds)

    def num_refused(self, seen: Seen) -> int:
        """Tell how often a client was refused in the last rounds."""
        strip = self.strip(seen)
        return sum(strip.count(MARKS[verdict]) for verdict in REFUSED)

    def _enter(self, logged: LoggedRound, decision: Decision) -> None:
        fresh = Seen(deque(maxlen=self.rounds.maxlen))
        seen = self.clients.setdefault(decision.client_id, fresh)
        self.clients.move_to_end(decision.client_id)
        seen.name = decision.name or seen.name
        seen.counts[decision.verdict] += 1
        seen.marks.append((logged.number, MARKS[decision.verdict]))
        if decision.score is not None:
            seen.scores.append(decision.score)
        if decision.verdict in REFUSED:
            told = logged.line.told(decision.verdict)
            seen.refusal = f"round {logged.number}, {told}: {decision.reason}"
