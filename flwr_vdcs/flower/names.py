"""Nodes to names: what whoever registered them has called them."""

from collections.abc import Collection, Mapping

from flwr.serverapp import Grid


def names_of(
    client_ids: Collection[str], grid: Grid, known: Mapping[str, str]
) -> Mapping[str, str]:
    """Name the clients of a round; the grid is asked only about new ones.

    Parameters
    ----------
    client_ids
        Whom to name.
    grid
        Flower's.
    known
        The names known so far; empty for nodes without one.
    """
    if all(client_id in known for client_id in client_ids):
        return known
    try:
        found = {
            str(node.node_id): getattr(node, "name", "") for node in grid.get_nodes()
        }
    except Exception:  # noqa: BLE001  # a name is not worth a round
        found = {}
    return {**known, **dict.fromkeys(client_ids, ""), **found}
