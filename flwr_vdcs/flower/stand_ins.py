"""A strategy's own loop, with other methods than its own in it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Methods = Mapping[str, Callable[..., Any]]


class StandIns:
    """Let methods stand in for a strategy's own while its loop runs.

    They are set on the instance, not on its class: so an overridden loop finds them,
    ``super()`` in it finds what it always did, and other instances know nothing of it.
    """

    def __init__(self) -> None:
        self._strategy: object = None
        self._own: dict[str, Any] = {}
        self._methods: Methods = {}

    @contextmanager
    def on(self, strategy: object, methods: Methods) -> Iterator[None]:
        """Put the methods in place of a strategy's, until its loop has ended."""
        self._strategy = strategy
        self._put(methods)
        try:
            yield
        finally:
            self._take_out()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Give the strategy its own methods back while one of them runs.

        They may call each other, and are to find what they find without the loop.
        """
        methods = self._methods
        self._take_out()
        try:
            yield
        finally:
            self._put(methods)

    def _put(self, methods: Methods) -> None:
        if not methods:
            return
        attributes = vars(self._strategy)
        self._own = {name: attributes[name] for name in methods if name in attributes}
        attributes.update(methods)
        self._methods = methods

    def _take_out(self) -> None:
        if not self._methods:
            return
        attributes = vars(self._strategy)
        for name in self._methods:
            attributes.pop(name, None)
        attributes.update(self._own)
        self._methods, self._own = {}, {}
