"""The command line: it parses arguments and calls the public functions of recae.

Only the module of the command that is called is imported.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from recae.cli.output import Output, versions
from recae.cli.parser import Parser
from recae.cli.words import in_shell
from recae.errors import (
    ArgumentError,
    CapacityError,
    ConfigError,
    DataError,
    DownloadError,
    NotFittedError,
    RecaeError,
    RecaeWarning,
    StorageError,
    StoreError,
    TrainingError,
)
from recae.system.machine import __version__

COMMANDS = {
    "ingest": "Write a table of any size into a data folder, which all commands read at once.",
    "estimate": "Estimate time, memory and disk of a model on a table, before it is fitted.",
    "fit": "Fit a model on a table of interactions and save it.",
    "tune": "Search the settings of a model, then fit it with the best and save it.",
    "best": "Find a good model: tune a few, test each once, and save the best.",
    "evaluate": "Compare models on users that they have never seen.",
    "recommend": "Print the best items for known or new users.",
    "explain": "Print why items are recommended: what each item of a history adds to their scores.",
    "export": "Write the top k of every user to Parquet: a folder of parts, or one file.",
    "export-similar": "Write the items most similar to each item: a folder or a Parquet file.",
    "load-export": "Load an export into a database: DuckDB, PostgreSQL or Redis.",
    "compare-exports": "Compare two exports: overlap, rank correlation, coverage, and whose lists "
    "changed most.",
    "onnx": "Write a model as ONNX, to rank histories where recae and torch are not installed.",
    "map": "Draw the items or the users of a model as points in the plane, as a picture or a page.",
    "report": "Show saved results side by side: a table, paired tests, one HTML page.",
    "serve": "Answer recommendations over HTTP, from one model or several side by side.",
    "datasets": "List the data sets that recae knows by name, or show the card of one.",
    "doctor": "Examine the installation and the machine, and name a remedy for what is wrong.",
    "completion": "Print a script with which your shell completes commands, options and names.",
}
"""Each command and the first line of its module's docstring, which `recae --help` shows without
importing the module."""

MODULES = {
    "map": "map_command",
    "export": "exports.export",
    "export-similar": "exports.export_similar",
    "load-export": "exports.load_export",
    "compare-exports": "exports.compare_exports",
}  # the others are named like their command

DESCRIPTION = """\
Recommender systems built on autoencoders: fit a model on a table of interactions, measure it,
recommend with it, export a top-k for all users.

example, on a table with the columns user_id and item_id:
  recae evaluate plays.parquet --models popularity,ease,mult-vae
  recae fit plays.parquet model --model ease
  recae export model top.parquet --history plays.parquet -k 100

results go to stdout (as JSON with --json); notes, progress and warnings to stderr

exit codes: 0 done, 2 wrong usage or setting, 3 unusable data, 4 cannot write, 5 too little memory,
6 training failed, 7 cannot download, 8 a store of histories failed, 1 anything else
(and a problem that `recae doctor` finds),
130 interrupted (a fit has saved its best)
"""

EXIT_CODES: dict[type[RecaeError], int] = {
    ArgumentError: 2,
    ConfigError: 2,
    NotFittedError: 2,
    DataError: 3,
    StorageError: 4,
    StoreError: 8,
    CapacityError: 5,
    TrainingError: 6,
    DownloadError: 7,
    RecaeError: 1,
}
"""The exit code of each kind of error; the first kind that fits counts."""
FOREIGN: dict[type[Exception], int] = {MemoryError: 5, OSError: 4}
"""The same for errors of the system that no function of recae explains."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; `argv` is `sys.argv[1:]` by default.

    Returns 0, 1 if `recae doctor` finds a problem, the code of `EXIT_CODES` after a mistake that
    recae explains, or 130 after Ctrl-C; a wrong usage leaves through SystemExit with code 2, as
    argparse does. No mistake is a traceback: with --verbose it is shown too.
    """
    output, command, code = Output(), None, None
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["help"]:
        given = [*given[1:], "--help"]
    for stream in (sys.stdout, sys.stderr):  # names of files and titles may not be printable
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = build_parser(_needed(given)).parse_args(given)
        command = args.command
        asked = {name: getattr(args, name, False) for name in ("quiet", "verbose", "json")}
        output = Output(**asked) if _reports(command) else Output(quiet=True)
        output.detail(versions())
        with _readable_warnings(command):
            code = args.run(args, output)
        sys.stdout.flush()
    except RecaeError as error:
        if output.verbose:
            traceback.print_exc()
        print(f"recae: error: {in_shell(str(error), command)}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt as interruption:
        print(f"recae: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the pipe was closed, as by `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    except Exception as error:  # of the system, such as a full disk, or a fault of recae
        if output.verbose:
            traceback.print_exc()
        said = " ".join(str(error).split()) or "no message"
        more = "" if output.verbose else "; --verbose shows where"
        print(f"recae: error: {type(error).__name__}: {said}{more}", file=sys.stderr)
        return next((code for kind, code in FOREIGN.items() if isinstance(error, kind)), 1)
    return code or 0


def build_parser(needed: Collection[str] = tuple(COMMANDS)) -> Parser:
    """The parser of `recae` and its commands; those that are not needed have no options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="recae", description=DESCRIPTION, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"recae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        # A command may bring a --help of its own, which conflict_handler lets it.
        command = commands.add_parser(
            name, help=summary, formatter_class=raw, conflict_handler="resolve"
        )
        if name in needed:
            module = import_module(f"recae.cli.{MODULES.get(name, name)}")
            command.description = (module.__doc__ or "").strip()
            module.add_options(command)
            command.set_defaults(run=module.run, parser=parser, command=command)
    return parser


def _reports(command: argparse.ArgumentParser) -> bool:
    """Whether this process reports: of several that torchrun has started, the first.

    Raises ConfigError for a command that several processes cannot do together.
    """
    processes, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    if not rank or processes in ("", "0", "1"):
        return True
    if command.prog.split()[-1] != "fit":
        raise ConfigError(
            f"`{command.prog}` runs in one process, and torchrun has started {processes}: of all "
            "commands, only `recae fit` is for torchrun"
        )
    return rank == "0"


def _needed(given: Sequence[str]) -> Collection[str]:
    """The commands whose options the arguments may use: one, or all to complete them."""
    named = next((text for text in given if text in COMMANDS), "")
    return COMMANDS if named == "completion" else {named}


@contextmanager
def _readable_warnings(command: argparse.ArgumentParser) -> Iterator[None]:
    """Shows recae's warnings as one line without file and source; others are unchanged."""
    with warnings.catch_warnings():
        show_as_ever = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, RecaeWarning):
                print(f"recae: warning: {in_shell(str(message), command)}", file=sys.stderr)
            else:
                show_as_ever(message, category, *place, **more)

        warnings.simplefilter("always", RecaeWarning)
        warnings.showwarning = show
        yield
