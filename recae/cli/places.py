"""Where a command writes: checked before any work is done, so that nothing of a user is lost."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from recae.errors import StorageError
from recae.estimators.saved import CONFIG
from recae.system.files import (
    PICTURES,
    atomic_file,
    check_apart,
    check_target,
    check_writable,
    resolved,
)
from recae.system.machine import check_can_draw


def add_overwrite_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Declares --overwrite; what: the things that it may replace."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what} if there already")


def check_places(
    args: argparse.Namespace,
    *,
    files: Iterable[tuple[str | None, Sequence[str]]] = (),
    folders: Iterable[str | None] = (),
    inputs: Iterable[str | None] = (),
    replaced: str | None = None,
) -> None:
    """Raises the errors of `check_target` and `check_apart` for what a command would write, and
    ConfigError for a picture without matplotlib.

    files: paths and the endings of their formats; folders: those that may hold earlier results of
    the command, which checks them itself; inputs: what it reads; replaced: the folder of a model,
    which is written at the end. None is an option not given.
    """
    wanted = [(path, endings) for path, endings in files if path]
    written = [path for path, _ in wanted] + [path for path in folders if path]
    check_apart(written, [path for path in inputs if path])
    if replaced is not None:
        for path in written:
            if Path(replaced).resolve() in Path(path).resolve().parents:
                raise StorageError(
                    f"{path} lies in {replaced}, which the model replaces: name another place"
                )
    for path, endings in wanted:
        check_target(path, overwrite=args.overwrite, endings=endings)
        if Path(path).suffix.lower() in PICTURES:
            check_can_draw()


def check_model_place(out: str, overwrite: bool) -> None:
    """Raises StorageError, before the fit, for a folder that `save` would reject."""
    target = Path(out)
    if not target.exists():
        check_target(out, overwrite=False)
    elif not (target / CONFIG).is_file():
        raise StorageError(f"{out} exists and is not a model: name another place")
    elif not overwrite:
        raise StorageError(
            f"{out} exists: pass overwrite=True to replace it, or name another place"
        )
    else:
        check_writable(resolved(target).parent)


def write_frame(path: str, frame: pd.DataFrame, overwrite: bool) -> None:
    """Writes a frame as .csv or as Parquet, atomically. Raises StorageError."""
    with atomic_file(path, overwrite=overwrite) as part:
        if part.suffix.lower() == ".csv":
            frame.to_csv(part, index=False)
        else:
            frame.to_parquet(part, index=False, compression="zstd")
