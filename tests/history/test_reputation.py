"""Bans: many refusals ban, bad luck does not, and a parole ends it."""

from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_vdcs import Decision, HardenedScoring, Reputation
from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.history import _last_clients as memory
from flwr_vdcs.history.reputation import Ledger


def decided(verdicts: dict[str, str]) -> list[Decision]:
    """Decide on a round with these verdicts."""
    return [Decision(client, verdict) for client, verdict in verdicts.items()]


def dropping(*dropped: str, of: int = 10) -> list[Decision]:
    """Decide on a round that dropped these of the clients."""
    return decided(
        {str(c): "dropped" if str(c) in dropped else "kept" for c in range(of)}
    )


def evidence(ledger: Ledger, client_id: str) -> float:
    """Look up a client's evidence."""
    return ledger.state_dict()["clients"].get(client_id, {"evidence": 0})["evidence"]


def literal_sums(dropped: np.ndarray, rate: float, limit: float) -> np.ndarray:
    """Compute Page's cumulative sums of all clients as the formula has it."""
    sums = np.zeros(dropped.shape[1])
    for of_round in dropped:
        chance = max(0.05, of_round.mean())
        for client, is_dropped in enumerate(of_round):
            hit = log(rate / chance) if is_dropped else log((1 - rate) / (1 - chance))
            sums[client] = min(limit, max(0.0, sums[client] + hit))
    return sums


@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.55, 0.95))
def test_it_is_pages_sum(seed, rate):
    """Against a literal version, until somebody is banned."""
    generator = np.random.default_rng(seed)
    dropped = np.stack([generator.permutation(10) < 3 for _ in range(6)])
    ledger = Ledger(Reputation(refusal_rate=rate, false_bans=1e-12))
    for of_round in dropped:
        ledger.note(dropping(*map(str, np.flatnonzero(of_round))))
    found = [evidence(ledger, str(client)) for client in range(10)]
    np.testing.assert_allclose(found, literal_sums(dropped, rate, inf), atol=1e-12)


def test_a_hand_worked_case():
    """Three of ten dropped: ln(0.8 / 0.3) = 0.98 for each, ln(0.2 / 0.7) for others."""
    ledger = Ledger(Reputation())
    ledger.note(dropping("0", "1", "2"))
    assert evidence(ledger, "0") == pytest.approx(0.98083)
    assert evidence(ledger, "5") == 0
    ledger.note(dropping("5", "6", "7"))
    assert evidence(ledger, "0") == 0  # 0.98 - 1.25 is below zero
    assert evidence(ledger, "5") == pytest.approx(0.98083)


def test_always_dropped_is_banned():
    """11.5 / 0.98 gives the twelfth round; those kept are never banned."""
    ledger = Ledger(Reputation())
    banned = [ledger.note(dropping("0", "1", "2")) for _ in range(12)]
    assert banned[:11] == [()] * 11
    assert set(banned[11]) == {"0", "1", "2"}
    assert ledger.banned(str(c) for c in range(10)).keys() == {"0", "1", "2"}


def test_drops_above_the_threshold_tell_nothing():
    """Where M honest clients have to be dropped, none of them is banned for it."""
    decisions = [Decision(str(client), "kept", -0.2) for client in range(8)]
    decisions += [Decision("8", "dropped", -0.5), Decision("9", "dropped", -1.5)]
    ledger = Ledger(Reputation())
    banned = [ledger.note(decisions, threshold=-1.0) for _ in range(20)]
    assert {client_id for bans in banned for client_id in bans} == {"9"}
    assert evidence(ledger, "8") == 0


def test_persistence_bans_by_the_scores_own_evidence():
    """Ratios of 6,300 to 1 in every round ban in the 14th; one alone never does."""
    hardened = HardenedScoring()
    decisions = [Decision(str(client), "kept", 0.5) for client in range(8)]
    decisions += [Decision("8", "dropped", -1.2), Decision("9", "dropped", -1.9)]
    ledger = Ledger(Reputation())
    banned = [
        ledger.note(decisions, hardened.ban_threshold, of_score=hardened.evidence)
        for _ in range(14)
    ]
    assert banned == [()] * 13 + [("9",)]
    assert evidence(ledger, "8") == 0  # it may be the one that was copied


@pytest.mark.parametrize("said", [None, nan, inf])
def test_a_score_that_says_nothing_leaves_it_to_how_often(said):
    """As a scoring of one's own may."""
    ledger = Ledger(Reputation())
    decisions = [*dropping(of=9), Decision("9", "dropped", -2.0)]
    ledger.note(decisions, -1.0, of_score=lambda _: said)
    assert evidence(ledger, "9") == pytest.approx(log(0.8 / 0.1))


def test_quarantined_again_and_again_is_banned():
    """Honest replies are hardly ever malformed, so five rounds are enough."""
    ledger = Ledger(Reputation())
    verdicts = dict.fromkeys("123456789", "kept") | {"0": "quarantined"}
    banned = [ledger.note(decided(verdicts)) for _ in range(5)]
    assert banned == [(), (), (), (), ("0",)]


def test_a_parole_ends_the_ban_on_probation():
    """After as many rounds as set, and it is banned again more quickly."""
    ledger = Ledger(Reputation(parole=4))
    while not ledger.note(dropping("0")):
        pass
    others = dict.fromkeys("123456789", "kept")
    for rounds_left in (4, 3, 2, 1):
        [reason] = ledger.banned(["0"]).values()
        assert reason.startswith(f"banned, asked again in {rounds_left} ")
        ledger.note(decided(others | {"0": "banned"}))
    assert not ledger.banned(["0"])
    assert evidence(ledger, "0") == pytest.approx(Reputation().limit / 2)
    rounds = 1
    while not ledger.note(dropping("0")):
        rounds += 1
    assert rounds == 3  # of the six that it took at first


def test_a_pardon_ends_it_at_once():
    """And leaves nothing behind."""
    ledger = Ledger(Reputation())
    while not ledger.note(dropping("0")):
        pass
    assert ledger.pardon("0")
    assert not ledger.banned(["0"])
    assert evidence(ledger, "0") == 0
    assert not ledger.pardon("0")


def test_a_parole_that_was_over_when_the_state_was_saved_is_over():
    """Such a client is on probation, as if it had come back in time."""
    ledger = Ledger(Reputation())
    clients = {"0": {"evidence": 11.0, "parole": 4}}
    ledger.load_state_dict({"num_rounds": 9, "clients": clients})
    assert not ledger.banned(["0"])
    assert evidence(ledger, "0") == pytest.approx(Reputation().limit / 2)


def test_skipped_rounds_say_nothing():
    """They are counted, and no decision of them is."""
    ledger = Ledger(Reputation())
    ledger.note(dropping("0"))
    before = evidence(ledger, "0")
    for _ in range(100):
        assert not ledger.note([])
    assert (evidence(ledger, "0"), ledger.num_rounds) == (before, 101)


def test_never_half_of_the_clients():
    """Where most seem guilty, the worst are banned, and fewer than half."""
    ledger = Ledger(Reputation())
    guilty = dict.fromkeys("012345", "quarantined") | dict.fromkeys("6789", "kept")
    bans = [ledger.note(decided(guilty)) for _ in range(5)][-1]
    assert len(bans) == 4
    rest = guilty | dict.fromkeys(bans, "banned")
    assert [ledger.note(decided(rest)) for _ in range(20)] == [()] * 20


def test_without_settings_nobody_is_banned():
    """Rounds are counted all the same."""
    ledger = Ledger(None)
    for _ in range(100):
        assert not ledger.note(dropping("0", "1", "2"))
    assert not ledger.banned(["0"])
    assert ledger.num_rounds == 100


def test_a_state_goes_on_where_it_was():
    """Bans, evidence and rounds are the same; turned off, bans are kept, not used."""
    ledger, again, off = Ledger(Reputation()), Ledger(Reputation()), Ledger(None)
    while not ledger.note(dropping("0", "1")):
        ledger.note(dropping("0", "2"))
    again.load_state_dict(ledger.state_dict())
    off.load_state_dict(ledger.state_dict())
    assert again.state_dict() == off.state_dict() == ledger.state_dict()
    assert again.banned(["0", "1"]) == ledger.banned(["0", "1"])
    assert not off.banned(["0"])
    assert again.rounds_before == ledger.num_rounds


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"num_rounds": -1, "clients": {}},
        {"num_rounds": True, "clients": {}},
        {"num_rounds": 1, "clients": []},
        {"num_rounds": 1, "clients": {"7": {}}},
        {"num_rounds": 1, "clients": {"7": {"evidence": -1, "parole": None}}},
        {"num_rounds": 1, "clients": {"7": {"evidence": inf, "parole": None}}},
        {"num_rounds": 1, "clients": {"7": {"evidence": "1", "parole": None}}},
        {"num_rounds": 1, "clients": {"7": {"evidence": 1, "parole": "soon"}}},
    ],
)
def test_what_is_no_state_is_refused(state):
    """And changes nothing."""
    ledger = Ledger(Reputation())
    ledger.note(dropping("0"))
    before = ledger.state_dict()
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        ledger.load_state_dict(state)
    assert ledger.state_dict() == before


def test_evidence_against_those_long_gone_is_forgotten(monkeypatch):
    """However many clients come and go, the memory is bounded."""
    monkeypatch.setattr(memory, "MAX_CLIENTS", 2)
    ledger = Ledger(Reputation())
    for client in "012":
        ledger.note(dropping(client, of=10))
        assert evidence(ledger, client) > 0
    assert ledger.state_dict()["clients"].keys() == {"1", "2"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("false_bans", 0),
        ("false_bans", 1),
        ("refusal_rate", 0.5),
        ("refusal_rate", 1),
        ("parole", 0),
        ("parole", 1.5),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    """The message names the setting and the range."""
    with pytest.raises(InvalidArgumentError, match=name):
        Reputation(**{name: value})


def test_bad_luck_hardly_ever_bans():
    """Three of ten dropped at random for 200 rounds: no more bans than promised."""
    generator, num_bans = np.random.default_rng(0), 0
    for _ in range(20):
        ledger = Ledger(Reputation(false_bans=1e-3, parole=10))
        for _ in range(200):
            dropped = map(str, generator.permutation(10)[:3])
            num_bans += len(ledger.note(dropping(*dropped)))
    assert num_bans <= 1e-3 * 20 * 200 * 10
