"""Everybody's lists as Parquet: one file, or a folder of parts that resumes and is verified."""

from recae.recommend.export.compare import ExportComparison, compare_exports
from recae.recommend.export.forecast import Forecast
from recae.recommend.export.opened import Export, open_export

__all__ = ["Export", "ExportComparison", "Forecast", "compare_exports", "open_export"]
