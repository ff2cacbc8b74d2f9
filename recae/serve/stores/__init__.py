"""Stores of histories: Parquet files, DuckDB tables, Redis and PostgreSQL."""

from recae.errors import StoreError as StoreError
from recae.serve.stores.protocol import HistoryStore as HistoryStore
from recae.serve.stores.protocol import Id as Id
from recae.serve.stores.urls import open_store as open_store
from recae.serve.stores.writing import write_histories as write_histories
