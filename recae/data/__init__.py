"""Interactions and how they are read: ids, tables, filters, named data sets."""

from recae.data.catalog import Dataset, dataset_names, load_dataset
from recae.data.filters import filter_interactions
from recae.data.idmap import IdMap
from recae.data.ids import as_ids
from recae.data.interactions import Interactions
from recae.data.readers import read_csv, read_parquet, read_table

__all__ = [
    "Dataset",
    "IdMap",
    "Interactions",
    "as_ids",
    "dataset_names",
    "filter_interactions",
    "load_dataset",
    "read_csv",
    "read_parquet",
    "read_table",
]
