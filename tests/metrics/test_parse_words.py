"""Metrics as people write them."""

from __future__ import annotations

import pandas as pd
import pytest

import recae
from recae.metrics import parse_metric


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("NDCG@10", "ndcg@10"),
        ("mAP@10", "map@10"),
        ("Recall@20", "recall@20"),
        ("hr@10", "hit_rate@10"),
        ("HIT@10", "hit_rate@10"),
        ("Hit-Rate@3", "hit_rate@3"),
        ("precision@5", "precision@5"),
    ],
)
def test_case_does_not_count(typed: str, name: str) -> None:
    assert str(parse_metric(typed)) == name
    values = pd.DataFrame({name: [0.25, 0.75]}, index=[1, 2])
    assert recae.Report("a", values)[name.upper()] == 0.5


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("nDCG20", "'ndcg@20'"),
        ("MRR", "'mrr@10'"),
        ("recall_20", "'recall@20'"),
        ("ndgc@20", "'ndcg'"),
        ("rec@20", "'recall'"),
        ("averageprecision@5", "'map'"),
    ],
)
def test_others_are_answered(typed: str, meant: str) -> None:
    with pytest.raises(recae.ConfigError, match=meant):
        parse_metric(typed)
