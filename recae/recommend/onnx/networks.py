"""The networks of `recae.nn` in an ONNX graph, layer by layer, as they compute in evaluation."""

from __future__ import annotations

import math
from functools import reduce, singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recae.errors import ConfigError
from recae.nn import network, sparse, variational
from recae.nn.cosine import CosineHead, UnitCode
from recae.nn.h_vamp import Gated, HierarchicalDecoder, HierarchicalEncoder, HierarchicalVamp
from recae.nn.heads import LinearHead, UnitHead
from recae.nn.layers import DenselyConnected, InputLinear, Linear, UnitLinear
from recae.nn.macrid import (
    TEMPERATURE,
    ConceptDecoder,
    ConceptGaussians,
    Concepts,
    DrawConcepts,
)
from recae.nn.network import AutoencoderNet
from recae.nn.tied import TiedDecoder, UnitRows
from recae.nn.vasp import EmptyCode, ProductDecoder, ZeroDiagonal
from recae.recommend.onnx.graph import Value, apply, apply_many, full
from recae.recommend.onnx.histories import Histories

TINY = 1e-12
"""The least length that a vector is divided by, as in torch."""


def scores_of(net: AutoencoderNet, x: Histories) -> Value:
    """The scores of histories by a network, (rows, n_items)."""
    with torch.no_grad():
        hidden = layer(net.encoder, corrupted(net.corrupt, x))
        return decoded(net.decoder, layer(net.code, hidden), x)


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, float32."""
    numbers: np.ndarray = tensor.detach().float().cpu().numpy()
    return numbers


def linear(x: Value, weight: Tensor, bias: Tensor) -> Value:
    """x W' + b with W (n_out, n_in)."""
    return apply("Gemm", x, array(weight), array(bias), transB=1)


def corrupted(module: nn.Module, x: Histories) -> Histories:
    """What a corruption does to histories without training."""
    if isinstance(module, DrawConcepts):
        module.concepts[0].drawn = None  # of the last training step, as a call in evaluation does
        return x
    if isinstance(module, network.NoCorruption | network.Noise):
        return x
    if isinstance(module, network.Chain):
        return reduce(lambda seen, step: corrupted(step, seen), module.steps, x)
    if isinstance(module, network.UnitNorm):
        size = apply("Abs", x.values)
        values = x.values / x.row_sums(size, "max")[x.row]
        lengths = apply("Sqrt", x.row_sums(values * values))
        return x.with_values(values / lengths[x.row])
    raise unknown(module)


def unknown(module: nn.Module) -> ConfigError:
    """The error for a module that has no form in ONNX here."""
    return ConfigError(
        f"to_onnx cannot write the layer {type(module).__name__}: it knows those of the models of "
        "recae; override `_onnx_scores` of the model"
    )


def cut(x: Value, start: int, end: int) -> Value:
    """Some columns."""
    return x.part([start], [end], axis=1)


def side_by_side(*parts: Value) -> Value:
    """Columns of all parts."""
    return apply("Concat", *parts, axis=1)


def unit(x: Value, axis: int) -> Value:
    """Vectors of length one, as `torch.nn.functional.normalize` makes them."""
    length = apply("Sqrt", (x * x).sum(axis, keep=True))
    return x / apply("Max", length, TINY)


@singledispatch
def layer(module: nn.Module, x: Any) -> Value:
    """What a layer or a code makes of histories or of a value."""
    raise unknown(module)


@layer.register
def _(module: nn.Sequential, x: Any) -> Value:
    found: Value = reduce(lambda value, step: layer(step, value), module, x)
    return found


@layer.register
def _(module: InputLinear, x: Histories) -> Value:
    return x.bag(array(module.weight)) + array(module.bias)


@layer.register
def _(module: Linear, x: Value) -> Value:
    return linear(x, module.weight, module.bias)


@layer.register
def _(module: UnitLinear, x: Value) -> Value:
    return linear(x, F.normalize(module.weight, dim=0), module.bias)


@layer.register
def _(module: nn.Tanh, x: Value) -> Value:
    return apply("Tanh", x)


@layer.register
def _(module: nn.ReLU, x: Value) -> Value:
    return apply("Relu", x)


@layer.register
def _(module: nn.Sigmoid, x: Value) -> Value:
    return apply("Sigmoid", x)


@layer.register
def _(module: nn.SiLU, x: Value) -> Value:
    return x * apply("Sigmoid", x)


@layer.register
def _(module: nn.LayerNorm, x: Value) -> Value:
    scale, shift = array(module.weight), array(module.bias)
    return apply("LayerNormalization", x, scale, shift, axis=-1, epsilon=module.eps)


@layer.register
def _(module: DenselyConnected, x: Any) -> Value:
    silu = nn.SiLU()
    hidden = total = layer(module.norms[0], layer(silu, layer(module.layers[0], x)))
    for step, norm in zip(list(module.layers)[1:], list(module.norms)[1:], strict=True):
        hidden = layer(norm, layer(silu, layer(step, hidden) + total))
        total = total + hidden
    return hidden


@layer.register
def _(module: Gated, x: Any) -> Value:
    return layer(module.value, x) * apply("Sigmoid", layer(module.gate, x))


@layer.register
def _(module: HierarchicalEncoder, x: Histories) -> Value:
    return side_by_side(layer(module.upper, x), layer(module.lower, x))


@layer.register
def _(module: UnitRows, x: Histories) -> Value:
    return x.bag(array(module.rows()))


@layer.register
def _(module: Concepts, x: Histories) -> Value:
    parts = []
    for share in array(module.shares().exp()).T:
        own = x.with_values(x.values * x.graph.constant(share)[x.item])
        parts.append(apply("Tanh", layer(module.read, own)))
    return side_by_side(*parts)


@layer.register
def _(module: EmptyCode, x: Histories) -> Value:
    return full(x.row, [x.rows, [0]], 0, "float32")


@layer.register
def _(module: network.DeterministicCode, x: Value) -> Value:
    return x


@layer.register
def _(module: UnitCode, x: Value) -> Value:
    return unit(x, 1)


@layer.register(network.Gaussian)
@layer.register(variational.Variational)
@layer.register(variational.CompositeGaussian)
def _(module: Any, x: Value) -> Value:
    return layer(module.mu, x)


@layer.register
def _(module: network.UserNodes, x: Value) -> Value:
    return apply("Sigmoid", x + array(module.stranger))


@layer.register
def _(module: ConceptGaussians, x: Value) -> Value:
    width, latent = module.mu.weight.shape[1], len(module.mu.weight)
    each = unit(layer(module.mu, x.reshaped([-1], [width])), 1)
    return each.reshaped(x.size, [module.n_concepts * latent])


@layer.register
def _(module: HierarchicalVamp, x: Value) -> Value:
    width = module.width
    z2 = layer(module.upper.mu, cut(x, 0, width))
    joint = side_by_side(cut(x, width, 2 * width), layer(module.from_upper, z2))
    return side_by_side(layer(module.lower.mu, layer(module.joint, joint)), z2)


@layer.register
def _(module: sparse.L1Code, x: Value) -> Value:
    return apply("Relu", x)


@layer.register
def _(module: sparse.TopUnits, x: Value) -> Value:
    # Of equal units TopK takes the lowest first, as the model does.
    kept, places = apply_many("TopK", x, [module.active], dtypes=[None, "int64"], axis=1)
    return apply("ScatterElements", x * 0.0, places, kept, axis=1)


@layer.register
def _(module: sparse.KLSparseCode, x: Value) -> Value:
    return apply("Sigmoid", x + math.log(module.rate / (1 - module.rate)))


def decoded(module: nn.Module, z: Value, x: Histories) -> Value:
    """The scores that a decoder makes of codes and histories, (rows, n_items)."""
    if isinstance(module, network.Decoder):
        return scored(module.head, layer(module.layers, z))
    if isinstance(module, HierarchicalDecoder):
        latent = module.latent
        lower = layer(module.lower, cut(z, 0, latent))
        both = side_by_side(lower, layer(module.upper, cut(z, latent, 2 * latent)))
        return scored(module.head, layer(module.joint, both))
    if isinstance(module, TiedDecoder):
        vectors = array(module.shared[0].rows())
        scores = apply("Gemm", z, vectors, transB=1)
        return x.written(scores, -x.values, "add")
    if isinstance(module, ProductDecoder):
        return _product(module, z, x)
    if isinstance(module, ConceptDecoder):
        return _mixture(module, z)
    raise unknown(module)


def scored(head: nn.Module, hidden: Value) -> Value:
    """The scores of a last layer."""
    if isinstance(head, UnitHead):
        return linear(hidden, head.atoms(), head.bias)
    if isinstance(head, LinearHead):
        return linear(hidden, head.weight, head.bias)
    if isinstance(head, CosineHead):
        return apply("Gemm", hidden, array(head.vectors()), transB=1)
    raise unknown(head)


def _product(module: ProductDecoder, z: Value, x: Histories) -> Value:
    parts: list[Value] = []
    if module.deep is not None:
        parts += [scored(module.head, layer(module.deep, z)), scored(module.from_code, z)]
    if isinstance(module.shallow, ZeroDiagonal):
        weight = array(module.shallow.weight)
        own = x.graph.constant(np.diagonal(weight))[x.item]
        parts.append(x.written(x.bag(weight), -(x.values * own), "add"))
    logs = [-apply("Softplus", -part) for part in parts]
    return reduce(lambda one, other: one + other, logs)


def _mixture(module: ConceptDecoder, z: Value) -> Value:
    encoder = module.shared[0]
    items, shares = array(encoder.directions()), array(encoder.shares())
    latent, parts = items.shape[1], []
    for concept, share in enumerate(shares.T):
        code = unit(cut(z, concept * latent, (concept + 1) * latent), 1) / TEMPERATURE
        parts.append(apply("Exp", apply("Gemm", code, items, share, transB=1)))
    return apply("Log", reduce(lambda one, other: one + other, parts))
