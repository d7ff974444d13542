"""A wrapper's attributes: its own, and all others of the strategy in it."""

from typing import Any


class Forwarding:
    """Read from the wrapped strategy, and write to it, what the wrapper does not have.

    The wrapper's own are what its class has, what was set during construction, and
    private names that the wrapped strategy does not have.
    """

    strategy: Any
    _is_constructed: bool

    def __getattr__(self, name: str) -> Any:
        """Look up what the wrapper does not have in the wrapped strategy."""
        if name.startswith("__") or "strategy" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return getattr(self.strategy, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what is not the wrapper's own in the wrapped strategy."""
        if self._owns(name):
            super().__setattr__(name, value)
        else:
            setattr(self.strategy, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete what is not the wrapper's own from the wrapped strategy."""
        if self._owns(name):
            super().__delattr__(name)
        else:
            delattr(self.strategy, name)

    def __dir__(self) -> list[str]:
        """List both."""
        return sorted({*super().__dir__(), *dir(vars(self).get("strategy"))})

    def _owns(self, name: str) -> bool:
        own = vars(self)
        if name in own or hasattr(type(self), name) or "_is_constructed" not in own:
            return True
        return name.startswith("_") and not hasattr(self.strategy, name)
