"""The plugin's constructor: what it is, what it refuses, and what it says."""

import copy
import inspect

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import pytest
import torch
from torch import nn

from flwr_vdcs import HardenedScoring, PaperScoring, VirtualConsistencyStrategy
from flwr_vdcs.errors import (
    AuditLogError,
    DeviceUnavailableError,
    HeadNotFoundError,
    InputShapeError,
    InvalidArgumentError,
    NumMaliciousError,
    NumMaliciousNeededError,
    UnknownScoringError,
    UnsupportedStrategyError,
    VirtualConsistencyError,
)
from tests.federation import (
    LegacyClient,
    arrays_of,
    configured,
    content,
    fit_result,
    honest_update,
    legacy_aggregate,
    legacy_configured,
    reply,
    seeded,
)
from tests.models import TokenLSTM, mlp, plain_cnn, token_ids
from tests.strategies import MESSAGE_DP

NET = seeded(plain_cnn)
PAPER = {"scoring": "paper", "num_malicious": 1}


def wrap(inner=None, **options):
    """Put the plugin around a strategy."""
    settings = {"model": NET, "input_shape": (3, 8, 8), **PAPER, **options}
    return VirtualConsistencyStrategy(inner or message.FedAvg(), **settings)


@pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])
def test_is_a_strategy_of_the_wrapped_ones_api(api):
    """One name for both APIs, and an instance of the right base."""
    inner = api.FedAvg()
    strategy = wrap(inner)
    other = legacy if api is message else message
    assert isinstance(strategy, VirtualConsistencyStrategy)
    assert isinstance(strategy, api.Strategy)
    assert not isinstance(strategy, other.Strategy)
    assert strategy.strategy is inner
    assert "FedAvg" in repr(strategy)


def test_unknown_attributes_are_the_wrapped_strategys():
    """What the plugin lacks is looked up inside; what nobody has is an error."""
    strategy = wrap(message.FedAvg(fraction_train=0.5))
    assert strategy.fraction_train == 0.5
    assert strategy.reports == []
    with pytest.raises(AttributeError, match="nonsense"):
        _ = strategy.nonsense
    with pytest.raises(AttributeError, match="_private"):
        _ = strategy._private
    with pytest.raises(AttributeError, match="fraction_train"):
        _ = VirtualConsistencyStrategy.__new__(
            VirtualConsistencyStrategy, message.FedAvg()
        ).fraction_train


def test_a_subclass_is_itself_and_of_the_right_api():
    """A class of one's own can extend the plugin, for either API."""

    class Mine(VirtualConsistencyStrategy):
        """Add a name."""

        name = "mine"

    for api in (message, legacy):
        strategy = Mine(
            api.FedAvg(),
            model=NET,
            input_shape=(3, 8, 8),
            num_malicious=1,
            scoring="paper",
        )
        assert isinstance(strategy, Mine)
        assert isinstance(strategy, api.Strategy)
        assert (strategy.name, strategy.reports) == ("mine", [])


def test_copies_work_on_their_own():
    """A deep copy scores as the original does, and neither disturbs the other."""
    strategy = wrap(seed=1)
    copied = copy.deepcopy(strategy)
    for each in (strategy, copied):
        poisoned_round(each)
    assert strategy.reports[0].decisions == copied.reports[0].decisions
    again = copy.deepcopy(copied)
    for each in (copied, again):
        poisoned_round(each)
    assert copied.reports[-1].decisions == again.reports[-1].decisions


def test_the_signature_shows_the_arguments():
    """Editors and help() see the constructor's arguments."""
    parameters = inspect.signature(VirtualConsistencyStrategy).parameters
    assert list(parameters)[:3] == ["strategy", "model", "input_shape"]


@pytest.mark.parametrize("inner", [None, "FedAvg", message.FedAvg, nn.Linear(1, 1)])
def test_anything_else_is_a_type_error_that_names_both_bases(inner):
    """The error says which strategies can be wrapped."""
    with pytest.raises(TypeError, match=r"flwr\.serverapp.* or flwr\.server\.strategy"):
        VirtualConsistencyStrategy(
            inner, model=NET, input_shape=(3, 8, 8), num_malicious=1, scoring="paper"
        )


@pytest.mark.parametrize(
    "inner",
    [
        lambda: message.FedXgbBagging(),
        lambda: message.FedXgbCyclic(),
        lambda: legacy.FedXgbBagging(),
        lambda: MESSAGE_DP["server fixed"](message.FedXgbBagging()),
    ],
)
def test_decision_trees_are_refused(inner):
    """Trees have no features, alone or inside another strategy."""
    with pytest.raises(UnsupportedStrategyError, match="decision trees"):
        wrap(inner())


class Nameless(PaperScoring):
    """A scoring whose name no audit log could hold."""

    name = 7


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"model": "resnet"}, InvalidArgumentError, r"torch\.nn\.Module"),
        ({"input_shape": 8}, InvalidArgumentError, "without the batch axis"),
        ({"input_shape": (3, 0, 8)}, InvalidArgumentError, "positive ints"),
        ({"input_shape": (1, 8, 8)}, InputShapeError, "3 channels"),
        (
            {"input_shape": (32, 3, 8, 8)},
            InputShapeError,
            r"It takes inputs of \(3, 8, 8\): if 32 is the size of a batch",
        ),
        ({"num_malicious": 0.5}, NumMaliciousError, r"\[0, 0\.5\)"),
        ({"num_malicious": "auto"}, NumMaliciousNeededError, "'paper' needs num_mal"),
        ({"num_virtual_samples": 0}, InvalidArgumentError, "an int >= 1"),
        ({"head": "fc"}, HeadNotFoundError, "last layers are: 0, 4"),
        ({"scoring": "best"}, UnknownScoringError, "one of 'paper'"),
        ({"scoring": object()}, UnknownScoringError, "`features` and `scores`"),
        ({"scoring": PaperScoring}, UnknownScoringError, "an object with `name`"),
        ({"device": "hpu"}, DeviceUnavailableError, "available: .*cpu"),
        ({"seed": -1}, InvalidArgumentError, "int from 0 to 9007199254740991"),
        ({"seed": 1.5}, InvalidArgumentError, "seed=1.5"),
        ({"audit_log": "/no/such/folder/log"}, AuditLogError, "/no/such/folder/log"),
        ({"virtual_samples": token_ids}, InvalidArgumentError, r"not \(2, 7\)"),
        ({"virtual_samples": "normal"}, InvalidArgumentError, r"a callable \(gen"),
        ({"equal_weights": "no"}, InvalidArgumentError, "True or False"),
        ({"scoring": Nameless()}, UnknownScoringError, r"`name` \(a string\)"),
    ],
)
def test_bad_arguments_fail_at_construction(options, error, says):
    """Each error is of its own kind, a plain Python error too, and says what to do."""
    with pytest.raises(error, match=says) as caught:
        wrap(**options)
    assert isinstance(caught.value, VirtualConsistencyError)
    assert isinstance(caught.value, ValueError | OSError)


def test_audit_log_and_state_are_two_files(tmp_path):
    """One that is appended to and one that is replaced, whatever way leads there."""
    (tmp_path / "folder").mkdir()
    paths = {
        "audit_log": tmp_path / "file",
        "state_path": tmp_path / "folder" / ".." / "file",
    }
    with pytest.raises(InvalidArgumentError, match="another file than `audit_log`"):
        wrap(**paths)
    assert not paths["audit_log"].exists()


def test_what_cannot_be_guessed_must_be_given():
    """A model, and what it takes: a shape, or samples of it."""
    with pytest.raises(TypeError, match="model"):
        VirtualConsistencyStrategy(message.FedAvg(), input_shape=(3, 8, 8))
    with pytest.raises(InvalidArgumentError, match=r"input_shape.*`virtual_samples`"):
        VirtualConsistencyStrategy(message.FedAvg(), model=NET)


@pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])
def test_the_one_line_protects(api):
    """Nothing but model and shape: a gross update is dropped for a low score."""
    strategy = VirtualConsistencyStrategy(
        api.FedAvg(), model=NET, input_shape=(3, 8, 8)
    )
    start = arrays_of(NET)
    updates = [honest_update(start, client) for client in range(5)]
    updates.append(honest_update(start, 5, scale=5.0))  # a hundred times as far
    if api is message:
        sent = [reply(node, content(update)) for node, update in enumerate(updates)]
        configured(strategy, start).aggregate_train(1, sent)
    else:
        results = [
            (LegacyClient(client, honest_update), fit_result([*update.values()]))
            for client, update in enumerate(updates)
        ]
        legacy_aggregate(legacy_configured(strategy, start), results)
    [report] = strategy.reports
    assert [each.verdict for each in report.decisions] == ["kept"] * 5 + ["dropped"]
    assert report.decisions[-1].score < HardenedScoring.threshold
    assert "times the norm" in report.decisions[-1].reason
    assert (report.scoring, report.num_malicious) == ("hardened", 1)


def test_the_one_line_drops_nobody_where_nobody_attacks():
    """The number to drop is found anew each round, and may be 0."""
    strategy = VirtualConsistencyStrategy(
        message.FedAvg(), model=NET, input_shape=(3, 8, 8)
    )
    poisoned_round(strategy, num_replies=6)
    assert strategy.reports[0].num_kept == 6
    assert strategy.reports[0].num_malicious == 0


@pytest.mark.parametrize("scoring", ["paper", PaperScoring()], ids=["name", "object"])
def test_the_published_score_must_be_told_how_many_to_drop(scoring):
    """It has no threshold, so the error asks for a number or another scoring."""
    with pytest.raises(NumMaliciousNeededError) as caught:
        VirtualConsistencyStrategy(
            message.FedAvg(), model=NET, input_shape=(3, 8, 8), scoring=scoring
        )
    assert caught.value.scoring == "paper"
    told = str(caught.value)
    assert told.startswith("scoring='paper' needs num_malicious: it has no threshold")
    assert "an int >= 0" in told
    assert "scoring='hardened'" in told


def test_a_list_of_lengths_is_a_shape():
    """Run configurations hold lists rather than tuples."""
    strategy = wrap(input_shape=[3, 8, 8])
    poisoned_round(strategy)
    assert strategy.reports[0].num_dropped == 1


@pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])
def test_summary_shows_the_settings_in_flowers_tree(api, flower_log):
    """Each setting is a line, before the wrapped strategy's own."""
    wrap(api.FedAvg(), device="cpu").summary()
    text = flower_log.text
    for line in (
        "├──> Virtual consistency:",
        "Scoring: paper",
        "Malicious clients to drop: 1",
        "Virtual samples: 100",
        "Input shape: (3, 8, 8)",
        "Head: '4' (128 features)",
        "Device: cpu",
        "Audit log: (none)",
    ):
        assert line in text
    assert ("Sampling:" in text) is (api is message)


def test_differential_privacy_gets_a_warning(flower_log):
    """Dropping clients weakens a DP wrapper inside, which is said once."""
    private = MESSAGE_DP["server fixed"](message.FedAvg())
    wrap(private, num_malicious=0)
    assert "guarantee is weaker" not in flower_log.text
    wrap(private)
    assert flower_log.text.count("guarantee is weaker") == 1


class Backwards(PaperScoring):
    """A scoring of one's own: the opposite of the paper's."""

    name = "backwards"

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Turn the order round."""
        return -super().scores(features)


def poisoned_round(strategy, model=NET, num_replies=4):
    """Aggregate honest replies and one that is set to a constant."""
    arrays = arrays_of(model)
    replies = [reply(n, content(honest_update(arrays, n))) for n in range(num_replies)]
    return configured(strategy, arrays).aggregate_train(1, replies)


def test_a_scoring_of_ones_own_decides():
    """The client that the paper's score likes best is the one dropped."""
    paper = wrap(num_malicious=0, seed=1)
    backwards = wrap(scoring=Backwards(), seed=1)
    poisoned_round(paper)
    poisoned_round(backwards)
    best = max(paper.reports[0].decisions, key=lambda d: d.score)
    [dropped] = [d for d in backwards.reports[0].decisions if d.verdict == "dropped"]
    assert dropped.client_id == best.client_id
    assert backwards.reports[0].scoring == "backwards"


class Broken(PaperScoring):
    """A scoring that gives one number too few, or none."""

    name = "broken"

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """Ignore the features."""
        return self.value


def test_scores_of_another_length_are_an_error():
    """The error names the scoring and what it should give."""
    strategy = wrap(scoring=Broken(torch.zeros(3)))
    with pytest.raises(InvalidArgumentError, match=r"'broken'.*\(4,\), not \(3,\)"):
        poisoned_round(strategy)


def test_a_score_that_is_not_finite_is_a_quarantine():
    """NaN cannot be ranked, so its client is not scored."""
    scores = torch.tensor([0.1, float("nan"), 0.3, 0.2])
    strategy = wrap(scoring=Broken(scores), num_malicious=2)
    poisoned_round(strategy)
    verdicts = [d.verdict for d in strategy.reports[0].decisions]
    assert verdicts == ["dropped", "quarantined", "kept", "kept"]


class Fragile(nn.Module):
    """A model that raises on some weights."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Refuse large weights."""
        if self.body.bias.max() > 100:
            raise ValueError("weights out of range")
        return self.fc(self.body(x))


def test_an_update_that_makes_the_model_raise_is_quarantined():
    """The run goes on, and the report says what the model said."""
    model = seeded(Fragile)
    arrays = arrays_of(model)
    strategy = wrap(model=model, input_shape=(3,))
    bad = {**arrays, "body.bias": arrays["body.bias"] + 1000}
    replies = [reply(n, content(honest_update(arrays, n))) for n in range(4)]
    found, _ = configured(strategy, arrays).aggregate_train(
        1, [reply(9, content(bad)), *replies]
    )
    assert found is not None
    first = strategy.reports[0].decisions[0]
    assert first.verdict == "quarantined"
    assert first.reason == "the model cannot run with it: ValueError"


def test_same_seed_same_scores():
    """Two runs with one seed give the same scores; without one, the seed is noted."""

    def scores(seed):
        strategy = wrap(seed=seed)
        poisoned_round(strategy)
        report = strategy.reports[0]
        return report.seed, [d.score for d in report.decisions]

    assert scores(7) == scores(7)
    seed, found = scores(None)
    assert scores(seed - 1) == (seed, found)


def test_token_models_are_probed_with_token_ids():
    """Custom virtual samples reach the model as they are."""
    model = seeded(TokenLSTM)
    strategy = wrap(model=model, input_shape=(7,), virtual_samples=token_ids)
    poisoned_round(strategy, model)
    assert strategy.reports[0].num_dropped == 1


def test_the_model_is_not_changed_by_rounds():
    """Scoring leaves weights, mode and gradients of the user's model alone."""
    model = seeded(mlp).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    strategy = wrap(model=model, input_shape=(3, 4))
    poisoned_round(strategy, model)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_equal_scores_across_the_boundary_get_a_warning(flower_log):
    """The others differ, but the choice between these two is arbitrary."""
    strategy = wrap(scoring=Broken(torch.tensor([0.2, 0.1, 0.1, 0.3])))
    poisoned_round(strategy)
    verdicts = [d.verdict for d in strategy.reports[0].decisions]
    assert verdicts == ["kept", "dropped", "kept", "kept"]
    assert "have equal scores, so the choice" in flower_log.text
