"""BLAS held to one thread around calls of `implicit`."""

from __future__ import annotations

import sys
import threading
from typing import Any

from threadpoolctl import ThreadpoolController


class _OneBlas:
    """BLAS on one thread inside the block: implicit has threads of its own and crawls otherwise.

    The number of threads is the whole process's: it is restored when the last thread that runs such
    a block leaves it, whoever entered first.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.limits: Any = None
        self.controller: ThreadpoolController | None = None
        self.modules = 0

    def _libraries(self) -> ThreadpoolController:
        """Those in memory. To look them up takes longer than to answer one user, so that it is done
        again only when something was imported."""
        if self.controller is None or self.modules != len(sys.modules):
            self.controller, self.modules = ThreadpoolController(), len(sys.modules)
        return self.controller

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limits = self._libraries().limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.limits.restore_original_limits()


ONE_BLAS = _OneBlas()
