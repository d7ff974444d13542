"""A federation and a rule to what happens in each round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from bloodmnist.model import State
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg, Strategy
from numpy.random import default_rng
from replies import make_reply
from torch import Tensor

from federations.attacking import choose_liars, look
from federations.campaigns import (
    Campaign,
    Scene,
    Trigger,
    find_campaign,
    success_rate,
)
from federations.federation import Federation
from flwr_vdcs import RoundReport, VirtualConsistencyStrategy

MakeStrategy = Callable[["Simulation"], Strategy]
"""From what is simulated to the strategy of its server."""


@dataclass(frozen=True)
class Played:
    """What happened in a round.

    Attributes
    ----------
    server_round
        Its number.
    metric
        Of the model after it.
    damage
        Distance of the aggregate from that of the honest, in lengths of the latter.
    present
        Who took part.
    report
        The plugin's, if there was one.
    success
        The share of test images of other classes that the model takes for the target
        with the attackers' trigger of this round on them; NaN without a trigger.
    """

    server_round: int
    metric: float
    damage: float
    present: tuple[int, ...]
    report: RoundReport | None
    success: float


class Simulation:
    """A federation with its liars, run with one strategy after the other.

    Parameters
    ----------
    federation, seed, attack, who
        What runs.
    device
        Where hospitals train and the plugin scores.
    """

    def __init__(
        self,
        federation: Federation,
        seed: int,
        attack: str = "none",
        who: str = "",
        device: str = "cpu",
    ) -> None:
        self.federation, self.seed, self.device = federation, seed, device
        hospitals, test = federation.hospitals(default_rng(seed))
        self.hospitals = [samples.to(device) for samples in hospitals]
        self.test = test.to(device)
        self.sizes = [len(samples) for samples in self.hospitals]
        self.liars = choose_liars(who if attack != "none" else "nobody", self.sizes)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = federation.build().to(device)
        self.parameter_names = tuple(n for n, _ in self.model.named_parameters())
        self._begin_campaign = find_campaign(
            attack, Scene(federation, self.hospitals, self.liars, self.model, seed)
        )
        self._begin = self._state()

    def play(
        self, make_strategy: MakeStrategy, *, without_liars: bool = False
    ) -> Iterator[Played]:
        """Train from the start, round by round.

        Parameters
        ----------
        make_strategy
            The strategy of the server.
        without_liars
            Whether only the honest hospitals take part.
        """
        strategy = make_strategy(self)
        campaign, state = self._begin_campaign(), dict(self._begin)
        for server_round in range(1, self.federation.rounds + 1):
            present = self._present(server_round, without_liars=without_liars)
            campaign.begin_round(server_round, state, present)
            sent = self._answers(campaign, state, server_round, present)
            strategy.configure_train(
                server_round, ArrayRecord(state), ConfigRecord(), None
            )
            replies = [
                make_reply(place, ArrayRecord(answer), len(self.hospitals[place]))
                for place, answer in sent.items()
            ]
            arrays, _ = strategy.aggregate_train(server_round, replies)
            after = arrays.to_torch_state_dict() if arrays is not None else state
            damage = self._damage(state, after, sent)
            state = after
            reports = getattr(strategy, "reports", None)
            yield Played(
                server_round,
                self.measure(state),
                damage,
                present,
                reports[-1] if reports else None,
                self._success(state, campaign.trigger),
            )

    @torch.no_grad()
    def measure(self, state: Mapping[str, Tensor]) -> float:
        """Compute the metric of a model on the test data."""
        self._load(state)
        answers = torch.cat([self.model(some) for some in self.test.inputs.split(256)])
        return self.federation.task.metric(answers.cpu(), self.test.labels.cpu())

    def _success(self, state: Mapping[str, Tensor], trigger: Trigger | None) -> float:
        if trigger is None:
            return float("nan")
        self._load(state)
        return success_rate(self.model, trigger, self.test)

    def _load(self, state: Mapping[str, Tensor]) -> None:
        """Take a state for use, not for training."""
        self.model.load_state_dict(dict(state))
        self.model.eval()

    def _present(self, server_round: int, *, without_liars: bool) -> tuple[int, ...]:
        """Draw who takes part: at least three, the same with every strategy."""
        rng = default_rng([self.seed, server_round])
        everybody = range(len(self.hospitals))
        drawn = [p for p in everybody if rng.random() < self.federation.presence]
        some = drawn if len(drawn) >= min(3, len(self.hospitals)) else everybody
        return tuple(p for p in some if not without_liars or p not in self.liars)

    def _answers(
        self,
        campaign: Campaign,
        state: State,
        server_round: int,
        present: Sequence[int],
    ) -> dict[int, State]:
        """Let everybody train, then let the liars see what the others did."""
        trained = {
            place: self._train(campaign, state, server_round, place)
            for place in present
        }
        honest = [trained[p] for p in present if p not in self.liars]
        lying = [p for p in present if p in self.liars]

        def answer(place: int) -> State:
            if place not in self.liars:
                return trained[place]
            seeds = (1_000_003 * (self.seed + 1) + 101 * server_round, place)
            return campaign.send(
                look(
                    trained[place],
                    state,
                    self.parameter_names,
                    lambda: honest or [trained[place]],
                    (len(present), len(lying)),
                    (seeds[0] + place + 1, seeds[0]),
                )
            )

        return {place: answer(place) for place in present}

    def _train(
        self, campaign: Campaign, state: State, server_round: int, place: int
    ) -> State:
        """Train at one hospital, alike whatever the others do."""
        lies = place in self.liars
        samples = campaign.samples(place) if lies else self.hospitals[place]
        masks = campaign.gradient_masks() if lies else {}
        generator = torch.Generator().manual_seed(
            (self.seed * 1009 + server_round) * 1009 + place
        )
        if self._is_idle(place, generator):
            return {name: value.clone() for name, value in state.items()}
        self.model.load_state_dict(state)
        self.model.train()
        kind = torch.optim.Adam if self.federation.is_adaptive else torch.optim.SGD
        optimizer = kind(self.model.parameters(), lr=self.federation.learning_rate)
        for rows in self._batches(place, generator):
            some = samples[rows]
            optimizer.zero_grad()
            self.federation.task.loss(self.model(some.inputs), some.labels).backward()
            self._mask_gradients(masks)
            optimizer.step()
        return self._state()

    def _state(self) -> State:
        """Copy what the model holds, as a hospital sends it."""
        return {
            name: value.detach().cpu().clone()
            for name, value in self.model.state_dict().items()
        }

    def _mask_gradients(self, masks: State) -> None:
        for name, mask in masks.items():
            gradient = self.model.get_parameter(name).grad
            if gradient is not None:
                gradient.mul_(mask.to(gradient.device))

    def _is_idle(self, place: int, generator: torch.Generator) -> bool:
        drawn = torch.rand((), generator=generator).item()
        is_smallest = self.sizes[place] == min(self.sizes)
        return is_smallest and drawn < self.federation.idle

    def _batches(self, place: int, generator: torch.Generator) -> list[Tensor]:
        """Draw the rows of each local step."""
        federation, size = self.federation, self.sizes[place]
        rate = federation.half_trained
        share = 0.5 if rate and place % rate == rate - 1 else 1.0
        steps_an_epoch = -(-size // federation.batch_size)
        steps = federation.local_steps or federation.local_epochs * steps_an_epoch
        wanted = max(1, round(share * steps))
        batches: list[Tensor] = []
        while len(batches) < wanted:
            order = torch.randperm(size, generator=generator)
            batches += order.split(federation.batch_size)
        return batches[:wanted]

    def _damage(
        self, start: State, after: Mapping[str, Tensor], sent: Mapping[int, State]
    ) -> float:
        honest = [p for p in sent if p not in self.liars]
        if not honest:
            return float("nan")
        total = sum(self.sizes[p] for p in honest)
        wanted = {
            name: sum(
                (sent[p][name].double() - start[name]) * (self.sizes[p] / total)
                for p in honest
            )
            for name in self.parameter_names
        }
        away = sum(
            float((after[n].double() - start[n] - wanted[n]).square().sum())
            for n in wanted
        )
        length = sum(float(delta.square().sum()) for delta in wanted.values())
        return float((away / max(length, 1e-30)) ** 0.5)


def plain(_: Simulation) -> Strategy:
    """Average, without the plugin."""
    return FedAvg(fraction_train=0.0)


def hardened(*, is_told: bool) -> MakeStrategy:
    """Put the plugin in front, told how many lie or not."""

    def make(simulation: Simulation) -> Strategy:
        wrapped: Any = VirtualConsistencyStrategy(
            FedAvg(fraction_train=0.0),
            model=simulation.model,
            input_shape=simulation.federation.input_shape,
            num_malicious=len(simulation.liars) if is_told else "auto",
            virtual_samples=simulation.federation.virtual_samples,
            seed=simulation.seed,
            device=simulation.device,
        )
        return wrapped

    return make
