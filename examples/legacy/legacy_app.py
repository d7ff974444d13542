"""A check for poisoned clients in an app of Flower's legacy API: digits and an MLP."""

import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from flwr_vdcs import VirtualConsistencyStrategy

Arrays = list[np.ndarray]
PIXELS, LABELS = map(torch.tensor, load_digits(return_X_y=True))
IMAGES, NUM_TEST = PIXELS.float() / 16, 297


def build_model() -> nn.Module:
    """Build a perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def load_model(arrays: Arrays) -> nn.Module:
    """Build the perceptron with the given arrays."""
    model = build_model()
    values = zip(model.state_dict(), map(torch.tensor, arrays), strict=True)
    model.load_state_dict(dict(values))
    return model


class DigitsClient(NumPyClient):
    """Trains on its share of the digits; the configured partition sends noise."""

    def __init__(self, context: Context) -> None:
        node, self.partition = context.node_config, context.node_config["partition-id"]
        self.poisoned = self.partition == context.run_config["poisoned-partition"]
        share = slice(NUM_TEST + self.partition, None, node["num-partitions"])
        self.images, self.labels = IMAGES[share], LABELS[share]

    def fit(self, parameters: Arrays, config: dict) -> tuple[Arrays, int, dict]:
        """Take 20 steps over all images, or send 10 (w' - w), Eqs. 11 and 12."""
        if self.poisoned:
            normal = np.random.default_rng(self.partition).standard_normal
            noise = [10 * (normal(w.shape, w.dtype) - w) for w in parameters]
            return noise, len(self.labels), {}
        model = load_model(parameters)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(model(self.images), self.labels).backward()
            optimizer.step()
        return [w.numpy() for w in model.state_dict().values()], len(self.labels), {}


def evaluate(_server_round: int, arrays: Arrays, _config: dict) -> tuple[float, dict]:
    """Return loss and accuracy of the global model on the held-out digits."""
    logits, labels = load_model(arrays)(IMAGES[:NUM_TEST]), LABELS[:NUM_TEST]
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    return cross_entropy(logits, labels).item(), {"accuracy": accuracy}


def server_fn(context: Context) -> ServerAppComponents:
    """Let the check for poisoned clients stand before federated averaging."""
    config, model = context.run_config, build_model()
    initial = ndarrays_to_parameters([w.numpy() for w in model.state_dict().values()])
    strategy = VirtualConsistencyStrategy(
        FedAvg(initial_parameters=initial, evaluate_fn=evaluate, fraction_evaluate=0.0),
        model=model,
        input_shape=(64,),
        audit_log=config["audit-log"] or None,
    )
    rounds = ServerConfig(num_rounds=config["num-server-rounds"])
    return ServerAppComponents(strategy=strategy, config=rounds)


client_app = ClientApp(client_fn=lambda context: DigitsClient(context).to_client())
server_app = ServerApp(server_fn=server_fn)
