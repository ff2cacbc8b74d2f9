"""Serving fitted models: a service over HTTP, and the stores of histories it looks users up in."""

from recae.serve.stores import HistoryStore as HistoryStore
from recae.serve.stores import open_store as open_store
