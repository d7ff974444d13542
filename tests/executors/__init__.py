"""Where evidence is computed: the same numbers, wherever it is."""
