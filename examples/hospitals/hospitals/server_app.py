"""Server: federated averaging that finds poisoned hospitals and can be restarted."""

from __future__ import annotations

import logging

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from flwr_vdcs import Reputation, VirtualConsistencyStrategy
from hospitals.data import INPUT_SHAPE, load_test
from hospitals.model import build_model
from hospitals.records import Records
from hospitals.training import test

RunConfig = dict[str, bool | float | int | str]

app = ServerApp()
logger = logging.getLogger("flwr")


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds; test and save the global model after each of them."""
    config = context.run_config
    records = Records.at(config["output"])
    logger.info("Model and audit log are written to %s", records.folder)
    net = build_model(config["model"], config["seed"])
    if config["initial-model"]:
        net.load_state_dict(torch.load(config["initial-model"], weights_only=True))
    test_images = load_test(batch_size=256, seed=config["seed"])

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = test(net, test_images)
        if server_round:
            records.save_model(net)
        records.add_round(server_round, accuracy, loss)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    result = build_strategy(config, net, records).start(
        grid=grid,
        initial_arrays=ArrayRecord(net.state_dict()),
        num_rounds=config["num-server-rounds"],
        timeout=config["round-timeout"],
        evaluate_fn=evaluate,
    )
    metrics = result.train_metrics_clientapp.values()
    if not any("train-loss" in each for each in metrics):
        raise RuntimeError(
            "no update was used in any round: look at the audit log, which says why, "
            "and at the SuperNodes' logs if nothing came"
        )


def build_strategy(config: RunConfig, net: nn.Module, records: Records) -> Strategy:
    """Build federated averaging over all hospitals that are online, and protect it."""
    average = FedAvg(
        fraction_evaluate=0.0,
        min_train_nodes=config["min-hospitals"],
        min_available_nodes=config["min-hospitals"],
    )
    if not config["plugin"]:
        return average
    strategy = VirtualConsistencyStrategy(
        average,
        model=net,
        input_shape=INPUT_SHAPE,
        scoring=config["scoring"],
        num_malicious=config["num-malicious"],
        audit_log=records.audit_log,
        reputation=build_reputation(config),
        state_path=records.state,
    )
    if config["pardon"]:
        strategy.pardon(config["pardon"])
    return strategy


def build_reputation(config: RunConfig) -> Reputation | None:
    """Build the rule of who is banned, or none if bans would last no round."""
    if not config["ban-rounds"]:
        return None
    return Reputation(false_bans=config["false-bans"], parole=config["ban-rounds"])
