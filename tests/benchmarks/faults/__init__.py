"""Single faults in one process, and the examples that try many of them."""
