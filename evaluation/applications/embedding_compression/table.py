"""The table of docs/results.md on item embeddings in few bytes."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table

OURS = "sparse codes"


def compression(result: dict[str, Any]) -> Table:
    """Title, text, head and rows of one data set's section."""
    metric, second = result["metrics"]
    full, n = result["full"], result["items"]
    better = {
        (row["budget"], row["a"] if row["b"] == OURS else row["b"]): row["better"]
        for row in result["paired"]
        if row["metric"] == metric
    }
    times = result["speed"]

    def took(count: str) -> str:
        of = times[count]
        return ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in of.items())

    text = (
        f"`python -m evaluation embedding_compression DATA --models FOLDER`: {n:,} item vectors of "
        f"`{result['model']}`, {full['bytes']:,} bytes each, with {metric.upper()} "
        f"{full[metric]:.4f} and {second.upper()} {full[second]:.4f} on {result['test_users']:,} "
        "test users. `better`: the better method by paired tests over the users against the "
        "sparse codes of the same budget. Amortised bytes add the shared parts (dictionary, "
        "codebooks, axes) divided by the number of items. Error: squared error of training users' "
        f"scores, as a share of their variance. Search for the best {times['k']} of all items by "
        f"{times['bytes']}-byte codes on one thread, medians of {times['rounds']}: one query "
        f"{took('1 queries')}; 256 queries {took('256 queries')}. In memory the sparse index takes "
        f"{times['index_bytes'] / 1e6:.1f} MB, the float32 vectors "
        f"{times['float32_bytes'] / 1e6:.1f} MB.\n\n![NDCG against "
        f"bytes](../evaluation/results/{name(result)}.png)"
    )
    head = ["bytes at most", "method", "bytes", "amortised", metric, second, "kept", "error"]
    rows = [
        [
            str(row["budget"]),
            row["method"],
            str(row["bytes"]),
            f"{row['amortised']:,.0f}",
            f"{row[metric]:.4f}",
            f"{row[second]:.4f}",
            f"{row[metric] / full[metric]:.1%}",
            f"{row['error']:.4f}",
            ""
            if row["method"] == OURS
            else better.get((row["budget"], row["method"])) or "neither",
        ]
        for row in sorted(result["rows"], key=lambda row: (row["budget"], -row[metric]))
    ]
    return f"{result['data']}: item embeddings in few bytes", text, [*head, "better"], rows


def name(result: dict[str, Any]) -> str:
    """The name of the stored result."""
    return f"embedding-compression-{result['data'].replace('_', '-')}"
