"""The models, one file each; a new one is a file here and a line in this list."""

from pathlib import Path

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
from recae.recommend.persistence import load_model

MODELS: dict[str, type[Recommender]] = {
    model.name: model
    for model in (
        *(Random, Popularity),
        *(ItemKNN, UserKNN, BPR, ALS),
        *(EASE, EDLAE, RLAE, RDLAE, SparseEASE),
        *(PureSVD, SVDAE, InfiniteAE),
        *(VanillaAE, SparseAE, AutoRec, CDAE),
        *(MultDAE, MultVAE, RecVAE, HVamp, MacridVAE, ELSA),
        *(NeuralEASE, FLVAE, VASP),
        Ensemble,
    )
}
"""Every model by the name used on the command line and in saved files."""


def load(path: str | Path) -> Recommender:
    """A recommender that `save` wrote, on the CPU.

    Raises DataError for anything that is not a whole, unaltered folder of this format.
    """
    return load_model(path, MODELS)


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
    "Popularity",
    "Random",
    "UserKNN",
    "VanillaAE",
    "load",
]
