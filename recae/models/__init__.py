"""The models. A new model is a file in the folder of its family and is registered automatically.

The imports are for type checkers: `MODELS` and this module have every model, imported or not.
"""

import pkgutil
from importlib import import_module

from recae.errors import unknown_option
from recae.models.baselines import Popularity as Popularity
from recae.models.baselines import Random as Random
from recae.models.ensemble import Ensemble as Ensemble
from recae.models.factors.als import ALS as ALS
from recae.models.factors.bpr import BPR as BPR
from recae.models.factors.nmf import NMF as NMF
from recae.models.factors.softmax_mf import SoftmaxMF as SoftmaxMF
from recae.models.factors.svd import SVDAE as SVDAE
from recae.models.factors.svd import PureSVD as PureSVD
from recae.models.linear.admm_slim import ADMMSLIM as ADMMSLIM
from recae.models.linear.ease import EASE as EASE
from recae.models.linear.ease import EDLAE as EDLAE
from recae.models.linear.ease import RDLAE as RDLAE
from recae.models.linear.ease import RLAE as RLAE
from recae.models.linear.infinite_ae import InfiniteAE as InfiniteAE
from recae.models.linear.slim import SLIM as SLIM
from recae.models.linear.sparse_ease import SparseEASE as SparseEASE
from recae.models.neighbours.item_knn import ItemKNN as ItemKNN
from recae.models.neighbours.rp3_beta import RP3beta as RP3beta
from recae.models.neighbours.turbo_cf import TurboCF as TurboCF
from recae.models.neighbours.user_knn import UserKNN as UserKNN
from recae.models.neural._base import NeuralRecommender as NeuralRecommender
from recae.models.neural.auto_rec import AutoRec as AutoRec
from recae.models.neural.cdae import CDAE as CDAE
from recae.models.neural.compressed_elsa import CompressedELSA as CompressedELSA
from recae.models.neural.cosine_ae import CosineAE as CosineAE
from recae.models.neural.diff_rec import DiffRec as DiffRec
from recae.models.neural.diff_rec import LDiffRec as LDiffRec
from recae.models.neural.elsa import ELSA as ELSA
from recae.models.neural.flow_cf import FlowCF as FlowCF
from recae.models.neural.giff_cf import GiffCF as GiffCF
from recae.models.neural.h_vamp import HVamp as HVamp
from recae.models.neural.macrid_vae import MacridVAE as MacridVAE
from recae.models.neural.mult_dae import MultDAE as MultDAE
from recae.models.neural.mult_vae import MultVAE as MultVAE
from recae.models.neural.rec_vae import RecVAE as RecVAE
from recae.models.neural.sparse_ae import SparseAE as SparseAE
from recae.models.neural.vanilla_ae import VanillaAE as VanillaAE
from recae.models.neural.vasp import FLVAE as FLVAE
from recae.models.neural.vasp import VASP as VASP
from recae.models.neural.vasp import NeuralEASE as NeuralEASE
from recae.models.spectral.graph_filter import GraphFilter as GraphFilter
from recae.recommend.base import Recommender


class Models(dict[str, type[Recommender]]):
    """A dict that answers an unknown name with a ConfigError and the nearest one."""

    def __missing__(self, name: object) -> type[Recommender]:
        raise unknown_option("model", name, self)


MODELS = Models(
    (cls.name, cls)
    for file in pkgutil.walk_packages(__path__, f"{__name__}.")
    for cls in vars(import_module(file.name)).values()
    if isinstance(cls, type) and issubclass(cls, Recommender) and "name" in vars(cls)
)
"""Every model by the name used on the command line, in the order of the files."""

globals().update({cls.__name__: cls for cls in MODELS.values()})
