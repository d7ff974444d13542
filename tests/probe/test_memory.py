"""Dense outputs: samples in batches, projected rows, and what is told of them."""

from dataclasses import replace

import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from torch import Tensor, nn
from torch.testing import assert_close

from flwr_vdcs import VirtualConsistencyStrategy, examine_round
from flwr_vdcs.probe import Probe, cautions, free_memory
from flwr_vdcs.probe._model import LiveMemory
from flwr_vdcs.probe._reduction import NUM_BUCKETS
from flwr_vdcs.round import Examiner
from tests.federation import seeded
from tests.models import batch_norm_cnn, mlp
from tests.probe.contexts import CPU, context_of, moved, paper_features

ALL_AS_THEY_ARE = 2**40

SAMPLE_BYTES = 2 * 6 * 16 * 16 * 4
"""What two layers of six channels give for an image of 16 x 16 pixels."""


@pytest.fixture
def small_batches(monkeypatch):
    """Let a batch have three samples of the model of this file."""
    monkeypatch.setattr("flwr_vdcs.probe._layout.BATCH_BYTES", 3 * SAMPLE_BYTES)


class Segmenting(nn.Module):
    """A class for each of 64 x 64 pixels."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Conv2d(1, width, 3, padding=1)
        self.mixer = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Conv2d(width, 5, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Classify by the neighbourhood."""
        return self.head(self.mixer(self.body(images).relu()).relu())


def images(num, size=64):
    """Draw images."""
    return torch.randn(num, 1, size, size, generator=torch.Generator().manual_seed(4))


def test_memory_is_counted_as_long_as_a_tensor_lives():
    """Two and one at a time; a view takes nothing."""
    with torch.no_grad(), LiveMemory() as memory:
        first = torch.ones(1000)
        second = first + 1
        second = second[:10].view(5, 2)
        del first
        _ = torch.zeros(500)
    assert memory.peak == 2 * 4000


def test_what_is_kept_for_later_counts():
    """A skip connection is there while its layers run."""

    class Skipping(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            kept = inputs + 1
            once = (kept + 1) + 1
            return torch.cat([kept, once])

    inputs = torch.ones(250)
    with LiveMemory() as memory:
        Skipping()(inputs)
    assert memory.peak == 1000 + 1000 + 2000


def test_a_model_that_cannot_be_watched_runs_in_one_batch():
    """What it takes is not known."""

    class Odd(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if torch.overrides._get_current_function_mode():
                raise RuntimeError("not while you look")
            return super().forward(inputs)

    layout = Probe(nn.Sequential(Odd(4, 3)), torch.ones(2, 4), None, CPU).layout
    assert layout.sample_bytes == 0
    assert layout.num_batches(torch.ones(10**6, 4)) == 1


@pytest.mark.parametrize("num_samples", [1, 2, 3, 7, 100])
def test_batches_are_equal_and_none_is_smaller_than_what_was_tried(num_samples):
    """Of at most five samples here, as 40 bytes are given to each."""
    layout = Probe(seeded(mlp), torch.ones(2, 3, 4), None, CPU).layout
    layout = replace(layout, sample_bytes=2**31 // 5)
    num_batches = layout.num_batches(torch.ones(num_samples, 3, 4))
    sizes = [len(each) for each in torch.ones(num_samples).tensor_split(num_batches)]
    assert max(sizes) <= 5
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(2, num_samples)


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_batches_change_nothing(small_batches, scoring):
    """Where no layer looks at more than one sample."""
    model = seeded(Segmenting)
    context = context_of(model, images(8, 16), tried=2)
    update = moved(context.global_state, 1)
    assert context.probe.layout.num_batches(context.samples) > 1
    look = paper_features if scoring == "paper" else lambda c, u: c.answers(u)
    found = look(context, update)
    context.probe.layout = replace(context.probe.layout, sample_bytes=0)
    assert_close(found, look(context, update))


def test_batch_normalisation_takes_the_statistics_of_each_batch(monkeypatch):
    """As the documentation says."""
    monkeypatch.setattr("flwr_vdcs.probe._layout.BATCH_BYTES", 1)
    model, samples = seeded(batch_norm_cnn), torch.randn(6, 1, 6, 6)
    state = dict(model.named_parameters())
    context = context_of(model, samples, state, tried=2)
    parts = [model.train()(part).detach() for part in samples.split(2)]
    assert_close(context.answers(state), torch.cat(parts))


def updates_of(model, num_clients=7, attackers=(1, 4)):
    """Let clients go one way, and attackers the other."""
    start = model.state_dict()
    step = moved(start, 9, 0.05)
    updates = [moved(step, client, 0.02) for client in range(num_clients)]
    for client in attackers:
        updates[client] = {n: 3 * start[n] - 2 * updates[client][n] for n in start}
    return start, updates


def examined(model, scoring):
    """Examine a round with two attackers."""
    start, updates = updates_of(model)
    return examine_round(
        model,
        start,
        updates,
        input_shape=(1, 64, 64),
        num_virtual_samples=12,
        num_malicious=2,
        scoring=scoring,
        seed=3,
    )


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_decisions_are_those_of_exact_features(monkeypatch, scoring):
    """Of 24,576 features and 20,480 answers; scores are off by less than 0.02."""
    projected = examined(seeded(Segmenting), scoring)
    for name in ("_reduction", "_layout"):
        monkeypatch.setattr(f"flwr_vdcs.probe.{name}.MAX_COORDINATES", ALL_AS_THEY_ARE)
    exact = examined(seeded(Segmenting), scoring)
    assert projected.num_features == exact.num_features == 6 * 64 * 64
    pairs = list(zip(projected.report.decisions, exact.report.decisions, strict=True))
    assert [own.verdict for own, _ in pairs] == [true.verdict for _, true in pairs]
    assert [own.client_id for own, _ in pairs if own.verdict == "dropped"] == ["1", "4"]
    error = max(abs(own.score - true.score) for own, true in pairs)
    assert error < (0.02 if scoring == "paper" else 0.5)


def test_projected_features_and_answers_are_short():
    """And keep their lengths, nearly."""
    model = seeded(Segmenting)
    context, update = context_of(model, images(3)), moved(model.state_dict(), 1)
    assert context.probe.layout.is_projected
    features, answers = paper_features(context, update), context.answers(update)
    assert features.shape == answers.shape == (3, NUM_BUCKETS)
    with torch.no_grad():
        exact = torch.func.functional_call(model, update, images(3)).flatten(1)
    assert_close(answers.norm(dim=1), exact.norm(dim=1), rtol=0.05, atol=0)


def test_the_logits_of_a_large_vocabulary_are_projected():
    """Their inner products are those of the logits, nearly."""
    model = seeded(lambda: nn.Sequential(nn.Embedding(9000, 4), nn.Linear(4, 9000)))
    tokens = torch.randint(9000, (4, 3), generator=torch.Generator().manual_seed(1))
    context = context_of(model, tokens)
    answers = context.global_answers
    exact = model(tokens).flatten(1).detach()
    cosines = torch.nn.functional.cosine_similarity
    assert answers.shape == (4, NUM_BUCKETS)
    for other in (1, 2, 3):
        own, true = (cosines(r[0], r[other], dim=0).item() for r in (answers, exact))
        assert own == pytest.approx(true, abs=0.05)


def test_all_of_a_round_are_projected_alike():
    """And anew in the next one."""
    model = seeded(Segmenting)
    update = moved(model.state_dict(), 1)
    first, again, other = (
        paper_features(context_of(model, images(2), seed=seed), update)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_overflow_of_projected_answers_has_an_effect():
    """They are huge, and not lost among each other."""
    model = seeded(Segmenting)
    context = context_of(model, images(2))
    huge = {name: torch.full_like(t, 1e15) for name, t in model.state_dict().items()}
    answers = context.answers(huge)
    assert answers.isfinite().all()
    assert answers.double().norm() > 1e29
    larger = {name: 1e10 * each for name, each in huge.items()}
    assert not paper_features(context, larger).isfinite().all(1).any()


def test_the_estimate_can_be_computed_by_hand():
    """Activations of eight samples, and features of three clients, twice."""
    layout = Probe(seeded(Segmenting), images(2, 16), None, CPU).layout
    samples = images(8, 16)
    kept = 3 * 8 * 6 * 16 * 16 * 4
    assert layout.num_bytes(samples, 3) == 8 * layout.sample_bytes + 2 * kept
    assert layout.sample_bytes == SAMPLE_BYTES


def test_a_strategy_warns_of_what_a_round_takes(flower_log, monkeypatch):
    """Once each: what is projected, and that there is not enough memory."""
    monkeypatch.setattr("flwr_vdcs.probe._layout.free_memory", lambda _device: 10)
    options = {"model": seeded(Segmenting), "input_shape": (1, 64, 64)}
    VirtualConsistencyStrategy(FedAvg(), num_virtual_samples=4, **options)
    assert flower_log.text.count("24,576 features and 20,480 answers") == 1
    assert flower_log.text.count("are free on cpu: rounds may be skipped") == 1


def test_a_small_model_is_no_reason_to_warn():
    """Nothing is said of it."""
    layout = Probe(seeded(mlp), torch.ones(2, 3, 4), None, CPU).layout
    assert not list(cautions(layout, torch.ones(100, 3, 4), CPU))


def test_batches_are_told(small_batches):
    """With what that means for batch normalisation."""
    layout = Probe(seeded(Segmenting), images(2, 16), None, CPU).layout
    assert any("batches" in each for each in cautions(layout, images(8, 16), CPU))


def test_want_of_memory_at_construction_is_a_warning():
    """It is no error, as it may be there later."""

    class Greedy(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if len(inputs) > 2:
                raise MemoryError
            return super().forward(inputs)

    examiner = Examiner(nn.Sequential(nn.Linear(4, 4), Greedy(4, 2)), input_shape=(4,))
    assert ["every round would be skipped" in each for each in examiner.cautions] == [
        True
    ]


def test_free_memory_is_what_linux_says(monkeypatch, tmp_path):
    """Elsewhere nothing is known."""
    file = tmp_path / "meminfo"
    monkeypatch.setattr("flwr_vdcs.probe._model.memory.MEMORY", file)
    assert free_memory(CPU) is None
    file.write_text("MemTotal: 9 kB\nMemAvailable:    3 kB\n")
    assert free_memory(CPU) == 3072
    assert free_memory(torch.device("meta")) is None
