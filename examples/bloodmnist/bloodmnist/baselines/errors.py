"""Errors of the baselines: what was given, what is allowed, what to do."""


class TooFewUpdatesError(ValueError):
    """A rule got fewer updates than its guarantee needs.

    Parameters
    ----------
    rule : str
        The rule's name.
    num_updates : int
        How many updates the round brought.
    num_needed : int
        How many the rule needs.
    num_malicious : int
        How many of them it has to resist.
    """

    def __init__(
        self, rule: str, num_updates: int, num_needed: int, num_malicious: int
    ) -> None:
        self.num_updates = num_updates
        self.num_needed = num_needed
        self.num_malicious = num_malicious
        super().__init__(
            f"{rule} needs at least {num_needed} updates to resist {num_malicious} "
            f"malicious ones, got {num_updates}. Lower `num_malicious` or sample more "
            f"clients per round."
        )


class UpdateMismatchError(ValueError):
    """An update has other arrays than the global model it started from."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"an update does not fit the global model: {problem}. Baselines expect "
            "well-formed replies; put VirtualConsistencyStrategy around them to "
            "quarantine others."
        )


def check_enough(
    rule: str, num_updates: int, num_needed: int, num_malicious: int
) -> None:
    """Raise the error if there are fewer updates than needed."""
    if num_updates < num_needed:
        raise TooFewUpdatesError(rule, num_updates, num_needed, num_malicious)
