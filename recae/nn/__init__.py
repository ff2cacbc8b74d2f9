"""Networks and their pieces, in torch; nothing here knows of users and items."""

from recae.nn.batch import Batch, Ragged
from recae.nn.codes import Gaussian, Plain
from recae.nn.heads import LinearHead, LinearScores, Scores
from recae.nn.layers import InputLinear, Linear, encoder_mlp, mlp
from recae.nn.network import AutoencoderNet, Decoder
from recae.nn.noise import Chain, Dropout, Keep, UnitNorm

__all__ = [
    "AutoencoderNet",
    "Batch",
    "Chain",
    "Decoder",
    "Dropout",
    "Gaussian",
    "InputLinear",
    "Keep",
    "Linear",
    "LinearHead",
    "LinearScores",
    "Plain",
    "Ragged",
    "Scores",
    "UnitNorm",
    "encoder_mlp",
    "mlp",
]
