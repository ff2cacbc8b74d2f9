"""The command line. It parses arguments; all work is done by the public functions of recae."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from recae.cli import (
    completion,
    datasets,
    evaluate,
    export,
    fit,
    map_command,
    recommend,
    report,
    tune,
)
from recae.cli.output import Output, versions
from recae.errors import (
    CapacityError,
    ConfigError,
    DataError,
    DownloadError,
    NotFittedError,
    RecaeError,
    RecaeWarning,
    StorageError,
    TrainingError,
)
from recae.system.machine import __version__

COMMANDS = {
    "fit": fit,
    "tune": tune,
    "evaluate": evaluate,
    "recommend": recommend,
    "export": export,
    "map": map_command,
    "report": report,
    "datasets": datasets,
    "completion": completion,
}

DESCRIPTION = """\
Recommender systems built on autoencoders: fit a model on a table of interactions, measure it,
recommend with it, export a top-k for everybody.

example, on a table with the columns user_id and item_id:
  recae evaluate plays.parquet --models popularity,ease,mult-vae
  recae fit plays.parquet model --model ease
  recae export model top.parquet --history plays.parquet -k 100

results go to stdout (as JSON with --json); notes, progress and warnings to stderr

exit codes: 0 done, 2 wrong usage or setting, 3 unusable data, 4 cannot write, 5 too little memory,
6 training failed, 7 cannot download, 1 anything else, 130 interrupted (a fit has saved its best)
"""

EXIT_CODES: dict[type[RecaeError], int] = {
    ConfigError: 2,
    NotFittedError: 2,
    DataError: 3,
    StorageError: 4,
    CapacityError: 5,
    TrainingError: 6,
    DownloadError: 7,
    RecaeError: 1,
}
"""What a script can tell mistakes apart by; the first kind that fits counts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; `argv` is `sys.argv[1:]` by default.

    Returns 0, the code of `EXIT_CODES` after a mistake that recae explains, or 130 after Ctrl-C; a
    wrong usage leaves through SystemExit with code 2, as argparse does.
    """
    output = Output()
    try:
        args = build_parser().parse_args(argv)
        asked = {name: getattr(args, name, False) for name in ("quiet", "verbose", "json")}
        output = Output(**asked)
        output.detail(versions())
        with _readable_warnings():
            args.run(args, output)
        sys.stdout.flush()
    except RecaeError as error:
        if output.verbose:
            traceback.print_exc()
        print(f"recae: error: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt as interruption:
        print(f"recae: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of `recae recommend ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of `recae` and its commands."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="recae", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"recae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        text = (module.__doc__ or "").strip()  # what --help says is what the source says
        command = commands.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=raw,
            conflict_handler="resolve",  # a command may bring a --help of its own
        )
        module.add_options(command)
        command.set_defaults(run=module.run, parser=parser)
    return parser


@contextmanager
def _readable_warnings() -> Iterator[None]:
    """Shows recae's own warnings as a line without file and source; all others as ever."""
    with warnings.catch_warnings():
        show_as_ever = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, RecaeWarning):
                print(f"recae: warning: {message}", file=sys.stderr)
            else:
                show_as_ever(message, category, *place, **more)

        warnings.simplefilter("always", RecaeWarning)
        warnings.showwarning = show
        yield
