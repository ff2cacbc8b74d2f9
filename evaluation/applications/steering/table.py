"""The section of docs/results.md on steering."""

from __future__ import annotations

from typing import Any

from evaluation.kit.tables import Table


def steering(result: dict[str, Any]) -> Table:
    """Ten units, steering by them, and the baselines: a title, a text, a head and rows."""
    small, pieces = result["small"], result["of_one_piece"]
    seeds = result["agreement_of_seeds"]
    kinds = {"tastes": "units", "pca": "PCA", "raw": "raw", "random": "random"}

    def each(key: str, form: str) -> str:
        return ", ".join(f"{label} {pieces[kind][key]:{form}}" for kind, label in kinds.items())

    text = (
        "`python -m evaluation steering DATA`. Units of a sparse autoencoder over the codes of "
        f"`{result['model']}` on MovieLens 1M: {result['chosen']['units']} units, "
        f"{result['chosen']['active']} active per user, {result['dead']} dead, "
        f"{result['explained']:.3f} of the codes' variance explained. Settings and doses are "
        "chosen on valid. All figures below are of the test; every unit steers all users.\n\n"
        f"At strength {small['strength']:g}, the largest within 1 % for each of the ten on valid, "
        f"NDCG@10 changes by {small['ndcg_change_mean']:+.2%} on average and "
        f"{small['ndcg_change_worst']:+.2%} for the worst unit; a unit's own 50 films go from "
        f"{small['own_unsteered']:.2%} to {small['own_small']:.2%} of the top 10, those of its "
        f"genre from {small['genre_unsteered']:.2%} to {small['genre_small']:.2%}. At strength 1 "
        f"these are {small['own_at_1']:.2%} and {small['genre_at_1']:.2%}, at -1 "
        f"{small['own_at_minus_1']:.2%} and {small['genre_at_minus_1']:.2%}. From -2 to 1.5 the "
        f"share of the own films never falls for {small['own_monotone']} of 10 units, that of the "
        f"genre for {small['genre_monotone']}.\n\n"
        "Coherence: the share of a direction's first 20 films that have its most common genre is "
        f"{each('precision', '.3f')}. The lift of pairs of its first ten films in histories is "
        f"{each('together', '.2f')}. Stability: with two other seeds, the nearest unit has a "
        f"cosine of {seeds['mean']:.3f} ({seeds['random_mean']:.3f} among random directions), "
        f"above 0.8 for {seeds['above_0.8']:.0%}.\n\n"
        "The table: the share of the top 10 that has the genre, at the dose at which NDCG@10 on "
        "valid has lost 1 %, and in parentheses the change of NDCG@10 on the test. PCA and raw are "
        "the axis and the dimension, with either sign, with the largest share of the genre. Only "
        "the bonus uses the genres.\n\n"
        "![Ten units and three baselines](../evaluation/results/steering.png)"
    )
    rows = []
    for unit, row in zip(result["units"], result["at_budget"], strict=True):
        ways = [row["ways"][way] for way in ("tastes", "pca", "raw", "rerank")]
        cells = [f"{100 * way['genre']:.1f} ({100 * way['ndcg_change']:+.1f} %)" for way in ways]
        rows.append([unit["name"], f"{100 * row['unsteered']:.1f}", *cells])
    head = ["unit", "unsteered, %", "unit, %", "PCA, %", "raw, %", "bonus on the genre, %"]
    return "MovieLens 1M: steering by tastes", text, head, rows
