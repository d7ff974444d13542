"""Graphs: networks of torch-geometric, which take nodes and edges."""

from __future__ import annotations

from functools import partial

import torch
from torch import Generator, Tensor, nn

from compatibility.entry import Entry

KIND = "Graphs"
NUM_FEATURES, NUM_CLASSES = 8, 3
NUM_NODES = 5
"""Of each graph, where graphs are classified."""


def nodes_and_edges(generator: Generator, num_samples: int) -> tuple[Tensor, Tensor]:
    """Draw one graph, whose nodes are the samples, with two edges from each."""
    nodes = torch.randn((num_samples, NUM_FEATURES), generator=generator)
    ends = torch.randint(num_samples, (2, 2 * num_samples), generator=generator)
    return nodes, ends


def many_graphs(generator: Generator, num_samples: int) -> tuple[Tensor, ...]:
    """Draw one ring for each sample: nodes, edges, and each node's graph."""
    num_nodes = NUM_NODES * num_samples
    nodes = torch.randn((num_nodes, NUM_FEATURES), generator=generator)
    places = torch.arange(num_nodes)
    graph = places // NUM_NODES
    following = NUM_NODES * graph + (places + 1) % NUM_NODES
    return nodes, torch.stack([places, following]), graph


def entries() -> list[Entry]:
    """List networks for nodes and for graphs."""
    entry = partial(Entry, KIND, library="torch-geometric")
    return [
        entry(
            "GCN, classes of nodes",
            build=partial(_network, "GCN"),
            writes={"virtual_samples": nodes_and_edges},
        ),
        entry(
            "GraphSAGE, classes of nodes",
            build=partial(_network, "GraphSAGE"),
            writes={"virtual_samples": nodes_and_edges},
        ),
        entry(
            "GIN, classes of graphs",
            build=GraphClassifier,
            writes={"virtual_samples": many_graphs},
        ),
    ]


def _network(name: str) -> nn.Module:
    from torch_geometric.nn import models

    return getattr(models, name)(NUM_FEATURES, 16, 2, NUM_CLASSES)


class GraphClassifier(nn.Module):
    """A GIN, the mean over each graph's nodes, and a linear layer."""

    def __init__(self) -> None:
        from torch_geometric.nn.models import GIN

        super().__init__()
        self.body = GIN(NUM_FEATURES, 16, 2)
        self.head = nn.Linear(16, NUM_CLASSES)

    def forward(self, nodes: Tensor, edges: Tensor, graph: Tensor) -> Tensor:
        """Classify each graph."""
        from torch_geometric.nn import global_mean_pool

        return self.head(global_mean_pool(self.body(nodes, edges), graph))
