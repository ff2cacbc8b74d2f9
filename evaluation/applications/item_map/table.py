"""The table of maps of items in docs/results.md."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table


def item_map(result: dict[str, Any]) -> Table:
    """The table of maps of items: each model with each method."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result["maps"]:
        groups.setdefault((row["model"], row["method"]), []).append(row)

    def mean(rows: list[dict[str, Any]], name: str) -> str:
        return f"{sum(row[name] for row in rows) / len(rows):.3f}"

    return (
        "MovieLens 1M: maps of items",
        "`python -m evaluation item_map DATA`. Trustworthiness at 10, and the share of an item's "
        "10 nearest items on the map that have one of its genres, compared with the share over all "
        "pairs. Random parts are means over seeds. No model uses the genres.\n\n"
        "![t-SNE](../evaluation/results/item-map-tsne.png)",
        ["model", "method", "maps", "items", "trustworthiness", "genre shared", "of all pairs"],
        [
            [
                f"`{model}`",
                method,
                str(len(rows)),
                f"{rows[0]['items']:,}",
                mean(rows, "trustworthiness"),
                mean(rows, "coherence"),
                mean(rows, "chance"),
            ]
            for (model, method), rows in groups.items()
        ],
    )
