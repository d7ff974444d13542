"""The plugin on a CUDA device: the same decisions as on the CPU, and nothing left."""

import copy

import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from torch import nn

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.probe import Probe, RoundContext
from tests.federation import (
    InProcessGrid,
    arrays_of,
    configured,
    content,
    honest_client,
    honest_update,
    record_of,
    reply,
    reversed_update,
    seeded,
)
from tests.models import CASES

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # cuBLAS wants to be told where its workspace is before it calls itself exact.
    pytest.mark.filterwarnings("ignore:.*CUBLAS_WORKSPACE_CONFIG:UserWarning"),
]

NUM_CLIENTS, NUM_MALICIOUS = 7, 2


def protected(case, model, device, **options):
    """Wrap averaging, told how many are malicious."""
    return VirtualConsistencyStrategy(
        FedAvg(),
        **{
            "model": model,
            "input_shape": case.input_shape,
            "virtual_samples": case.virtual_samples,
            "scoring": "paper",
            "num_malicious": NUM_MALICIOUS,
            "device": device,
            "seed": 0,
            **options,
        },
    )


def judged(strategy, model):
    """Give the report of a round in which the first clients send reversed updates."""
    start = arrays_of(copy.deepcopy(model).cpu())
    replies = [
        reply(
            node,
            content(
                (reversed_update if node < NUM_MALICIOUS else honest_update)(
                    start, node
                )
            ),
        )
        for node in range(NUM_CLIENTS)
    ]
    configured(strategy, start).aggregate_train(1, replies)
    return strategy.reports[-1]


@pytest.mark.parametrize("lives_on", ["cpu", "cuda"])
@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("name", CASES)
def test_cuda_decides_as_the_cpu_does(name, scoring, lives_on):
    """Scores differ by rounding alone (to TF32), wherever the user's model lives."""
    case = CASES[name]
    model = seeded(case.build)
    on_cpu = judged(protected(case, model, "cpu", scoring=scoring), model)
    model = model.to(lives_on)
    on_cuda = judged(protected(case, model, "cuda", scoring=scoring), model)
    assert next(model.parameters()).device.type == lives_on
    assert on_cuda.num_quarantined == 0
    assert [d.verdict for d in on_cuda.decisions] == [
        d.verdict for d in on_cpu.decisions
    ]
    assert [d.score for d in on_cuda.decisions] == pytest.approx(
        [d.score for d in on_cpu.decisions], abs=0.005
    )


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_a_model_of_cuda_can_be_scored_on_the_cpu(scoring):
    """The plugin's copy moves, the user's model stays."""
    case = CASES["batch-norm-cnn"]
    model = seeded(case.build)
    expected = judged(protected(case, model, "cpu", scoring=scoring), model)
    report = judged(protected(case, model.cuda(), "cpu", scoring=scoring), model)
    assert [d.score for d in report.decisions] == [d.score for d in expected.decisions]


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_scores_are_repeatable(scoring):
    """The same round has the same scores, bit by bit."""
    case = CASES["resnet18"]
    model = seeded(case.build)
    first, second = (
        judged(protected(case, model, "cuda", scoring=scoring), model) for _ in range(2)
    )
    assert [d.score for d in first.decisions] == [d.score for d in second.decisions]


def test_auto_takes_cuda():
    """Nobody needs to ask for it."""
    case = CASES["mlp"]
    report = judged(protected(case, seeded(case.build), "auto"), seeded(case.build))
    assert report.device.startswith("cuda")


def test_rounds_leave_neither_memory_nor_random_numbers_behind():
    """Training on the same device draws what it would have drawn, and has its room."""
    case = CASES["resnet18"]
    model = seeded(case.build)
    drawn = torch.cuda.get_rng_state()
    strategy = protected(case, model, "cuda", scoring="hardened")
    judged(strategy, model)
    held = torch.cuda.memory_allocated()
    for _ in range(3):
        judged(strategy, model)
    assert torch.cuda.memory_allocated() <= held + 2**20
    assert torch.equal(torch.cuda.get_rng_state(), drawn)


class Wide(nn.Module):
    """A model that needs far more memory for a hundred samples than for two."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, inputs):
        """Blow each sample up to 64 MiB."""
        wide = self.body(inputs)[:, None].expand(-1, 2**22, -1)
        return self.head((wide + 1).mean(1))


def test_a_device_without_memory_costs_rounds_and_blames_nobody():
    """The rounds are skipped, and scored again once there is memory."""
    strategy = VirtualConsistencyStrategy(
        FedAvg(),
        model=Wide(),
        input_shape=(4,),
        num_malicious=1,
        scoring="paper",
        device="cuda",
    )
    total = torch.cuda.mem_get_info()[1]
    nodes = {node: honest_client(node) for node in range(4)}

    def run() -> None:
        start = record_of(arrays_of(Wide()))
        strategy.start(InProcessGrid(nodes), start, num_rounds=1)

    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**30 / total)
    try:
        run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    run()
    without, with_memory = strategy.reports
    assert without.is_out_of_memory
    assert without.num_quarantined == with_memory.num_quarantined == 0
    assert not with_memory.skipped


def test_another_device_has_its_own_generator():
    """What is drawn there is alike for all, and nothing is left of it on this one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    drawn = torch.cuda.get_rng_state(0)
    case = CASES["mlp"]
    judged(protected(case, seeded(case.build), "cuda:1"), seeded(case.build))
    assert torch.equal(torch.cuda.get_rng_state(0), drawn)


def test_dropout_that_always_runs_is_drawn_alike_for_every_client():
    """The device's generator is seeded for each of them."""

    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(12, 16), nn.Linear(16, 4)

        def forward(self, inputs):
            return self.head(nn.functional.dropout(self.body(inputs)))

    model = seeded(Dropping)
    probe = Probe(model, torch.randn(2, 12), None, torch.device("cuda"))
    samples, state = probe.prepared(torch.randn(20, 12)), model.state_dict()
    context = RoundContext(probe, samples, 1, state)
    first, second = (context.answers(state) for _ in range(2))
    assert torch.equal(first, second)
