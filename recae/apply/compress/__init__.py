"""Compression of images and of item embeddings to a given number of bytes."""

from recae.apply.compress.codec import ImageCodec
from recae.apply.compress.embedding_codes import compress_embeddings
from recae.apply.compress.embeddings import CompressedEmbeddings
from recae.apply.compress.sparse_index import SparseIndex

__all__ = ["CompressedEmbeddings", "ImageCodec", "SparseIndex", "compress_embeddings"]
