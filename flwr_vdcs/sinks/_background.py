"""Work to a thread of its own, so that nobody waits for it."""

from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Handle items one after the other, in a thread that lives while there are any.

    Parameters
    ----------
    handle : callable
        Takes one item, in the thread. It should return soon once ``closing`` is set.
    capacity : int
        So many items wait at most; then the oldest gives way.
    """

    def __init__(self, handle: Callable[[T], object], capacity: int) -> None:
        self.closing = Event()
        self._handle = handle
        self._waiting: deque[T] = deque()
        self._capacity = capacity
        self._lock = Lock()
        self._thread: Thread | None = None

    def put(self, item: T) -> bool:
        """Add an item, and tell whether the oldest had to give way."""
        with self._lock:
            is_full = len(self._waiting) == self._capacity
            if is_full:
                self._waiting.popleft()
            self._waiting.append(item)
            self.closing.clear()
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, daemon=True)
                self._thread.start()
        return is_full

    def close(self, seconds: float) -> int:
        """Wait so long for what is left, and tell how much is not done then."""
        self.closing.set()
        if (thread := self._thread) is None:
            return 0
        thread.join(seconds)
        with self._lock:
            num_waiting = len(self._waiting)
            self._waiting.clear()
            return num_waiting + (self._thread is not None)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._handle(item)

    def _next(self) -> T | None:
        """Take the oldest item; without one, end the thread."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None
