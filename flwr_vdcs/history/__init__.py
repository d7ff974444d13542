"""What outlives a round: momentum, replays, track records and reputation."""
