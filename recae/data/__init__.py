"""Interactions and how they are read: ids, tables, filters, named data sets."""

import lazy_loader

from recae.data.idmap import IdMap as IdMap
from recae.data.ids import as_ids as as_ids
from recae.data.interactions import Interactions as Interactions
from recae.data.interactions import as_interactions as as_interactions
from recae.data.item_table import ItemTable as ItemTable
from recae.data.sets.cards import dataset_card as dataset_card
from recae.data.sets.cards import dataset_names as dataset_names
from recae.data.sets.catalog import Dataset as Dataset
from recae.data.sets.catalog import dataset_folder as dataset_folder
from recae.data.sets.catalog import dataset_state as dataset_state
from recae.data.sets.catalog import load_dataset as load_dataset
from recae.data.tables.readers import read_columns as read_columns
from recae.data.tables.readers import read_csv as read_csv
from recae.data.tables.readers import read_parquet as read_parquet
from recae.data.tables.readers import read_table as read_table

# `recae.data.splits` is there without an import of its own.
__getattr__, _, _ = lazy_loader.attach(__name__, submodules=["splits"])
