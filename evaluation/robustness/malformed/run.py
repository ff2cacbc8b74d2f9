"""Runs more than a hundred kinds of malformed input and checks the error that each raises.

    python -m evaluation malformed

Every case runs in a temporary folder. It must raise one of recae's own errors, and the message must
match the pattern of the case. The patterns were written from what a user needs to know. A command
must exit with a code other than 0 and without a traceback. A model that existed before must be
unchanged. Returns 1 if any case fails.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import recae
from evaluation.kit.provenance import keep
from evaluation.robustness.malformed.data import files, matrices, tables
from evaluation.robustness.malformed.models import commands, fits, loads, requests


def main(argv: Sequence[str] | None = None) -> int:
    """Runs every case and prints its error. Returns 1 if any case fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(argv)
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 15)) < 0.3) | (np.arange(15) == np.arange(40)[:, None] % 15)
    data = recae.Interactions.from_csr(sp.csr_matrix(dense.astype(float)))
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = Path(folder)
        groups = (tables(), matrices(), files(here), fits(data, here), requests(data, here))
        for cases in (*groups, loads(data, here), commands(here)):
            for group, what, call, words in cases:
                kind, message = outcome(call)
                good = kind in OURS and re.search(words, message) is not None
                failed += not good
                rows.append([group, what, kind, message.replace(folder, "")])
                print(f"{'' if good else 'WRONG '}{group} | {what} | {kind} | {rows[-1][3][:150]}")
        model = recae.load(here / "good model")
        unharmed = len(model.recommend(k=3, history=data)) and (here / "thesis").read_text()
    kinds = len({(group, what) for group, what, *_ in rows})
    print(f"\n{kinds} kinds, {failed} without a clear error of recae; existing files unchanged: ")
    print("yes" if unharmed else "no")
    print(f"kept in {keep('malformed', {'suite': 'malformed input', 'cases': rows})}")
    return 0 if not failed and unharmed and kinds >= 100 else 1


OURS = {
    name
    for name, value in vars(recae.errors).items()
    if isinstance(value, type) and issubclass(value, recae.RecaeError)
} | {"Said"}


def outcome(call: Callable[[], object]) -> tuple[str, str]:
    """The name of the error that a call raises, and its message in one line."""
    try:
        result = call()
    except Exception as error:
        return type(error).__name__, " ".join(str(error).split())
    return "nothing", repr(result)[:80]


if __name__ == "__main__":
    raise SystemExit(main())
