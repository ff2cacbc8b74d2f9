"""Networks and their pieces, in torch; nothing here knows of users and items."""

from recae.nn.batch import Batch, Ragged, Sample
from recae.nn.codes import Gaussian, Plain, UserNodes
from recae.nn.conv import ConvDecoder, ConvEncoder
from recae.nn.corrupt import Chain, Dropout, GaussianNoise, Keep, Masking, SaltAndPepper, UnitNorm
from recae.nn.dense import DENSE_LOSSES, DenseScores
from recae.nn.h_vamp import HierarchicalVamp, TwoLevels, Views
from recae.nn.heads import LinearHead, LinearScores, Scores, UnitHead
from recae.nn.layers import ACTIVATIONS, Dense, InputLinear, Linear, UnitLinear, encoder_mlp, mlp
from recae.nn.macrid import ConceptDecoder, ConceptGaussians, Concepts, DrawConcepts
from recae.nn.network import AutoencoderNet, Decoder
from recae.nn.priors import CompositeGaussian, Posterior, remember
from recae.nn.quantised import LogisticMixture, Quantised
from recae.nn.revive import revive, transposed_start
from recae.nn.sparse import (
    BatchTopUnits,
    Counted,
    JumpUnits,
    PositiveTopUnits,
    SeldomUnits,
    ShortUnits,
    SignedTopUnits,
    TopUnits,
)
from recae.nn.tied import TiedDecoder, TiedScores, UnitRows
from recae.nn.variational import (
    Mixture,
    Reading,
    StandardNormal,
    Vamp,
    Variational,
    draw,
    log_density,
)
from recae.nn.vasp import Nothing, ProductDecoder, ZeroDiagonal

__all__ = [
    "draw",
    "log_density",
    "Reading",
    "ACTIVATIONS",
    "UnitLinear",
    "ConvDecoder",
    "ConvEncoder",
    "DENSE_LOSSES",
    "DenseScores",
    "GaussianNoise",
    "Masking",
    "SaltAndPepper",
    "revive",
    "transposed_start",
    "BatchTopUnits",
    "Counted",
    "JumpUnits",
    "PositiveTopUnits",
    "SignedTopUnits",
    "Mixture",
    "StandardNormal",
    "Vamp",
    "Variational",
    "AutoencoderNet",
    "Batch",
    "Chain",
    "ConceptDecoder",
    "ConceptGaussians",
    "Concepts",
    "CompositeGaussian",
    "DrawConcepts",
    "Dense",
    "Posterior",
    "TiedDecoder",
    "TiedScores",
    "UnitRows",
    "remember",
    "Decoder",
    "Dropout",
    "Gaussian",
    "HierarchicalVamp",
    "TwoLevels",
    "UserNodes",
    "Views",
    "Nothing",
    "ProductDecoder",
    "ZeroDiagonal",
    "InputLinear",
    "Keep",
    "Linear",
    "LinearHead",
    "LinearScores",
    "LogisticMixture",
    "Plain",
    "Quantised",
    "Ragged",
    "Sample",
    "Scores",
    "SeldomUnits",
    "ShortUnits",
    "TopUnits",
    "UnitHead",
    "UnitNorm",
    "encoder_mlp",
    "mlp",
]
