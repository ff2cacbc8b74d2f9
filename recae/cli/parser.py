"""The parser of arguments: a mistake is one line of usage and one line with the right word."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from recae.errors import did_you_mean, nearest, unknown_option

NUMBERS = {"int": "a whole number", "float": "a number", "count_or_share": "a number or a share"}
"""What the types of arguments are called."""


class Parser(argparse.ArgumentParser):
    """An argparse parser of `recae` or of one command.

    Options that nothing wants are refused by the command that they were given to, under its usage.
    """

    hyperparameters: Sequence[str] = ()
    """The names that --set takes: who writes one as an option gets the right form."""

    def format_usage(self) -> str:
        """The arguments in one line; --help has the options."""
        places = [action for action in self._actions if not action.option_strings]
        words = [f"[{_name(one)}]" if one.nargs == "?" else _name(one) for one in places]
        more = "..." if self._subparsers else "[options]"
        return f"usage: {' '.join([self.prog, *words, more])}  (see {self.prog} --help)\n"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but nothing is left over."""
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(self._unexpected(extra))
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Prints the usage and the mistake, and exits with code 2."""
        said = message.removeprefix("argument ")
        self.exit(2, f"{self.format_usage()}recae: error: {said}\n")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """The value of an argument; what is no number is said in words."""
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            wanted = NUMBERS.get(getattr(action.type, "__name__", ""))
            if wanted is None:
                raise
            name = "/".join(action.option_strings) or _name(action)
            raise argparse.ArgumentError(
                None, f"{name} must be {wanted}, not {arg_string!r}"
            ) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raises the error of a value that is no choice, with the nearest one."""
        if action.choices is not None and value not in action.choices:
            kind = "/".join(action.option_strings) or _name(action).lower()
            error = unknown_option(
                f"{kind}:" if action.option_strings else kind, value, action.choices
            )
            raise argparse.ArgumentError(None, str(error))

    def _unexpected(self, extra: Sequence[str]) -> str:
        """The first argument that nothing wants, and the option that was probably meant."""
        first = next((text for text in extra if text.startswith("-")), extra[0])
        if not first.startswith("-"):
            hint = "options begin with --, lists have commas"
            if "--history" in self._option_string_actions and Path(first).exists():
                hint = f"did you mean --history {first}?"
            return f"{first!r} is one argument too many: {hint}"
        option, _, value = first.partition("=")
        setting = nearest(option, self.hyperparameters, 0.8) if self.hyperparameters else None
        hint = did_you_mean(option, self._option_string_actions)
        if setting and not hint:
            hint = f" Did you mean --set {setting}={value or 'VALUE'}?"
        return f"unknown option {option}.{hint or f' {self.prog} --help lists the options'}"


def _name(action: argparse.Action) -> str:
    return str(action.metavar or action.dest)


def options_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options and arguments of a parser and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options_of(command)
        else:
            yield action
