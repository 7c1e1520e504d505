"""The files an export consists of.

Portable: one file, images in, ids and probabilities out, for any ONNX Runtime. Serving: an
encoder and a decoder step, for servers that batch and for TensorRT, which takes no int8 weights
in a decoder step: there they are what they stand for. T = steps, k = candidates,
D = layers, U = layers whose weights exist, H = heads, L = memory positions, d = width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor, nn

from hcompress.heads.contract import Form, Head, Inputs, Ranked
from hcompress.heads.ranked import kept_candidates
from hcompress.onnx_writer.graph import Graph, value
from hcompress.onnx_writer.sinusoid import sinusoid_nodes
from hcompress.recognisers.attention import sinusoid
from hcompress.recognisers.backbones.graph import backbone, grid_positions, normalise
from hcompress.recognisers.transformer.graph import Pair, cross_pair, here, position_vector, step
from hcompress.recognisers.transformer.positions import Positions, kind_of_positions
from hcompress.spec.config import TransformerConfig
from hcompress.spec.exported import BIT_LOGITS, ENCODER_FILE, HEIGHT, STEP, STEP_FILE
from hcompress.spec.transcription import Transcription

BOOL, FLOAT, INT64, UINT8 = (
    TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
)  # fmt: skip


class Parts(NamedTuple):
    """What the files of a recogniser are written from."""

    config: TransformerConfig
    vocabulary: int
    backbone: nn.Module
    head: Head
    inputs: Inputs
    state: Mapping[str, Tensor]


def portable(
    model: Parts,
    metadata: str,
    *,
    store_half: bool,
    weights: Mapping[str, Tensor] | None = None,
    probe: bool = False,
) -> onnx.ModelProto:
    """images uint8 [N, H, W, 3] -> ids int64 [N, T, k], probabilities float32 [N, T, k].

    The same answers as `Recogniser.read`: greedy, T ends with the longest line. ``weights``
    are the model's as a file has them, where some are int8. With ``probe`` a Hamming
    classifier's bit logits [N, T, K] come out too.
    """
    config, size = model.config, model.config.preprocessing
    g = Graph(model.state if weights is None else weights, store_half=store_half)
    memory = _memory(g, model, "images")
    cross = [cross_pair(g, config, memory, i) for i in range(config.stored_layers)]
    prepared = _prepared(g, model, Form(serving=False, height=size.height))
    count = g.op("Shape", "images", start=0, end=1)
    nothing = _filled(g, count, (config.heads, 0, config.width // config.heads), 0, FLOAT)
    start = [
        _filled(g, count, (), _bos(config.transcription), INT64),
        _filled(g, count, (1,), 1, BOOL),
    ]
    start += [nothing] * (2 * config.depth)
    body, names = _body(g, model, cross, prepared, probe)
    limit, always = g.number(config.max_steps, INT64), g.number(True, BOOL)
    ended = g.ops("Loop", limit, always, *start, outputs=len(start) + len(names), body=body)
    for name, stacked in zip(names, ended[len(start) :], strict=True):
        g.rename(g.op("Transpose", stacked, perm=[1, 0, 2]), name)
    if g.unused:
        raise AssertionError(f"not exported: {', '.join(sorted(g.unused))}")
    kept = _kept(model)
    shapes = {
        "ids": (INT64, ("N", "T", kept)),
        "probabilities": (FLOAT, ("N", "T", kept)),
        "bit_logits": (FLOAT, ("N", "T", config.code_length or 0)),
    }
    images = value("images", UINT8, ("N", HEIGHT, size.width, size.channels))
    return g.model([images], [value(name, *shapes[name]) for name in names], metadata)


def _body(
    g: Graph, model: Parts, cross: list[Pair], prepared: tuple[Any, Any], probe: bool
) -> tuple[onnx.GraphProto, list[str]]:
    """One turn of the loop, and the names of what it stacks."""
    inner, config = g.body(), model.config
    turn, going, last, alive = inner.name(), inner.name(), inner.name(), inner.name()
    caches = [Pair(inner.name(), inner.name()) for _ in range(config.depth)]
    place = position_vector(inner, config, turn)
    characters = model.inputs.graph(inner, last, place, prepared[1])
    h, written = step(inner, config, characters, None, caches, cross)
    ranked = model.head.graph(inner, h, prepared[0])
    if ranked.bit_logits is not None:
        inner.rename(ranked.bit_logits, BIT_LOGITS)
    ids, chances = _unless_ended(inner, config.transcription, alive, ranked)
    newest = inner.op("Gather", ids, inner.number(0, INT64), axis=1)
    goes_on = inner.op(
        "Greater",
        inner.op("Unsqueeze", newest, inner.ints(1)),
        inner.number(config.transcription.eos or 0, INT64),
    )
    any_goes_on = inner.op("ReduceMax", inner.to(goes_on, TensorProto.INT32), keepdims=0)
    scans = {"ids": (ids, INT64), "probabilities": (chances, FLOAT)}
    if probe and ranked.bit_logits is not None:
        scans["bit_logits"] = (BIT_LOGITS, FLOAT)
    inputs = [value(turn, INT64, ()), value(going, BOOL, ()), value(last, INT64, None)]
    inputs += [value(alive, BOOL, None)]
    inputs += [value(part, FLOAT, None) for pair in caches for part in pair]
    outputs = [value(inner.to(any_goes_on, BOOL), BOOL, ()), value(newest, INT64, None)]
    outputs += [value(goes_on, BOOL, None)]
    outputs += [value(part, FLOAT, None) for pair in written for part in pair]
    outputs += [value(name, kind, None) for name, kind in scans.values()]
    return onnx.helper.make_graph(inner.nodes, STEP, inputs, outputs), list(scans)


def encoder(model: Parts, metadata: str, *, store_half: bool, half: bool) -> onnx.ModelProto:
    """images uint8 [N, H, W, 3] -> cross_keys [N, U, H, d/H, L], cross_values [N, U, H, L, d/H]."""
    config, size = model.config, model.config.preprocessing
    g = Graph(model.state, store_half=store_half, half=half)
    memory = _memory(g, model, "images")
    cross = [cross_pair(g, config, memory, i) for i in range(config.stored_layers)]
    _join(g, cross, "cross_keys", "cross_values")
    images = value("images", UINT8, ("N", size.height, size.width, size.channels))
    return g.model([images], _cross(config, g.kind), metadata)


def decoder_step(model: Parts, metadata: str, *, store_half: bool, half: bool) -> onnx.ModelProto:
    """ids int64 [N], position int64 [], keys, values, cross_keys, cross_values
    -> candidates int64 [N, k], probabilities float32 [N, k], new_keys, new_values.

    keys are [N, D, H, d/H, T], values [N, D, H, T, d/H], zeros before the first step; the
    first ids are BOS. A line whose id is EOS or PAD has ended and is answered PAD.
    """
    config = model.config
    g = Graph(model.state, store_half=store_half, half=half)
    caches = _split(g, "keys", "values", config.depth)
    cross = _split(g, "cross_keys", "cross_values", config.stored_layers)
    prepared = _prepared(g, model, Form(serving=True))
    place = position_vector(g, config, "position")
    characters = model.inputs.graph(g, "ids", place, prepared[1])
    at = here(g, config, "position")
    h, written = step(g, config, characters, at, caches, cross)
    ranked = model.head.graph(g, h, prepared[0])
    special = config.transcription
    ids, chances = _unless_ended(g, special, _running(g, special, "ids"), ranked)
    _join(g, written, "new_keys", "new_values")
    g.rename(ids, "candidates")
    g.rename(chances, "probabilities")
    head, length = config.width // config.heads, config.max_steps
    keys = ("N", config.depth, config.heads, head, length)
    values = ("N", config.depth, config.heads, length, head)
    kept = _kept(model)
    inputs = [
        value("ids", INT64, ("N",)),
        value("position", INT64, ()),
        value("keys", g.kind, keys),
        value("values", g.kind, values),
        *_cross(config, g.kind),
    ]
    outputs = [
        value("candidates", INT64, ("N", kept)),
        value("probabilities", FLOAT, ("N", kept)),
        value("new_keys", g.kind, keys),
        value("new_values", g.kind, values),
    ]
    return g.model(inputs, outputs, metadata)


def serving(
    model: Parts, metadata: str, *, store_half: bool, half: bool
) -> dict[str, onnx.ModelProto]:
    """The serving form, by file name."""
    return {
        name: write(model, metadata, store_half=store_half, half=half)
        for name, write in ((ENCODER_FILE, encoder), (STEP_FILE, decoder_step))
    }


def _prepared(g: Graph, model: Parts, form: Form) -> tuple[Any, Any]:
    """What head and inputs need once, in this order."""
    of_head = model.head.prepare(g, form)
    return of_head, model.inputs.prepare(g, form, of_head)


def _kept(model: Parts) -> int:
    return kept_candidates(model.vocabulary, model.config.transcription.first_answer)


def _bos(special: Transcription) -> int:
    assert special.bos is not None
    return special.bos


def _unless_ended(g: Graph, special: Transcription, alive: str, ranked: Ranked) -> tuple[str, str]:
    """The best ids and chances; a line that has ended answers PAD with certainty.

    alive bool [N, 1]: whether the line goes on.
    """
    assert special.pad is not None
    ids = g.op("Where", alive, ranked.ids, g.number(special.pad, INT64))
    return ids, g.op("Where", alive, ranked.chances, g.number(1.0))


def _running(g: Graph, special: Transcription, last: str) -> str:
    """bool [N, 1]: whether a line whose last id is this goes on (BOS or a character)."""
    assert special.eos is not None
    assert special.pad is not None
    over = g.op(
        "Or",
        g.op("Equal", last, g.number(special.eos, INT64)),
        g.op("Equal", last, g.number(special.pad, INT64)),
    )
    return g.op("Unsqueeze", g.op("Not", over), g.ints(1))


def _cross(config: TransformerConfig, kind: int) -> list[onnx.ValueInfoProto]:
    head, (rows, columns) = config.width // config.heads, config.memory_grid
    places = rows * columns
    return [
        value("cross_keys", kind, ("N", config.stored_layers, config.heads, head, places)),
        value("cross_values", kind, ("N", config.stored_layers, config.heads, places, head)),
    ]


def _memory(g: Graph, model: Parts, images: str) -> str:
    """[N * L, d]: the encoder's features with their positions."""
    config = model.config
    rows, columns = config.memory_grid
    half = config.width // 2
    kind = kind_of_positions(config)
    features = backbone(g, model.backbone, normalise(g, images, config.preprocessing))
    if kind is Positions.GRID:
        features = grid_positions(
            g,
            features,
            sinusoid(rows, half).T[:, :, None].contiguous().numpy(),
            sinusoid(columns, half).T[:, None].contiguous().numpy(),
        )
    rowwise = g.op("Transpose", features, perm=[0, 2, 3, 1])
    if kind is Positions.LINE:
        lines = g.op("Reshape", rowwise, g.ints(-1, rows * columns, config.width))
        table = sinusoid_nodes(g, g.ints(rows * columns), config.width)
        rowwise = g.narrowed(g.op("Add", g.widened(lines), table))
    return g.op("Reshape", rowwise, g.ints(-1, config.width))


def _filled(g: Graph, count: str, shape: tuple[int, ...], number: int, kind: int) -> str:
    """[N, *shape] of one number."""
    full = g.op("Concat", count, g.ints(*shape), axis=0) if shape else count
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    filler = onnx.numpy_helper.from_array(np.array([number], dtype))
    return g.op("ConstantOfShape", full, value=filler)


def _split(g: Graph, keys: str, values: str, layers: int) -> list[Pair]:
    """Stacked [N, layers, ...] -> a pair a layer."""
    places = [g.number(index, INT64) for index in range(layers)]
    return [
        Pair(g.op("Gather", keys, place, axis=1), g.op("Gather", values, place, axis=1))
        for place in places
    ]


def _join(g: Graph, pairs: list[Pair], keys: str, values: str) -> None:
    """A pair a layer -> stacked outputs of these names."""
    for name, parts in ((keys, [p.keys for p in pairs]), (values, [p.values for p in pairs])):
        apart = [g.op("Unsqueeze", part, g.ints(1)) for part in parts]
        g.rename(g.op("Concat", *apart, axis=1), name)
