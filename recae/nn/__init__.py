"""Networks and their pieces, in torch; nothing here knows of users and items."""

from recae.nn.batch import Batch, Ragged, Sample
from recae.nn.conv import ConvDecoder, ConvEncoder
from recae.nn.corrupt import (
    Chain,
    Dropout,
    GaussianNoise,
    Masking,
    NoCorruption,
    SaltAndPepper,
    UnitNorm,
)
from recae.nn.dense import DENSE_LOSSES, DenseScores
from recae.nn.h_vamp import HierarchicalDecoder, HierarchicalEncoder, HierarchicalVamp
from recae.nn.heads import LinearHead, LinearScores, Scores, UnitHead
from recae.nn.layers import (
    ACTIVATIONS,
    DenselyConnected,
    InputLinear,
    Linear,
    UnitLinear,
    encoder_mlp,
    mlp,
)
from recae.nn.macrid import ConceptDecoder, ConceptGaussians, Concepts, DrawConcepts
from recae.nn.network import AutoencoderNet, Decoder, DeterministicCode, Gaussian, UserNodes
from recae.nn.priors import CompositeGaussian, Posterior, remember
from recae.nn.quantised import LogisticMixture, Quantised
from recae.nn.sparse import (
    BatchTopUnits,
    JumpReLUCode,
    KLSparseCode,
    L1Code,
    PositiveTopUnits,
    SignedTopUnits,
    TopUnits,
    UsageCounter,
    revive,
    transposed_start,
)
from recae.nn.tied import TiedDecoder, TiedScores, UnitRows
from recae.nn.variational import (
    Mixture,
    PosteriorOf,
    StandardNormal,
    Vamp,
    Variational,
    draw,
    log_density,
)
from recae.nn.vasp import EmptyCode, ProductDecoder, ZeroDiagonal

__all__ = [
    "draw",
    "log_density",
    "PosteriorOf",
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
    "UsageCounter",
    "JumpReLUCode",
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
    "DenselyConnected",
    "Posterior",
    "TiedDecoder",
    "TiedScores",
    "UnitRows",
    "remember",
    "Decoder",
    "Dropout",
    "Gaussian",
    "HierarchicalVamp",
    "HierarchicalDecoder",
    "UserNodes",
    "HierarchicalEncoder",
    "EmptyCode",
    "ProductDecoder",
    "ZeroDiagonal",
    "InputLinear",
    "NoCorruption",
    "Linear",
    "LinearHead",
    "LinearScores",
    "LogisticMixture",
    "DeterministicCode",
    "Quantised",
    "Ragged",
    "Sample",
    "Scores",
    "KLSparseCode",
    "L1Code",
    "TopUnits",
    "UnitHead",
    "UnitNorm",
    "encoder_mlp",
    "mlp",
]
