"""What autoencoders compress: images to a stated number of bytes."""

from recae.compress.codec import ImageCodec

__all__ = ["ImageCodec"]
