"""Published figures beside ours, and the footnotes that say where they were read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from recae.report.entry import Entry, Published
from recae.report.rows import figure


@dataclass
class Footnotes:
    """Notes in the order of their first mention; the same words have the same number."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """The number of a note, from 1."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def described(published: Published) -> str:
    """What the footnote of a published figure says.

    >>> described(Published(0.3, "a paper, table 2", comparable=False, note="other split"))
    'not comparable: other split. Read in: a paper, table 2'
    """
    note = published.note.strip().rstrip(".")
    if not published.comparable:
        note = f"not comparable: {note or 'another protocol'}"
    return f"{note}. Read in: {published.source}" if note else f"Read in: {published.source}"


def difference(entry: Entry, metric: str, digits: int = 4) -> str:
    """Ours less the published figure, with its sign; in parentheses if they cannot be compared."""
    published = entry.published[metric]
    text = signed(entry.value(metric) - published.value, digits)
    return text if published.comparable else f"({text})"


def published_figure(published: Published, digits: int = 4) -> str:
    """The figure; in parentheses if it cannot be compared with ours."""
    text = figure(published.value, digits)
    return text if published.comparable else f"({text})"


def signed(value: float, digits: int = 4) -> str:
    """With + or a real minus sign, if any digit of it can be seen.

    >>> signed(0.0123), signed(-0.0123), signed(-0.00001)
    ('+0.0123', '−0.0123', '0.0000')
    """
    text = figure(value, digits)
    if not any("1" <= sign <= "9" for sign in text):
        return text.removeprefix("−")
    return f"+{text}" if value > 0 else text


def with_published(entries: Sequence[Entry], metrics: Sequence[str]) -> list[str]:
    """The metrics that some entry has a published figure and a value of."""
    return [
        metric
        for metric in metrics
        if any(metric in e.published and metric in e.reports[0].metrics for e in entries)
    ]
