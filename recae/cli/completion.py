"""Print a script with which your shell completes commands, options and names.

examples:
  recae completion bash > ~/.local/share/bash-completion/completions/recae
  recae completion zsh > ~/.zfunc/_recae
  recae completion tcsh > ~/.recae.tcsh
"""

from __future__ import annotations

import argparse

from recae.cli.output import Output
from recae.cli.parser import options_of
from recae.data import dataset_names
from recae.errors import ConfigError
from recae.models import MODELS

SHELLS = ("bash", "zsh", "tcsh")
DIRECTORIES, FILES = ("MODEL", "FOLDER"), ("DATA", "FILE", "OUT")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of `recae completion`."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or tcsh")


def run(args: argparse.Namespace, output: Output) -> None:
    """Prints the script."""
    try:
        import shtab
    except ImportError:
        raise ConfigError(
            'completion needs the library shtab: pip install "recae[completion]"'
        ) from None
    for action in options_of(args.parser):
        place = str(action.metavar).partition(".")[0]
        if place in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif place in DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif place == "NAME":
            action.choices = dataset_names() if action.dest == "name" else list(MODELS)
    print(shtab.complete(args.parser, args.shell))
