"""Four kinds of autoencoder as transformers with scikit-learn's interface."""

from recae.transformers.autoencoder import Autoencoder, DenoisingAutoencoder
from recae.transformers.base import Transformer
from recae.transformers.sparse import SparseAutoencoder
from recae.transformers.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "Transformer",
    "VariationalAutoencoder",
]
