"""Six sites that train models of their own, of which a part travels; one attacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from flwr.app import ArrayRecord, Error, RecordDict
from flwr.serverapp.strategy import FedAvg
from torch import Tensor, nn

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import InProcessGrid, content, seeded

State = dict[str, Tensor]
Take = Callable[[nn.Module], State]
Put = Callable[[nn.Module, State], object]

NUM_SITES, NUM_ROUNDS, NUM_STEPS = 6, 2, 5
ATTACKER = NUM_SITES


@dataclass
class Site:
    """A client with a model; what does not travel is its own.

    Attributes
    ----------
    node
        Its id, which says which data it has.
    model
        What it trains, to tell positive inputs.
    take, put
        What it sends of the model, and how it writes what it was sent.
    draw
        Gives inputs and labels.
    """

    node: int
    model: nn.Module
    take: Take
    put: Put
    draw: Callable[[torch.Generator], tuple[Any, Tensor]]

    def __call__(self, body: RecordDict, _message_type: str) -> RecordDict | Error:
        """Train on what was sent; the attacker turns its update around."""
        sent = body["arrays"].to_torch_state_dict()
        self.put(self.model, sent)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        start = [parameter.detach().clone() for parameter in trained]
        self._train(trained)
        if self.node == ATTACKER:
            for parameter, begin in zip(trained, start, strict=True):
                parameter.data = begin - 20 * (parameter.data - begin)
        taken = self.take(self.model).items()
        return content({key: array.numpy().copy() for key, array in taken})

    def _train(self, trained: list[nn.Parameter]) -> None:
        generator = torch.Generator().manual_seed(self.node)
        optimizer = torch.optim.SGD(trained, lr=0.1)
        self.model.train()
        for _ in range(NUM_STEPS):
            inputs, labels = self.draw(generator)
            optimizer.zero_grad()
            answers = self.model(**inputs) if isinstance(inputs, dict) else None
            logits = self.model(inputs) if answers is None else answers.logits
            nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()


def images(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw images, and whether their middle is bright."""
    inputs = torch.randn((32, 1, 8, 8), generator=generator)
    return inputs, (inputs[:, 0, 2:6, 2:6].mean((1, 2)) > 0).long()


@dataclass
class Played:
    """What came of it: the strategy, the last arrays, and the sites."""

    strategy: Any
    arrays: State
    initial: State
    sites: list[Site]

    def honest(self) -> list[Site]:
        """Give all sites but the attacker."""
        return self.sites[:-1]


def play(
    build: Callable[[], nn.Module],
    take: Take,
    put: Put,
    draw: Callable[[torch.Generator], tuple[Any, Tensor]] = images,
    **arguments: Any,
) -> Played:
    """Play two rounds of FedAvg with the plugin's defaults."""
    model = seeded(build)
    initial = {key: array.clone() for key, array in take(model).items()}
    before = {key: array.clone() for key, array in model.state_dict().items()}
    sites = [
        Site(node, seeded(build), take, put, draw) for node in range(1, NUM_SITES + 1)
    ]
    strategy: Any = VirtualConsistencyStrategy(
        FedAvg(fraction_evaluate=0.0), model=model, seed=0, **arguments
    )
    grid = InProcessGrid({site.node: site for site in sites})
    result = strategy.start(grid, ArrayRecord(initial), num_rounds=NUM_ROUNDS)
    assert_equal(model.state_dict(), before)
    return Played(strategy, result.arrays.to_torch_state_dict(), initial, sites)


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Hold arrays to be the same, bit for bit."""
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def assert_only_the_attacker_is_stopped(played: Played) -> None:
    """Each round keeps the honest sites, and drops the attacker or clips its update."""
    assert len(played.strategy.reports) == NUM_ROUNDS
    for report in played.strategy.reports:
        *honest, attacker = report.decisions
        assert [decision.verdict for decision in honest] == ["kept"] * 5
        assert attacker.verdict == "dropped" or "clipped" in attacker.reason


def assert_the_model_goes_with_the_honest(played: Played) -> None:
    """Hold what was aggregated to have moved the way of the honest sites."""
    moved = [
        (array - played.initial[key]).flatten().double()
        for key, array in played.arrays.items()
        if array.is_floating_point()
    ]
    of_honest = [
        sum(
            site.take(site.model)[key] - played.initial[key] for site in played.honest()
        )
        for key, array in played.arrays.items()
        if array.is_floating_point()
    ]
    wanted = torch.cat([torch.as_tensor(each).flatten().double() for each in of_honest])
    assert torch.cosine_similarity(torch.cat(moved), wanted, dim=0) > 0.8
