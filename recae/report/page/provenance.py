"""What was measured, on what, where and when: the head of a page and the details at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recae.report.entry import Entry
from recae.report.page.elements import Markup, element
from recae.report.rows import amount
from recae.system.files import plain

FACTS = {
    "users": "users with a target",
    "items": "items",
    "target": "targets",
    "history": "histories",
    "mask": "masks",
    "commit": "commit",
    "machine": "machine",
    "device": "device",
}
"""Parts of a provenance, and what they are called in the head of a page."""


def facts(ordered: Sequence[Entry], metric: str) -> Markup:
    """The protocol in a few lines: what all entries share, and how far they differ."""
    sources = [
        source
        for entry in ordered
        for source in (entry.provenance, *(report.provenance for report in entry.reports))
    ]
    seeds = sorted({len(entry.reports) for entry in ordered})
    said: list[tuple[str, object]] = [
        ("models", f"{len(ordered):,}"),
        ("seeds", " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))),
        ("sorted by", metric),
    ]
    for key, name in FACTS.items():
        values = _distinct(source.get(key) for source in sources)
        if values:
            code = key in ("target", "history", "mask", "commit")
            said.append((name, [_joined(element("code", v) if code else v for v in values)]))
    dates = sorted(str(source["date"]) for source in sources if source.get("date"))
    if dates:
        first, last = dates[0][:10], dates[-1][:10]
        said.append(("measured", first if first == last else f"{first} to {last}"))
    versions = [source.get("versions") for source in sources]
    told = {
        f"{name} {version}"
        for known in versions
        if isinstance(known, Mapping)
        for name, version in known.items()
        if name in ("recae", "python", "torch")
    }
    if told:
        said.append(("software", ", ".join(sorted(told))))
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in said]
    return element("dl", pairs, class_="facts")


def origins(ordered: Sequence[Entry]) -> Markup:
    """A folded part for each entry, with its settings and all that is known of its origin."""
    return element(
        "section",
        element("h2", "Where each figure comes from"),
        [_origin(number, entry) for number, entry in enumerate(ordered, start=1)],
        id="origins",
    )


def _origin(number: int, entry: Entry) -> Markup:
    seconds = ", ".join(f"{amount(seconds)} s" for seconds in entry.fit_seconds)
    parts: list[Markup] = [element("p", element("code", entry.reports[0].model))]
    if seconds:
        parts.append(element("p", f"Seconds of each fit: {seconds}"))
    if entry.provenance:
        parts += [element("h3", "The entry"), element("pre", _readable(entry.provenance))]
    for seed, report in enumerate(entry.reports, start=1):
        if report.provenance:
            name = "The report" if len(entry.reports) == 1 else f"The report of seed {seed}"
            parts += [element("h3", name), element("pre", _readable(report.provenance))]
    return element("details", element("summary", entry.name), parts, id=f"entry-{number}")


def _readable(content: Mapping[str, Any]) -> str:
    def other(value: Any) -> Any:
        try:
            return plain(value)
        except TypeError:
            return str(value)

    return json.dumps(dict(content), indent=1, ensure_ascii=False, default=other)


def _distinct(values: Any) -> list[str]:
    """Each value once, as text, numbers with commas; at most three and how many more."""
    found = [v for v in values if v is not None and v != ""]
    texts = list(dict.fromkeys(f"{v:,}" if isinstance(v, int) else str(v) for v in found))
    return texts if len(texts) <= 3 else [*texts[:3], f"{len(texts) - 3} more"]


def _joined(values: Any) -> list[object]:
    parts: list[object] = []
    for value in values:
        parts += [", ", value] if parts else [value]
    return parts
