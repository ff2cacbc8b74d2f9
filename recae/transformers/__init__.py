"""Four kinds of autoencoder as transformers with scikit-learn's interface."""

from collections.abc import Mapping
from pathlib import Path

from recae.estimators.folder import read_folder
from recae.transformers.autoencoder import Autoencoder, DenoisingAutoencoder
from recae.transformers.base import Transformer
from recae.transformers.sparse import SparseAutoencoder
from recae.transformers.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "TRANSFORMERS",
    "Transformer",
    "VariationalAutoencoder",
    "load",
]

TRANSFORMERS: Mapping[str, type[Transformer]] = {
    kind.__name__: kind
    for kind in (Autoencoder, DenoisingAutoencoder, SparseAutoencoder, VariationalAutoencoder)
}


def load(path: str | Path) -> Transformer:
    """A transformer that `save` wrote, on the CPU.

    Raises DataError for anything that is not a whole, unaltered folder of this format.
    """
    kind, settings, arrays = read_folder(path, TRANSFORMERS)
    return TRANSFORMERS[kind]._restored(settings, arrays)
