"""Labels: what a client is called in the log."""

from flwr_vdcs.records.labels import Labels
from flwr_vdcs.report import Decision


def called(*pairs):
    """Label clients, given by name and id, one after the other."""
    labels = Labels()
    return [labels.of(Decision(number, "kept", name=name)) for name, number in pairs]


def test_the_id_stands_beside_the_name_once():
    """Then the name is enough."""
    assert called(("north", "1"), ("north", "1"), ("", "7"), ("north", "1")) == [
        "north (1)",
        "north",
        "7",
        "north",
    ]


def test_two_nodes_of_one_name_are_told_apart():
    """The second one always has its id beside it."""
    found = called(("north", "1"), ("north", "2"), ("north", "2"), ("north", "1"))
    assert found == ["north (1)", "north (2)", "north (2)", "north"]


def test_nobody_writes_lines_of_its_own():
    """Neither by an id nor by a name."""
    for label in called(("a\nb", "1"), ("", "1\n2")):
        assert "\n" not in label
