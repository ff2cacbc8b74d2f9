"""Processes of Python modules that start in an instant."""

from __future__ import annotations

import inspect
import os
import runpy
import subprocess
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
import torch


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of Python modules are forks of this one."""
    monkeypatch.setattr(subprocess, "Popen", Forked)


class Forked(subprocess.Popen):
    """Runs `python -m module ...` in a fork of this process, which has imported torch already.

    To import it takes seconds. Streams, the environment and the exit code are those of a process.
    """

    def _execute_child(self, *given: Any) -> None:
        call = inspect.signature(super()._execute_child).bind(*given).arguments
        command = [str(word) for word in call["args"]]
        if command[:2] != [sys.executable, "-m"]:
            return super()._execute_child(*given)
        streams = [call["p2cread"], call["c2pwrite"], call["errwrite"]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads; the child needs none
            self.pid = os.fork()
        if not self.pid:
            become(command[2:], call["env"], streams)
        self._child_created = True
        ours = [call["p2cwrite"], call["c2pread"], call["errread"]]
        for theirs in {theirs for theirs, other in zip(streams, ours, strict=True) if other != -1}:
            os.close(theirs)
        return None


def become(words: Sequence[str], environment: Any, streams: Sequence[int]) -> NoReturn:
    """Goes on as `python -m words`, and ends."""
    code: Any = 1
    try:
        for number, stream in enumerate(streams):
            if stream not in (-1, number):
                os.dup2(stream, number)
        os.closerange(3, 4096)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
        if environment is not None:
            os.environ.clear()
            os.environ.update(environment)
        torch.set_num_threads(1)
        warnings.resetwarnings()
        sys.argv = list(words)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as left:
        code = left.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
