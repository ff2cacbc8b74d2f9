"""Interactions and how they are read: ids, tables, filters, named data sets."""

import lazy_loader

from recae.data.idmap import IdMap
from recae.data.ids import as_ids
from recae.data.interactions import Interactions, as_interactions
from recae.data.item_table import ItemTable
from recae.data.sets.cards import dataset_card, dataset_names
from recae.data.sets.catalog import Dataset, dataset_folder, dataset_state, load_dataset
from recae.data.tables.readers import read_columns, read_csv, read_parquet, read_table

__all__ = [
    "Dataset",
    "IdMap",
    "Interactions",
    "ItemTable",
    "as_ids",
    "as_interactions",
    "dataset_card",
    "dataset_folder",
    "dataset_names",
    "dataset_state",
    "load_dataset",
    "read_columns",
    "read_csv",
    "read_parquet",
    "read_table",
]

# `recae.data.splits` is there without an import of its own.
__getattr__, _, _ = lazy_loader.attach(__name__, submodules=["splits"])
