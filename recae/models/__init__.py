"""The models. A new model is a file in the folder of its family and is registered automatically.

The imports are for type checkers: `MODELS` and this module have every model, imported or not.
"""

import pkgutil
from importlib import import_module

from recae.models.baselines import Popularity, Random
from recae.models.ensemble import Ensemble
from recae.models.factors.als import ALS
from recae.models.factors.bpr import BPR
from recae.models.factors.svd import SVDAE, PureSVD
from recae.models.linear.ease import EASE, EDLAE, RDLAE, RLAE
from recae.models.linear.infinite_ae import InfiniteAE
from recae.models.linear.sparse_ease import SparseEASE
from recae.models.neighbours.item_knn import ItemKNN
from recae.models.neighbours.user_knn import UserKNN
from recae.models.neural._base import NeuralRecommender
from recae.models.neural.auto_rec import AutoRec
from recae.models.neural.cdae import CDAE
from recae.models.neural.elsa import ELSA
from recae.models.neural.h_vamp import HVamp
from recae.models.neural.macrid_vae import MacridVAE
from recae.models.neural.mult_dae import MultDAE
from recae.models.neural.mult_vae import MultVAE
from recae.models.neural.rec_vae import RecVAE
from recae.models.neural.sparse_ae import SparseAE
from recae.models.neural.vanilla_ae import VanillaAE
from recae.models.neural.vasp import FLVAE, VASP, NeuralEASE
from recae.recommend.base import Recommender

MODELS: dict[str, type[Recommender]] = {
    cls.name: cls
    for file in pkgutil.walk_packages(__path__, f"{__name__}.")
    for cls in vars(import_module(file.name)).values()
    if isinstance(cls, type) and issubclass(cls, Recommender) and "name" in vars(cls)
}
"""Every model by the name used on the command line, in the order of the files."""

globals().update({cls.__name__: cls for cls in MODELS.values()})

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "EDLAE",
    "MODELS",
    "RDLAE",
    "RLAE",
    "ELSA",
    "RecVAE",
    "MacridVAE",
    "FLVAE",
    "NeuralEASE",
    "VASP",
    "AutoRec",
    "CDAE",
    "Ensemble",
    "HVamp",
    "SVDAE",
    "SparseAE",
    "SparseEASE",
    "InfiniteAE",
    "PureSVD",
    "ItemKNN",
    "MultDAE",
    "MultVAE",
    "NeuralRecommender",
    "Popularity",
    "Random",
    "UserKNN",
    "VanillaAE",
]
