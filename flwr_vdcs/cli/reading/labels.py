"""Names to labels: what to call each client, so that no two are called the same."""

from collections import Counter
from collections.abc import Mapping


def labels_of(names: Mapping[str, str]) -> dict[str, str]:
    """Call clients by their names, and by their ids where they have none.

    Where several would be called the same, the id is added.

    Parameters
    ----------
    names
        By client id; empty where there is none.
    """
    labels = {client: printable(name or client) for client, name in names.items()}
    counts = Counter(labels.values())
    return {
        client: label if counts[label] == 1 else f"{label} ({printable(client)})"
        for client, label in labels.items()
    }


def printable(text: str) -> str:
    """Escape what would change how the text around it is shown."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
