"""Writing recommendations for everybody."""

from recae.export.parquet import export_top_k

__all__ = ["export_top_k"]
