"""The options of `fit` and `tune`: lists the models, parses their hyperparameters from text."""

from __future__ import annotations

import argparse
import inspect
import textwrap
import typing
from collections import Counter
from collections.abc import Sequence
from typing import Any

import recae
from recae.cli.options import add_output_options, add_run_options, add_table_options
from recae.cli.parser import Parser
from recae.cli.places import add_overwrite_option
from recae.errors import ConfigError, check_option, folded, unknown_option
from recae.estimators.params import usually

BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
WIDTH = 88


SAME = {"multivae": "mult-vae", "multidae": "mult-dae"}
"""Folded names of the same models in RecBole."""


def model_name(text: str) -> str:
    """The name of a model as an argparse type; the name of its class and any case will do."""
    ours = {folded(name): name for name in recae.MODELS} | SAME
    if folded(text) not in ours:
        if folded(text) == folded("auto-ensemble"):
            raise argparse.ArgumentTypeError(
                "AutoEnsemble is fitted in Python; in a shell `recae best` tunes models within a "
                "time and blends them"
            )
        raise argparse.ArgumentTypeError(str(unknown_option("model", text, recae.MODELS)))
    return ours[folded(text)]


def setting(text: str) -> tuple[str, str]:
    """`name=value` as an argparse type."""
    name, equals, value = text.partition("=")
    if not (name.strip() and equals):
        raise argparse.ArgumentTypeError(f"expected name=value, not {text!r}")
    return name.strip(), value.strip()


def build_model(name: str, settings: list[tuple[str, str]]) -> recae.Recommender:
    """A model with the given hyperparameters, read by their declared types and checked."""
    model = recae.MODELS[name]()
    hints = typing.get_type_hints(type(model))
    known = model.param_fields()
    twice = [key for key, count in Counter(key for key, _ in settings).items() if count > 1]
    if twice:
        raise ConfigError(f"--set {twice[0]} is given twice", parameter=twice[0])
    for key, text in settings:
        # An unknown or unreadable value stays text: the model rejects it with its own message.
        model.set_params(**{key: read_value(text, hints[key]) if key in known else text})
    try:
        model.check_params()
    except ConfigError as error:
        if typing.get_origin(hints.get(str(error.parameter))) is not tuple:
            raise
        form = "600,200" if error.parameter == "hidden" else "A;B"
        raise ConfigError(f"{error}; write it as --set {error.parameter}={form}") from error
    return model


def build_models(
    chosen: list[str], settings: list[tuple[str, str]]
) -> dict[str, recae.Recommender]:
    """Several models by name; the settings are `MODEL.name=value`. Raises ConfigError."""
    own: dict[str, list[tuple[str, str]]] = {name: [] for name in chosen}
    for key, text in settings:
        name, dot, hyperparameter = key.partition(".")
        name = next((one for one in own if folded(one) == folded(name)), name)
        if not dot:
            raise ConfigError(
                f"--set {key}={text}: several models are compared, say which one is meant: "
                f"--set {chosen[-1]}.{key}={text}"
            )
        check_option("model in --set", name, own)
        own[name].append((hyperparameter, text))
    return {name: build_model(name, own[name]) for name in chosen}


def read_value(text: str, hint: Any) -> Any:
    """The text as a value of the type, or unchanged if it cannot be parsed.

    >>> read_value("600,200", tuple[int, ...]), read_value("none", float | None)
    ((600, 200), None)
    """
    options = typing.get_args(hint)
    if type(None) in options:
        if text.lower() == "none":
            return None
        hint = next(option for option in options if option is not type(None))
    if typing.get_origin(hint) is tuple:
        given = text.split(";") if options[0] is str else text.strip("()[] ").split(",")
        parts = [part.strip() for part in given if part.strip()]
        return tuple(read_value(part, options[0]) for part in parts)
    if hint is bool:
        return BOOLEANS.get(text.lower(), text)
    try:
        return hint(text)
    except ValueError:
        return text


def add_model_options(parser: Parser) -> None:
    """Declares the table, and the model with its hyperparameters."""
    parser.hyperparameters = sorted(
        {key for m in recae.MODELS.values() for key in m.param_fields()}
    )
    parser.add_argument("data", metavar="DATA", help="the table of interactions")
    parser.add_argument(
        "--model",
        type=model_name,
        default="mult-vae",
        metavar="NAME",
        help="one of the models below (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter of the model; may be repeated; tuples as 600,200",
    )


def add_options(parser: Parser) -> None:
    """Declares the options of the commands that fit a model and save it."""
    add_model_options(parser)
    parser.add_argument("out", metavar="OUT", help="the directory to save the model to")
    add_run_options(parser, seed=0)
    parser.add_argument(
        "--with-history",
        action="store_true",
        help="save the interactions too, to recommend for these users by their ids",
    )
    parser.add_argument(
        "--track",
        metavar="TOOL[:PLACE]",
        help="also write parameters, curves, metrics and the model to mlflow:EXPERIMENT, "
        "tensorboard:FOLDER or wandb:PROJECT (default place: recae)",
    )
    add_overwrite_option(parser, "a model at OUT and the files")
    add_table_options(parser, filters=True)
    add_output_options(parser)
    add_help(parser)


def add_help(parser: Parser) -> None:
    """Declares --help, which ends in the models and their hyperparameters."""
    parser.add_argument(
        "-h",
        "--help",
        action=Help,
        help="show this, with the hyperparameters of the --model named before it",
    )


class Help(argparse.Action):
    """--help that ends in the models and the hyperparameters of the chosen one."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Prints the help of the command, the models, and the hyperparameters of the model that was
        named before --help; then exits."""
        print(parser.format_help())
        print(describe_models(), end="\n\n")
        print(describe_hyperparameters(namespace.model))
        parser.exit()


def describe_models() -> str:
    """A line for each model: its name and its description."""
    width = max(map(len, recae.MODELS))
    lines = [
        textwrap.fill(
            f"{name:<{width}}  {(inspect.getdoc(model) or '').splitlines()[0]}",
            width=100,
            initial_indent="  ",
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
        )
        for name, model in recae.MODELS.items()
    ]
    return "models:\n" + "\n".join(lines)


def describe_hyperparameters(name: str) -> str:
    """The hyperparameters of a model, from their declarations."""
    known = recae.MODELS[name].param_fields()
    if not known:
        return f"hyperparameters of {name}: none"
    width = max(map(len, known))
    lines = [
        textwrap.fill(
            f"{key:<{width}}  {about.metadata['doc']}{_values(about)}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * (width + 4),
        )
        for key, about in known.items()
    ]
    return f"hyperparameters of {name} (--set name=value):\n" + "\n".join(lines)


def _values(about: Any) -> str:
    choices = about.metadata["choices"]
    listed = f"; one of {', '.join(choices)}" if choices else ""
    default = about.default
    if isinstance(default, tuple):
        separator = ";" if any(isinstance(part, str) for part in default) else ","
        default = separator.join(map(str, default)) or "none"
    return f"{listed} (default: {default}{usually(about, '; ')})"
