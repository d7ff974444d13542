"""Run a module as a program that ends with the process that started it.

``python -m bloodmnist.leash MODULE ARGUMENT …`` with a pipe as its standard input:
the pipe closes when the process at its other end is gone, however it went, and then
this process ends too. A grid that is killed leaves no run behind.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def end_with_parent() -> None:
    """Wait for the end of standard input, then end at once."""
    # Not sys.stdin.read(): it would hold a lock that a normal exit needs.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
