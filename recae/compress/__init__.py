"""What autoencoders compress: images, and item embeddings, to a stated number of bytes."""

from recae.compress.codec import ImageCodec
from recae.compress.embedding_codes import compress_embeddings
from recae.compress.embeddings import CompressedEmbeddings
from recae.compress.sparse_index import SparseIndex

__all__ = ["CompressedEmbeddings", "ImageCodec", "SparseIndex", "compress_embeddings"]
