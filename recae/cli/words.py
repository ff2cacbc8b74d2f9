"""The messages of the library in the words of the command line: `--item`, not `item=`."""

from __future__ import annotations

import argparse
import re
import shlex

NAMED = re.compile(
    r"(?<![\w.'\"])([a-z][a-z0-9_]*)=(\.\.\.|\"[^\"]*\"|'[^']*'|[^\s,;:)\]]*[^\s,;:)\].])?"
)
"""An argument as Python names it, such as item='Item' or overwrite=True."""


TWICE = re.compile(r"(--[\w-]+(?: \S+)?) \((--[\w-]+)\)")
"""A message that names an option both ways, such as duplicates= (--duplicates)."""


def in_shell(message: str, parser: argparse.ArgumentParser | None) -> str:
    """A message in which the arguments that are options of this command are written as options.

    `pass overwrite=True` becomes `pass --overwrite`; `item='Artist ID'`, `--item 'Artist ID'`; and
    `history=...`, `--history FILE`. What is no option of the command stays as it is.
    """
    if parser is None:
        return message
    options = {action.dest: action for action in parser._actions if action.option_strings}

    def written(match: re.Match[str]) -> str:
        """One argument as an option; names that are no option of the command stay as they are."""
        name, value = match.groups()
        action = options.get(name)
        if action is None:
            return match.group()
        option = max(action.option_strings, key=len)
        if action.nargs == 0:  # a flag
            return option
        if value is None or set(value) <= {"."}:
            return f"{option} {action.metavar}" if action.metavar else option
        if value == "None":
            return f"{option} ''"
        if value[0] in "'\"" and value[-1] == value[0]:
            value = shlex.quote(value[1:-1])
        return f"{option} {value}"

    return TWICE.sub(r"\1", NAMED.sub(written, message))
