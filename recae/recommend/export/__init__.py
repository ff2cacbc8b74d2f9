"""Everybody's lists as Parquet: one file, or a folder of parts that resumes and is verified."""

from recae.recommend.export.opened import Export, open_export

__all__ = ["Export", "open_export"]
