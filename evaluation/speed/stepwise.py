"""Runs a model's own `fit` one epoch at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from recae.training import Epoch


class Stepwise:
    """Runs a training in its own thread, which waits after every epoch.

    fit: trains until the callback that it gets returns True. The epochs are those of `fit`, with
    the seconds that it measures.
    """

    def __init__(self, fit: Callable[[Callable[[Epoch], bool]], Any]) -> None:
        self._fit, self._thread = fit, threading.Thread(target=self._run, daemon=True)
        self._may_go_on = threading.Semaphore(0)
        self._found: queue.Queue[Epoch | BaseException] = queue.Queue()
        self._stopped = False

    def epoch(self) -> Epoch:
        """Runs the next epoch. Raises any exception of the training."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._may_go_on.release()
        found = self._found.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Ends the training after the epoch it has just done."""
        self._stopped = True
        self._may_go_on.release()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._fit(self._after)
            self._found.put(StopIteration("the training has ended"))
        except BaseException as error:
            self._found.put(error)

    def _after(self, epoch: Epoch) -> bool:
        self._found.put(epoch)
        self._may_go_on.acquire()
        return self._stopped
