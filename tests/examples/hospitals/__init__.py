"""Tests of ``examples/hospitals``: the app in process, in simulation and over TLS."""
