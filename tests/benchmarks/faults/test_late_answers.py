"""Answers that come late, twice or in another's name, through Flower's own link."""

from itertools import count

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import FedAvg

from tests.benchmarks.faults.plugin import START
from tests.benchmarks.faults.plugin import protected as around
from tests.federation import (
    configured,
    content,
    honest_client,
    honest_update,
    record_of,
    reply,
)

linkstate = pytest.importorskip("flwr.server.superlink.linkstate")
inmemory = pytest.importorskip("flwr.superlink.grid.inmemory_grid")
federations = pytest.importorskip("flwr.superlink.federation")
stores = pytest.importorskip("flwr.supercore.object_store")
identity = pytest.importorskip("flwr.supercore.task_identity")
constant = pytest.importorskip("flwr.supercore.constant")

NUM_CLIENTS = 5
HEARTBEAT = 30.0
TIMEOUT = 0.5


class Link(inmemory.InMemoryGrid):
    """Flower's grid over its link in memory, whose nodes answer as they are pulled."""

    def __init__(self, factory, run_id):
        super().__init__(factory, pull_interval=0.01)
        self.set_run(self.state.get_run_info(run_ids=[run_id])[0])
        self.ids = count()
        self.nodes = [
            self.state.create_node("owner", "owner", bytes([number]), HEARTBEAT)
            for number in range(NUM_CLIENTS)
        ]
        for node in self.nodes:
            self.state.activate_node(node, HEARTBEAT)
        self.late = {}
        self.accepted = []

    def pull_messages(self, message_ids):
        """Let every node answer, but the first one its first message to train."""
        for place, node in enumerate(self.nodes):
            for message in self.state.get_message_ins(node, None):
                answer = honest_client(place)
                body = answer(message.content, message.metadata.message_type)
                if place == 0 and not self.late:
                    self.late = {"reply": self.reply(message, body)}
                else:
                    self.accepted.append(self.send(self.reply(message, body)))
        return super().pull_messages(message_ids)

    def reply(self, message, body):
        """Make a reply as a node's own process does."""
        reply = Message(body, reply_to=message)
        reply.metadata.__dict__["_message_id"] = f"reply-{next(self.ids)}"
        return reply

    def send(self, reply):
        """Push a reply; the link gives its id back if it takes it."""
        return self.state.store_message_res(reply)


@pytest.fixture
def link():
    """Build Flower's link for a run of five nodes."""
    database = constant.FLWR_IN_MEMORY_DB_NAME
    try:
        factory = linkstate.LinkStateFactory(
            database,
            federations.NoOpFederationManager(),
            stores.ObjectStoreFactory(database),
        )
        run_id = factory.state().create_run(
            "", "", "", {}, constant.NOOP_FEDERATION_ID, None, None, "serverapp"
        )
    except (AttributeError, TypeError):
        pytest.skip("this version of Flower builds its link in another way")
    before = identity.TaskIdentity.run_id
    identity.TaskIdentity.run_id = run_id
    yield Link(factory, run_id)
    identity.TaskIdentity.run_id = before


def protected(num_malicious=1):
    """Put the plugin around FedAvg, which is not to evaluate."""
    inner = FedAvg(fraction_evaluate=0.0, min_evaluate_nodes=0)
    return around(inner, num_malicious=num_malicious)


def test_a_late_answer_is_in_no_round(link):
    """Flower asks for replies by the round's message ids, so it never comes up."""
    strategy = protected()
    late = []

    def send_late(server_round, _arrays):
        if server_round == 1:
            late.append(link.send(link.late["reply"]))

    strategy.start(
        link, record_of(START), num_rounds=2, timeout=TIMEOUT, evaluate_fn=send_late
    )
    first, second = (
        [decision.client_id for decision in report.decisions]
        for report in strategy.reports
    )
    slow, *others = map(str, link.nodes)
    assert sorted(first) == sorted(others)
    assert sorted(second) == sorted([slow, *others])
    assert late != [None], "the link took the late reply"


def test_a_second_answer_is_refused_by_the_link(link):
    """A node that answers the same message again is not heard."""
    link.late = {"reply": None}
    message_id = next(iter(link.push_messages([asking(link.nodes[0])])))
    [message] = link.state.get_message_ins(link.nodes[0], None)
    first, second = (link.reply(message, content(START)) for _ in range(2))
    assert link.send(first) is not None
    assert link.send(second) is None
    assert [r.metadata.message_id for r in link.pull_messages([message_id])] == [
        first.metadata.message_id
    ]


def test_nobody_answers_in_anothers_name(link):
    """The link compares a reply's source with the destination of the message."""
    link.push_messages([asking(link.nodes[0])])
    [message] = link.state.get_message_ins(link.nodes[0], None)
    reply = link.reply(message, content(START))
    reply.metadata.__dict__["_src_node_id"] = link.nodes[1]
    assert link.send(reply) is None


def asking(node):
    """Make a message to train."""
    return Message(content(START), dst_node_id=node, message_type="train")


def test_an_update_of_an_earlier_model_is_not_recognised_as_such():
    """Nothing in an update says which model it started from: this one is only judged.

    The client was slow and answers the new message with what it trained from the old
    model. The arrays are new to the server, so this is no replay.
    """
    strategy = protected(num_malicious=0)
    grid_arrays = {k: np.asarray(v + 1, v.dtype) for k, v in START.items()}
    late = content(honest_update(START, 0))
    replies = [late, *(content(honest_update(grid_arrays, n)) for n in range(1, 5))]
    decisions = decide(strategy, record_of(grid_arrays), replies)
    assert [decision.verdict for decision in decisions] == ["kept"] * 5
    assert decisions[0].score == min(decision.score for decision in decisions)


def decide(strategy, arrays: ArrayRecord, bodies):
    """Let the strategy judge one round."""
    configured(strategy, {key: array.numpy() for key, array in arrays.items()})
    replies = [reply(node, body) for node, body in enumerate(bodies, start=1)]
    strategy.aggregate_train(1, replies)
    return strategy.reports[-1].decisions
