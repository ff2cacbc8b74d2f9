"""The models, one file each; a new one is a file here and a line in this list."""

from recae.models.als import ALS
from recae.models.auto_rec import AutoRec
from recae.models.bpr import BPR
from recae.models.cdae import CDAE
from recae.models.ease import EASE
from recae.models.edlae import EDLAE
from recae.models.elsa import ELSA
from recae.models.ensemble import Ensemble
from recae.models.flvae import FLVAE
from recae.models.h_vamp import HVamp
from recae.models.infinite_ae import InfiniteAE
from recae.models.item_knn import ItemKNN
from recae.models.macrid_vae import MacridVAE
from recae.models.mult_dae import MultDAE
from recae.models.mult_vae import MultVAE
from recae.models.neural_ease import NeuralEASE
from recae.models.popularity import Popularity
from recae.models.pure_svd import PureSVD
from recae.models.random import Random
from recae.models.rdlae import RDLAE
from recae.models.rec_vae import RecVAE
from recae.models.rlae import RLAE
from recae.models.sparse_ae import SparseAE
from recae.models.sparse_ease import SparseEASE
from recae.models.svd_ae import SVDAE
from recae.models.user_knn import UserKNN
from recae.models.vanilla_ae import VanillaAE
from recae.models.vasp import VASP
from recae.recommender import Recommender

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
]
