"""Hardened scoring: the strongest suspicion, against the definition and by hand."""

import math
from itertools import combinations
from operator import mul
from statistics import median

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from flwr_vdcs.scoring import HardenedScoring, resolve_scoring
from flwr_vdcs.scoring.hardened._agreement import find_agreement
from flwr_vdcs.scoring.hardened._evidence import SIZES

SCORING = HardenedScoring()
TOLERANCES = (4.0, 4.0, 5.0, 4.0, 20.0, 5.0, 3.5)
COPY = 2.4
TYPICAL = {"peers": 0.5, "head": 0.3, "momentum": 0.2, "lesson": 0.0}

seeds = st.integers(0, 2**32 - 1)


def sharing(signs: list[float]) -> Tensor:
    """Let half of every direction be shared, so that cosines are 1/2 or -1/2."""
    own = torch.eye(len(signs), dtype=torch.float64)
    shared = torch.tensor(signs, dtype=torch.float64)[:, None]
    return torch.cat([shared, own], dim=1) / math.sqrt(2)


def evidence_of(
    direction: Tensor,
    with_head: list[float] | None = None,
    with_momentum: list[float] | None = None,
    head_direction: Tensor | None = None,
) -> dict:
    """Put evidence together, with sizes of 1, of clients who teach nothing."""
    clients = len(direction)
    nothing = [0.0] * clients
    return {
        "sizes": torch.zeros(clients, len(SIZES), dtype=torch.float64),
        "direction": direction,
        "head_direction": torch.zeros(clients, 1).double()
        if head_direction is None
        else head_direction,
        "with_head": torch.tensor(with_head or nothing, dtype=torch.float64),
        "with_momentum": torch.tensor(with_momentum or nothing, dtype=torch.float64),
        "sensitivity": torch.ones(clients, dtype=torch.float64),
    }


def random_evidence(seed: int) -> dict:
    """Draw four clients who agree, three who agree with nobody, and any sizes."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator).double()  # noqa: E731
    rows = draw(7, 64)
    rows[:, 0] = 0
    rows[:4, 0] = 8
    order = torch.randperm(7, generator=generator)
    lessons = draw(7, 8)
    lessons[:4, 0] += 3
    return {
        "sizes": draw(7, len(SIZES)),
        "direction": (rows / rows.norm(dim=1, keepdim=True))[order],
        "head_direction": (lessons / lessons.norm(dim=1, keepdim=True))[order],
        "with_head": 0.3 * draw(7),
        "with_momentum": 0.2 * draw(7),
    }


def deviation(values: list[float]) -> float:
    """Estimate a standard deviation by the median distance from the median."""
    return 1.4826 * median([abs(value - median(values)) for value in values])


def similarities(rows: list[list[float]], members: tuple[int, ...]) -> list[float]:
    """Average each client's inner products with the members other than itself."""
    found = []
    for i, row in enumerate(rows):
        products = [sum(map(mul, row, rows[m])) for m in members if m != i]
        found.append(sum(products) / len(products))
    return found


def literal_scores(rounds: list[dict]) -> list[float]:
    """Follow the formula one client at a time through all rounds, and give the last.

    All majorities are tried.
    """
    clients = range(len(rounds[0]["with_head"]))
    sums = {name: [0.0] * len(clients) for name in "NDTLHGR"}
    long = [0.0] * len(clients)
    for evidence in rounds:
        heads, ways = evidence["with_head"].tolist(), evidence["with_momentum"].tolist()
        rows = evidence["direction"].tolist()
        cosines = [[sum(map(mul, a, b)) for b in rows] for a in rows]
        members = max(
            combinations(clients, len(rows) // 2 + 1),
            key=lambda chosen: sum(cosines[i][j] for i, j in combinations(chosen, 2)),
        )
        with_peers = similarities(rows, members)
        lessons = similarities(evidence["head_direction"].tolist(), members)
        c, h, m = (max(median(each), 0.0) for each in (with_peers, heads, ways))
        weight = 16 / max(1, deviation(heads) / 0.2) ** 2
        d = c * c + weight * h * h + 32 * m * m
        n = [
            c * with_peers[i] + weight * h * heads[i] + 32 * m * ways[i]
            for i in clients
        ]
        lesson = max(median(lessons), 0.0)
        variance = max(deviation(lessons), lesson / 4) ** 2
        t = [lesson * max(each, -lesson) / variance for each in lessons]
        for name, limit in (("N", "D"), ("T", "L")):
            pairs = zip(sums[name], sums[limit], strict=True)
            sums[name] = [min(max(past, -most), most) for past, most in pairs]
        more = [head - median(heads) for head in heads]
        added = {"N": n, "D": [d] * 99, "T": t, "L": [lesson**2 / variance] * 99}
        added |= {"H": heads, "G": more, "R": [1] * 99}
        for name, values in added.items():
            sums[name] = [0.8 * sums[name][i] + values[i] for i in clients]
        before, sizes = long, evidence["sizes"].tolist()
        middle = [median(place) for place in zip(*sizes, strict=True)]
        long = [
            math.exp(sizes[i][0])
            if all(
                abs(size - middle[p]) <= math.log(TOLERANCES[p])
                for p, size in enumerate(sizes[i])
            )
            else before[i]
            for i in clients
        ]
    now = [n[i] / max(d, 0.05**2) for i in clients]
    share = [sums["N"][i] / max(sums["D"][i], 0.05**2) for i in clients]
    teaching = [sums["T"][i] / max(sums["L"][i], 8) for i in clients]
    confirmed = [sums["H"][i] / sums["R"][i] for i in clients]
    surplus = [sums["G"][i] / sums["R"][i] for i in clients]
    least = max(1.25 * median(confirmed), 4 * deviation(surplus))
    least_now = max(1.25 * median(heads), 4 * deviation(heads))
    scores = []
    for i in clients:
        suspicions = []
        usual = math.log(before[i] or 1e-99) - middle[0]
        still = max(min(usual, sizes[i][0] - middle[0]), 0) if share[i] > 0 else 0
        for p, tolerance in enumerate(TOLERANCES):
            away = sizes[i][p] - middle[p]
            if away > 0 and SIZES[p] not in {"running statistics", "buffers"}:
                away = max(away - still, 0)
            suspicion = abs(away) / math.log(tolerance)
            is_weak = SIZES[p] == "effect" and suspicion < 1
            suspicions.append(suspicion**4 if is_weak else suspicion)
        otherwise = (median(teaching) - teaching[i]) / max(1, 4 * deviation(teaching))
        suspicions.append(max(otherwise, 0) ** 4 if otherwise < 1 else otherwise)
        undone = median(surplus) - surplus[i]
        suspicions += [
            (median(share) - share[i]) / 1.25,
            (median(now) - now[i]) / 1.75,
            undone / max(least, 0.1 + 0.15 / sums["R"][i]),
            -undone / max(least, 0.1 + 0.4 / sums["R"][i]),
            (median(heads) - heads[i]) / max(0.25, least_now),
        ]
        scores.append(-max(*suspicions, 0.0))
    return scores


def judge_all(rounds: list[dict]):
    """Judge rounds with what was remembered of those before; give the last."""
    remembered: dict = {}
    for evidence in rounds:
        judgement = SCORING.judge({**evidence, **remembered})
        remembered = judgement.remembered
    return judgement


@given(seed=seeds, num_rounds=st.integers(1, 4))
def test_equals_the_definition(seed, num_rounds):
    """Scores are those of the formula, with the best of all majorities."""
    rounds = [random_evidence(seed + number) for number in range(num_rounds)]
    expected = torch.tensor(literal_scores(rounds), dtype=torch.float64)
    assert_close(judge_all(rounds).scores, expected, atol=1e-9, rtol=0)


@given(seed=seeds)
def test_scores_are_those_of_the_judgement(seed):
    """One round without a past, either way."""
    evidence = random_evidence(seed)
    assert_close(SCORING.scores(evidence), SCORING.judge(evidence).scores)


def test_hand_worked_track_record():
    """After two honest rounds a reversed one makes (0.8 + 0.64 - 1) / 2.44 of 1.

    That lacks less than 1.25, but of this round alone 2 is more than 1.75.
    """
    honest = evidence_of(sharing([1, 1, 1, 1]))
    turned = evidence_of(sharing([1, 1, 1, -1]))
    once = judge_all([honest, honest, turned])
    lost = 1 - 0.44 / 2.44
    assert lost / 1.25 < 2 / 1.75
    expected = torch.tensor([0, 0, 0, -2 / 1.75], dtype=torch.float64)
    assert_close(once.scores, expected)
    assert once.reasons[3] == "in this round it goes another way than the others"
    again = judge_all([turned, turned, honest])
    expected[3] = -(1 + 0.44 / 2.44) / 1.25
    assert_close(again.scores, expected)
    assert again.reasons[3] == "it goes another way than the others"


def test_hand_worked_confirmation_over_rounds():
    """0.16 less than the others' 0.04 is tolerated once, and not for long."""
    evidence = evidence_of(sharing([1] * 5), [0.04] * 4 + [-0.12])
    assert SCORING.scores(evidence)[4].item() == pytest.approx(-0.16 / 0.25)
    rounds = 1 + 0.8 + 0.64
    judged = judge_all([evidence] * 3)
    assert judged.scores[4].item() == pytest.approx(-0.16 / (0.1 + 0.15 / rounds))
    assert judged.reasons[4] == "its updates undo what the head has learned"


def test_hand_worked_exaggeration_over_rounds():
    """0.36 more than the others' 0.04 is tolerated once, and not twice."""
    evidence = evidence_of(sharing([1] * 5), [0.04] * 4 + [0.4])
    for num_rounds, rounds in ((1, 1), (2, 1.8)):
        judged = judge_all([evidence] * num_rounds)
        expected = -0.36 / (0.1 + 0.4 / rounds)
        assert judged.scores[4].item() == pytest.approx(expected)
        assert (judged.scores[4] < SCORING.threshold) == (num_rounds == 2)
    assert judged.reasons[4] == "its updates confirm the head as training does not"


def test_one_that_was_away_is_compared_with_the_rounds_it_was_in():
    """It confirmed 0.4 like all others then, they confirm 0.05 by now, as it does."""
    early, late = (evidence_of(sharing([1] * 5), [h] * 5) for h in (0.4, 0.05))
    away = judge_all([early] * 5).remembered
    others = judge_all([early] * 5 + [late] * 20).remembered
    returned = {n: torch.cat([others[n][:4], away[n][4:]]) for n in others}
    scores = SCORING.judge({**late, **returned}).scores
    assert_close(scores, torch.zeros(5).double(), atol=1e-6, rtol=0)


def test_hand_worked_length_over_rounds():
    """Five times as long as those who have finished, as it was when they had not."""
    start, end = (evidence_of(sharing([1] * 5)) for _ in range(2))
    end["sizes"][:4] -= math.log(5)
    end["sizes"][:, [SIZES.index(n) for n in ("running statistics", "buffers")]] = 0
    assert_close(judge_all([start, end]).scores, torch.zeros(5).double())
    anew = judge_all([end])
    assert anew.scores[4].item() == pytest.approx(-math.log(5) / math.log(3.5))
    assert anew.reasons[4] == "its effect has 5 times the median size"
    end["sizes"][4, SIZES.index("head")] += math.log(4)
    boosted = judge_all([start, end])
    assert boosted.scores[4].item() == pytest.approx(-1)
    assert boosted.reasons[4] == "its head has 20 times the median size"


@given(along=st.floats(-1, 1), num_rounds=st.integers(2, 5))
def test_the_same_again_and_again_is_judged_as_once(along, num_rounds):
    """Where nobody goes further than the median client does."""
    evidence = evidence_of(sharing([1, 1, 1, along]))
    judged = judge_all([evidence] * num_rounds).scores
    assert_close(judged, SCORING.scores(evidence))


@pytest.mark.parametrize("zeal", [1, 10])
def test_how_long_a_good_record_shelters(zeal):
    """After many good rounds at -1/2 of the median's, it is found in the ninth.

    There 0.8 to the power of 9 falls below 1/6: 3/2 of that less 1/2 is -1/4. Who goes
    ten times further with the others than they do is not sheltered for longer.
    """
    good, turned = (
        evidence_of(sharing([1] * 4), None, [0.05] * 3 + [0.05 * times])
        for times in (zeal, -0.5)
    )
    for evidence in (good, turned):
        evidence["direction"] = torch.eye(4).double()
    scores = [judge_all([good] * 50 + [turned] * number).scores[3] for number in (8, 9)]
    assert scores[1] < SCORING.threshold < scores[0]


def test_hand_worked_example():
    """4 times the update is one tolerance, half the head a half, reversal 2 / 1.25."""
    evidence = evidence_of(sharing([1, 1, 1, -1]))
    evidence["sizes"][0, SIZES.index("update")] = math.log(4)
    evidence["sizes"][1, SIZES.index("head")] = -math.log(2)
    expected = torch.tensor([-1.0, -0.5, 0.0, -1.6], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)
    assert "another way" in SCORING.judge(evidence).reasons[3]


def test_hand_worked_agreement_with_the_head():
    """Reversed against its peers, it loses twice their 1/4 of 1/4 + 16 x 0.16."""
    evidence = evidence_of(sharing([1, 1, 1, -1]), [0.4] * 4)
    lost = 2 * 0.25 / (0.25 + 16 * 0.16)
    expected = torch.tensor([0.0, 0.0, 0.0, -lost / 1.25], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)


def test_a_head_that_has_learned_nothing_gives_no_agreement():
    """A median of -0.25 counts for nobody; being away from it does in its own right."""
    evidence = evidence_of(sharing([1, 1, 1, -1]), [-0.4, -0.3, -0.2, 0.9])
    away = torch.tensor([0.15, 0.05, 0.05, 1.15], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), -away / (4 * 1.4826 * 0.1))


def test_where_heads_are_confirmed_by_chance_that_is_ordinary():
    """The median distance is 1/2: 1 less or more is 1/3 of 4 deviations."""
    evidence = evidence_of(sharing([1] * 5), [-1.0, -0.5, 0.0, 0.5, 1.0])
    far = 1 / (4 * 1.4826 * 0.5)
    expected = -torch.tensor([far, far / 2, 0, far / 2, far], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)


def test_hand_worked_undoing_of_the_head():
    """Of 1.25 times the median's 0.4, 0.1 less is a fifth, and 0.6 less beyond it."""
    evidence = evidence_of(sharing([1] * 5), [0.4, 0.4, 0.4, 0.3, -0.2])
    expected = torch.tensor([0.0, 0.0, 0.0, -0.2, -1.2], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)
    says = "its updates undo what the head has learned"
    assert SCORING.judge(evidence).reasons[4] == says


def test_a_good_record_does_not_hide_that_a_head_is_undone_at_once():
    """0.6 less than the median's 0.2, after eight rounds like the others."""
    usual = evidence_of(sharing([1] * 5), [0.2] * 5)
    evidence = evidence_of(sharing([1] * 5), [0.2, 0.2, 0.2, 0.2, -0.4])
    judged = judge_all([*[usual] * 8, evidence])
    assert judged.reasons[4] == "in this round it undoes what the head has learned"
    assert judged.scores[4].item() == pytest.approx(-0.6 / 0.25)


def test_the_head_has_less_to_say_where_it_is_confirmed_by_chance():
    """A spread of twice 0.2 leaves a quarter of 16 as its weight."""
    kinds = {
        "peers": torch.tensor([0.5, -0.5]),
        "head": torch.tensor([0.3, -0.1]),
        "momentum": torch.tensor([0.2, 0.2]),
        "lesson": torch.zeros(2),
    }
    typical = {name: torch.tensor(value) for name, value in TYPICAL.items()}
    wide, usual, none = (
        find_agreement(
            kinds, typical, {"head": torch.tensor(spread), "lesson": torch.zeros(())}
        )
        for spread in (0.4, 0.2, 0.0)
    )
    assert_close(wide.along, usual.along - 12 * 0.3 * kinds["head"])
    assert_close(wide.whole, usual.whole - 12 * 0.3**2)
    assert_close(none.along, usual.along)


def taught(lessons: Tensor) -> dict:
    """Let clients teach the head, of whom the last is not in the consensus."""
    directions = sharing([1.0] * (len(lessons) - 1) + [0.98])
    return evidence_of(directions, head_direction=lessons)


def test_hand_worked_contradiction():
    """Who teaches the reverse is at -1 where others are at 1."""
    evidence = taught(sharing([1, 1, 1, 1, -1]))
    expected = torch.tensor([0, 0, 0, 0, -2], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)
    says = "its updates teach the head otherwise than the others do"
    assert SCORING.judge(evidence).reasons[4] == says


@pytest.mark.parametrize("number", [3, 4, 5])
def test_of_few_clients_nobody_contradicts(number):
    """The spread of fewer than five is not to be told."""
    evidence = taught(sharing([1.0] * (number - 1) + [-1]))
    assert (SCORING.scores(evidence)[-1] < -1) == (number == 5)


def test_a_contradiction_is_not_enough_for_a_ban():
    """Who teaches the reverse of a weak lesson, much more clearly, is at -1 as well."""
    lessons = sharing([0.2, 0.2, 0.2, 0.2, -1])
    evidence = taught(lessons / lessons.norm(dim=1, keepdim=True))
    assert SCORING.scores(evidence)[4].item() == pytest.approx(-2)
    assert SCORING.ban_threshold < -2


def test_hand_worked_contradiction_within_the_tolerance():
    """Who teaches the others' lesson by half lacks 1/2, which counts 1/2 to the 4th."""
    evidence = taught(sharing([1, 1, 1, 1, 0.5]))
    assert SCORING.scores(evidence)[4].item() == pytest.approx(-(0.5**4))


def test_hand_worked_contradiction_over_rounds():
    """After two good rounds the reverse is at (0.8 + 0.64 - 1) / 2.44, then below 0.

    Where all teach alike they are taken to differ by a quarter, so a round counts 16.
    """
    good, turned = (taught(sharing([1, 1, 1, 1, last])) for last in (1, -1))
    found = judge_all([good, good, turned]).scores[4].item()
    assert found == pytest.approx(-((1 - 0.44 / 2.44) ** 4))
    found = judge_all([good, good, turned, turned]).scores[4].item()
    assert found == pytest.approx(-(1 + 0.648 / 2.952))


@pytest.mark.parametrize("common", [0.0, 0.1, 1.0])
def test_where_little_is_taught_a_contradiction_counts_for_little(common):
    """With clients who differ by more than they teach in common, it is less than 2."""
    generator = torch.Generator().manual_seed(3)
    lessons = torch.randn(9, 400, generator=generator).double()
    lessons[:, 0] += 20 * common * torch.tensor([1] * 8 + [-1])
    evidence = taught(lessons / lessons.norm(dim=1, keepdim=True))
    assert (SCORING.scores(evidence)[8] < -1) == (common == 1)


def test_where_clients_teach_differently_that_is_ordinary():
    """Of 1, 3/4, 1/2, 1/4 and 0 in common the last is within 4 deviations."""
    own = torch.eye(5, dtype=torch.float64)
    shared = torch.tensor([1, 0.75, 0.5, 0.25, 0], dtype=torch.float64)[:, None]
    evidence = taught(torch.cat([shared, (1 - shared**2).sqrt() * own], dim=1))
    assert -0.5 < SCORING.scores(evidence)[4] < 0


def test_hand_worked_agreement_with_momentum():
    """Whoever goes the others' way, but 0.5 less than they go the federation's."""
    evidence = evidence_of(sharing([1, 1, 1, 1]), None, [0.25, 0.25, 0.25, -0.25])
    lost = 2 * 32 * 0.25**2 / (0.25 + 32 * 0.25**2)
    expected = torch.tensor([0.0, 0.0, 0.0, -lost / 1.25], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)


@given(seed=seeds)
def test_the_reverse_of_the_median_client_is_suspicious(seed):
    """Where all go the same way in every respect, reversal is at 1.6 exactly."""
    generator = torch.Generator().manual_seed(seed)
    head, way = (0.1 * torch.rand(2, generator=generator)).tolist()
    turned = ([head] * 4 + [-head], [way] * 4 + [-way])
    evidence = evidence_of(sharing([1, 1, 1, 1, -1]), *turned)
    assert SCORING.scores(evidence)[4].item() == pytest.approx(-1.6)


def test_copies_have_no_say_in_what_is_typical():
    """Two copies of a low agreement do not pull the median of 0.4 down."""
    direction = sharing([1, 1, 1, 1, 1, 1])
    direction[4] = direction[5] = direction[3]
    evidence = evidence_of(direction, [0.4, 0.4, 0.4, 0.1, 0.1, 0.1])
    undone = 0.3 / 0.5
    expected = torch.tensor([0, 0, 0, -undone, -COPY, -COPY], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)


def test_a_weak_consensus_tells_less():
    """Where cosines are 0.02, a reversal counts by the square of 0.02 over 0.05."""
    direction = sharing([0.2, 0.2, 0.2, 0.2, -0.2])
    direction[:, 1:] *= math.sqrt(2 - 0.04)
    evidence = evidence_of(direction)
    expected = torch.tensor([0, 0, 0, 0, -2 * 0.4**2 / 1.25], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected)


def test_all_copies_but_the_first_are_suspicious():
    """Three who send the same count once, and two are dropped, yet not banned."""
    direction = sharing([1, 1, 1, 1, 1, 1])
    direction[3] = direction[5] = direction[1]
    evidence = evidence_of(direction)
    expected = torch.tensor([0, 0, 0, -COPY, 0, -COPY], dtype=torch.float64)
    assert_close(SCORING.scores(evidence), expected, atol=1e-6, rtol=0)
    assert SCORING.ban_threshold < -COPY < SCORING.threshold
    reasons = SCORING.judge(evidence).reasons
    assert [r == "a copy of another update" for r in reasons] == [
        score == -COPY for score in expected.tolist()
    ]


@given(seed=seeds, order=st.permutations(range(7)))
def test_follows_the_order_of_clients(seed, order):
    """Permuting the clients permutes the scores and the reasons."""
    evidence = random_evidence(seed)
    permuted = {name: value[list(order)] for name, value in evidence.items()}
    assert_close(SCORING.scores(permuted), SCORING.scores(evidence)[list(order)])
    reasons = SCORING.judge(evidence).reasons
    assert SCORING.judge(permuted).reasons == [reasons[place] for place in order]


@given(seed=seeds, factor=st.floats(1e-6, 1e6))
def test_a_common_factor_of_all_sizes_does_not_matter(seed, factor):
    """Sizes are compared with the median's: a longer round is scored the same."""
    evidence = random_evidence(seed)
    longer = {**evidence, "sizes": evidence["sizes"] + math.log(factor)}
    assert_close(SCORING.scores(longer), SCORING.scores(evidence))


@given(seed=seeds)
def test_is_never_positive_and_the_first_place_tells_why(seed):
    """The reason is that of the strongest suspicion."""
    evidence = random_evidence(seed)
    evidence["sizes"][0, 2] = 20.0
    assert SCORING.scores(evidence).max() <= 0
    assert SCORING.judge(evidence).reasons[0].startswith("its vectors has ")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("update", "its update has 100 times the median size"),
        ("effect", "its effect has 100 times the median size"),
    ],
)
def test_a_reason_names_the_place_and_the_factor(place, says):
    """A size is told against the median's."""
    evidence = evidence_of(sharing([1, 1, 1, -1]))
    evidence["sizes"][0, SIZES.index(place)] = math.log(100)
    assert SCORING.judge(evidence).reasons[0] == says
    assert "another way" in SCORING.judge(evidence).reasons[3]


def test_two_clients_can_be_scored():
    """The least that a round is scored with."""
    scores = SCORING.scores(evidence_of(sharing([1, 1])))
    assert_close(scores, torch.zeros(2, dtype=torch.float64))


def test_has_what_the_strategy_asks_for():
    """By its name there is a scoring with a threshold and a longest update."""
    scoring = resolve_scoring("hardened")
    assert isinstance(scoring, HardenedScoring)
    assert (scoring.threshold, scoring.max_update) == (-1.0, 2.0)
