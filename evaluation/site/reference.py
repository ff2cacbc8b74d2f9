"""The pages of the API reference: which public name is on which, and their Markdown.

A name belongs to the page with the longest prefix of the module that defines it, so a new one finds
its page by itself.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, NamedTuple

import recae
from evaluation.kit.public import offered
from recae.estimators.params import params
from recae.recommend import Recommender


class Page(NamedTuple):
    """A page: its file, its title, what it says first, and the modules whose names it holds."""

    file: str
    title: str
    text: str
    modules: tuple[str, ...]


OF_A_MODEL = (
    "Every model has the methods of [`Recommender`](recommender.md#recae.Recommender). "
    "`recae fit --model NAME --help` prints the same hyperparameters. "
    "[How to choose a model](../choose.md) says which one to try."
)
PAGES = [
    Page("data", "Data", "[Read, filter and split](../data.md) shows them at work.", ("data",)),
    Page(
        "splits",
        "Splits",
        "A protocol has `split(data, seed=0)`, which gives a `Split` with a training part and a "
        "`Fold` for validation and test.",
        ("data.splits",),
    ),
    Page(
        "recommender",
        "Recommender",
        "What every fitted model can do, and what it needs for it.",
        ("recommend", "estimators", "tracking.hub", "mlflow", "ranking"),
    ),
    Page("baselines", "Baselines and ensembles", OF_A_MODEL, ("models", "tuning.auto")),
    Page("linear", "Linear models", OF_A_MODEL, ("models.linear",)),
    Page("factors", "Factor models", OF_A_MODEL, ("models.factors",)),
    Page(
        "neighbours",
        "Neighbourhood and spectral models",
        OF_A_MODEL,
        ("models.neighbours", "models.spectral"),
    ),
    Page("neural", "Deep models", OF_A_MODEL, ("models.neural",)),
    Page(
        "evaluation",
        "Evaluation",
        "[Evaluate](../evaluate.md) shows them at work.",
        ("evaluation", "metrics"),
    ),
    Page("tuning", "Tuning", "[Tune](../tune.md) shows them at work.", ("tuning",)),
    Page(
        "tracking",
        "Tracking",
        "[Track](../track.md) shows them at work.",
        ("tracking", "training.jobs", "training.epoch"),
    ),
    Page("report", "Reports", "Tables, pages and charts of many models.", ("report",)),
    Page(
        "export",
        "Export, scale and serve",
        "`model.export` is a method of [`Recommender`](recommender.md#recae.Recommender.export).",
        ("recommend.export", "scale", "serve", "training"),
    ),
    Page(
        "transformers",
        "Autoencoders for any rows",
        "Transformers with the interface of scikit-learn.",
        ("transformers",),
    ),
    Page("apply", "Applications", "What else a fitted model is good for.", ("apply", "testing")),
    Page("errors", "Errors and warnings", "Every user error is a `RecaeError`.", ("errors",)),
    Page("machine", "The machine", "`recae doctor` in Python.", ("system",)),
]
MODULES = Page(
    "modules",
    "Modules",
    "The rooms of the package, from [the design](../design.md). Most users need none of them.",
    (),
)


def page_of(module: str) -> Page:
    """The page that holds the names of a module. Raises LookupError if there is none."""
    found = [
        (len(prefix), page)
        for page in PAGES
        for prefix in page.modules
        if f"{module}.".startswith(f"recae.{prefix}.")
    ]
    if not found:
        raise LookupError(f"no page of evaluation/site/reference.py holds the names of {module}")
    return max(found, key=lambda pair: pair[0])[1]


def contents() -> dict[str, list[str]]:
    """File of a page -> the addresses of its names, such as `recae.EASE`."""
    found: dict[str, list[str]] = {page.file: [] for page in PAGES}
    for where, value in offered().values():
        found[page_of(value.__module__).file].append(where)
    for page in PAGES:  # the name that the page is about comes first
        found[page.file].sort(key=lambda where, page=page: where != f"recae.{page.title}")
    others = [name for name in recae.__all__ if name not in offered()]
    return found | {MODULES.file: [f"recae.{name}" for name in others]}


def documents() -> dict[str, str]:
    """File of a page -> its Markdown, the index first."""
    values = {where: value for where, value in offered().values()}
    texts = {}
    for page in [*PAGES, MODULES]:
        parts = [f"# {page.title}", page.text]
        for where in contents()[page.file]:
            parts.append(_entry(where, values.get(where)))
        texts[page.file] = "\n\n".join(parts) + "\n"
    return {"index": _index(values)} | texts


def _index(values: dict[str, Any]) -> str:
    """A table of all public names and their first lines."""
    lines = [
        "# API reference",
        "Every public name. The text is that of the docstrings: `help(recae.EASE)` shows the same.",
    ]
    for page in PAGES:
        rows = [
            f"| [`{where}`]({page.file}.md#{where}) | {_first_line(values[where])} |"
            for where in contents()[page.file]
        ]
        head = [f"## [{page.title}]({page.file}.md)", "", "| name | what it is |", "|---|---|"]
        lines.append("\n".join([*head, *rows]))
    lines.append(f"[{MODULES.title}]({MODULES.file}.md) lists the rooms of the package.")
    return "\n\n".join(lines) + "\n"


def _first_line(value: Any) -> str:
    text = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def _entry(where: str, value: Any) -> str:
    """The directive of mkdocstrings for a name; for an estimator its hyperparameters, too."""
    lines = [f"::: {where}"]
    model = inspect.isclass(value) and issubclass(value, Recommender) and value is not Recommender
    if model or value is None:
        lines += ["    options:", "      members: false", "      inherited_members: false"]
    if not inspect.isclass(value) or not dataclasses.is_dataclass(value):
        return "\n".join(lines)
    declared = [field for field in params(value) if "doc" in field.metadata]
    if not declared:
        return "\n".join(lines)
    rows = [_row(field) for field in declared]
    head = ["", "| hyperparameter | default | usually | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *head, *rows, *_presets(value)])


def _row(field: dataclasses.Field[Any]) -> str:
    about = field.metadata
    usual, between = about["usual"], " or " if about["choices"] else " to "
    words = "" if usual is None else between.join(_code(value) for value in usual)
    meaning = about["doc"].replace("|", "\\|")
    return f"| `{field.name}` | {_code(field.default)} | {words} | {meaning} |"


def _code(value: Any) -> str:
    return f"`{value:.12g}`" if isinstance(value, float) else f"`{value!r}`"


def _presets(value: Any) -> list[str]:
    names = [f"`{value.__name__}.preset({name!r})`" for name in getattr(value, "presets", {})]
    return ["", f"Settings of the authors: {', '.join(names)}."] if names else []
