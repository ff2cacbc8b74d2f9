"""Reports side by side, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, unknown_option
from recae.evaluate import Report
from recae.files import atomic_file
from recae.report.tables import require_some


def plot_comparison(reports: Mapping[str, Report], metric: str, path: str | Path) -> Path:
    """Draws one metric of every report with its 95 % interval, best on top, and writes a PNG.

    Needs matplotlib (`pip install "recae[plot]"`). Raises ConfigError without it, without
    reports, or for a metric that they do not have.

    >>> values = pd.DataFrame({"recall@5": [0.5, 0.7]}, index=[1, 2])
    >>> recae.plot_comparison({"a": recae.Report("a", values)}, "recall@5", "a.png").name
    'a.png'
    """
    require_some(reports)
    figure_class, canvas_class = _matplotlib()
    for report in reports.values():
        if metric not in report.mean:
            raise unknown_option("metric of these reports", metric, report.mean)
    order = sorted(reports, key=lambda name: reports[name][metric])
    means = [reports[name][metric] for name in order]
    figure = figure_class(figsize=(8, 1.2 + 0.5 * len(order)), layout="constrained")
    canvas_class(figure)
    axes: Any = figure.add_subplot()
    rows = [reports[name].frame().loc[metric].fillna(reports[name][metric]) for name in order]
    # Never below 0: where all users agree, the two means may differ in the last bit.
    spread = [
        [max(r["mean"] - r["low"], 0.0) for r in rows],
        [max(r["high"] - r["mean"], 0.0) for r in rows],
    ]
    axes.errorbar(means, order, xerr=spread, fmt="o", capsize=4, color="#1f5f8b")
    for height, mean in enumerate(means):
        axes.annotate(
            f"{mean:.3f}", (mean, height), xytext=(0, 7), textcoords="offset points", ha="center"
        )
    axes.set_xlabel(f"{metric}, mean over users with its 95 % interval")
    axes.set_ylim(-0.6, len(order) - 0.3)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_file(path) as part:
        figure.savefig(part, format="png", dpi=150)
    return Path(path)


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('plots need matplotlib: pip install "recae[plot]"') from error
    return Figure, FigureCanvasAgg
