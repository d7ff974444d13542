"""The memory of clients: bounded, however many come and go."""

from flwr_vdcs.history._last_clients import MAX_CLIENTS, LastClients


def test_those_noted_longest_ago_are_forgotten():
    """Whoever is noted again counts as new."""
    memory: LastClients[int] = LastClients()
    memory.note("old", 0)
    memory.note("active", 0)
    for number in range(MAX_CLIENTS):
        memory.note(f"{number}", number)
        memory.note("active", number)
    assert len(memory) == MAX_CLIENTS
    assert memory.keys().isdisjoint({"old", "0"})
    assert [*memory][-2:] == [f"{MAX_CLIENTS - 1}", "active"]
    assert memory["1"] == 1
    assert memory["active"] == MAX_CLIENTS - 1
