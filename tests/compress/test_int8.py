"""int8 weights: rounding, files and what is refused of them, and the same answers everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from hcompress import sizes
from hcompress.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from hcompress.compress import int8 as quantising
from hcompress.compress.half import halved
from hcompress.compress.options import Scale
from hcompress.compute.quantised import LEVELS, MAX_ABS, Quantised, quantised
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.lab.table1 import int8_steps
from hcompress.progress import NoProgress
from hcompress.recognisers.rebuild import with_temperature
from hcompress.spec.config import Weights
from hcompress.spec.header import KEY, Provenance
from hcompress.stages.base import Env
from hcompress.stages.int8 import Int8
from tests.builders import CONFIGS, LIGHT, SMALL, int8, pictures, recogniser

HERE = Provenance("int8", "cd" * 32)
PLAIN = {name: replace(config, weights=Weights.FP32) for name, config in CONFIGS.items()}
QUERY = "decoder.layers.0.self_attention.query.weight"

Numbers = st.one_of(
    st.floats(-8, 8, width=32),
    st.floats(-(2.0**-20), 2.0**-20, width=32),
    st.floats(-500, 500, width=32),
)
matrices = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 12)), elements=Numbers)


def env(folder: Path) -> Env:
    return Env(7, 1, HERE, NoProgress(), folder)


def squared(weight: Tensor, found: Quantised, importance: Tensor) -> Tensor:
    return (found.floats() - weight).double().square() @ importance.double()


@given(matrices)
def test_without_clipping_a_weight_moves_by_half_a_scale_at_most(array: np.ndarray) -> None:
    weight = torch.from_numpy(array)
    found = quantised(weight, None, MAX_ABS)
    assert found.values.dtype == torch.int8
    assert int(found.values.abs().max()) <= LEVELS
    assert bool((found.scale > 0).all())
    bound = found.scale[:, None] * (0.5 + 1e-4)
    assert bool(((found.floats() - weight).abs() <= bound).all())
    # Four bits: at most an eighth coarser than the finest scale, where FP16 has these bits.
    finest = weight.abs().amax(1) / LEVELS
    assert bool((found.scale <= (finest * 1.126).clamp(min=2.0**-24) + 2.0**-24).all())


@given(matrices, st.integers(0, 2**32 - 1))
def test_searching_never_raises_the_error_it_searches_by(array: np.ndarray, seed: int) -> None:
    weight = torch.from_numpy(array)
    importance = torch.from_numpy(np.random.default_rng(seed).random(array.shape[1], np.float32))
    plain = quantised(weight, importance, MAX_ABS)
    for given_, counted in ((importance, importance), (None, torch.ones_like(importance))):
        before, after = (
            squared(weight, plain, counted),
            squared(weight, quantised(weight, given_), counted),
        )
        assert bool((after <= before * (1 + 1e-4) + 1e-12).all())


@given(matrices)
def test_fp16_holds_every_weight(array: np.ndarray) -> None:
    floats = quantised(torch.from_numpy(array)).floats()
    assert torch.equal(floats.half().float(), floats)


def test_a_row_of_zeros_stays_zeros() -> None:
    found = quantised(torch.zeros(2, 5))
    assert not found.values.any()
    assert bool((found.scale > 0).all())
    assert not found.floats().any()


def test_an_outlier_keeps_its_place_unless_its_input_is_never_there() -> None:
    weight = torch.linspace(-0.6, 0.6, 64)[None].clone()
    weight[0, 7] = 1.0
    seen, dead = torch.ones(64), torch.ones(64)
    dead[7] = 0
    assert quantised(weight, seen).floats()[0, 7] == pytest.approx(1, abs=0.01)
    found = quantised(weight, dead)
    assert found.values[0, 7] == LEVELS
    assert float(found.floats()[0, 7]) < 0.9
    assert squared(weight, found, dead) < squared(weight, quantised(weight, seen), dead)


def test_moments_are_the_mean_squares_of_what_a_matrix_is_given() -> None:
    made = recogniser(PLAIN["light"])
    images = torch.from_numpy(pictures(3, made.config))
    moments = quantising.input_moments(made.model, images.split(1))
    assert moments.keys() == quantising.matrices(made.model).keys()
    memory = made.model.encode(images).detach().double()
    ratio = moments["decoder.layers.0.cross_attention.key.weight"] / memory.square().sum((0, 1))
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-4, atol=0)
    assert not any(m._forward_hooks for m in made.model.modules())


@pytest.mark.parametrize("name", PLAIN)
def test_the_stage_takes_a_byte_a_weight_and_two_a_channel(name: str, tmp_path: Path) -> None:
    made = recogniser(PLAIN[name])
    save_checkpoint(tmp_path / "model.safetensors", made.model, made.vocabulary, HERE)
    out = tmp_path / "out"
    out.mkdir()
    report = Int8(scale=Scale.MAX_ABS).run(tmp_path, out, env(tmp_path))
    loaded = load_checkpoint(out)
    assert loaded.config.weights is Weights.INT8
    state, packed = loaded.model.state_dict(), loaded.packed
    assert report["quantised"] == len(packed) == len(quantising.matrices(loaded.model))
    weights = sum(state[n].numel() + 2 * len(state[n]) for n in packed)
    rest = sum(
        v.numel() * (2 if v.is_floating_point() else 1) for n, v in state.items() if n not in packed
    )
    found = sizes.layout(out / "model.safetensors")
    assert sum(piece.bytes for piece in found.pieces) == weights + rest
    rows = sizes.breakdown(out / "model.safetensors")
    assert rows.component("other").bytes == 0, "a scale belongs where its weight does"
    assert rows.component("container").bytes == rows.bytes - weights - rest
    before = quantising.prepared(made.model).state_dict()
    for tensor, value in state.items():
        moved = (value - before[tensor]).abs().flatten(1 if tensor in packed else 0)
        rounded = before[tensor].abs().flatten() * 2**-11 + 1e-7  # FP16's
        bound = packed[tensor].scale[:, None] * 0.5001 if tensor in packed else rounded
        assert bool((moved <= bound).all()), tensor
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, loaded.model, loaded.vocabulary, HERE, packed=packed)
    assert again.read_bytes() == (out / "model.safetensors").read_bytes()


def test_lines_decide_the_scales_where_there_are_any(tmp_path: Path) -> None:
    made = recogniser(PLAIN["light"])
    save_checkpoint(tmp_path / "model.safetensors", made.model, made.vocabulary, HERE)
    for number, picture in enumerate(pictures(3, made.config)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    lines = tmp_path / "lines.txt"
    lines.write_text("".join(f"{n}.png\t一\n" for n in range(3)), encoding="utf-8")
    written = []
    for number, stage in enumerate(
        (Int8(), Int8(data=lines), Int8(data=lines, scale=Scale.MAX_ABS), Int8(scale=Scale.MAX_ABS))
    ):
        out = tmp_path / f"out{number}"
        out.mkdir()
        stage.run(tmp_path, out, env(tmp_path))
        written.append((out / "model.safetensors").read_bytes())
    assert len(set(written)) == 3
    assert written[2] == written[3]


def test_it_follows_half_and_nothing_rounds_twice() -> None:
    made = recogniser(PLAIN["light"])
    half, _, _ = halved(recogniser(SMALL).model, (), fold=True)
    assert quantising.with_int8_weights(quantising.prepared(half), {}).packed
    done = quantising.with_int8_weights(made.model, {})
    with pytest.raises(UsageError, match="int8 already"):
        quantising.prepared(done.model)
    with pytest.raises(UsageError, match="int8 already"):
        halved(done.model, (), fold=False)


def test_what_is_kept_and_what_cannot_be_held() -> None:
    model = recogniser(PLAIN["light"]).model
    done = quantising.with_int8_weights(model, {}, ("classifier", "backbone.stem"))
    assert done.report["kept"] == ["backbone.stem.conv.weight", "classifier.projection.weight"]
    assert not done.packed.keys() & set(done.report["kept"])
    assert not any("depthwise" in name for name in done.packed)
    with pytest.raises(UsageError, match=r"no int8 tensor's name starts with 'decoder\.norm'"):
        quantising.with_int8_weights(model, {}, ("decoder.norm",))
    with pytest.raises(UsageError, match="leaves no tensor"):
        quantising.with_int8_weights(model, {}, ("",))
    for value in (1e6, float("inf"), float("nan")):
        with torch.no_grad():
            model.state_dict()[QUERY][1, 2] = value
        with pytest.raises(NumericalError, match=r"self_attention\.query\.weight"):
            quantising.with_int8_weights(model, {})


def test_a_changed_model_is_no_longer_int8(tmp_path: Path) -> None:
    made = int8(LIGHT)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, with_temperature(made.model, 2.0), made.vocabulary, HERE)
    assert load_checkpoint(path).config.weights is Weights.FP32
    assert "INT8" not in sizes.techniques_of(path)
    save_checkpoint(path, made.model, made.vocabulary, HERE, packed=made.packed)
    assert "INT8" in sizes.techniques_of(path)


Change = Callable[[dict[str, Tensor]], None]


def scale_as(value: float) -> Change:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[QUERY + ".scale"][3] = value

    return change


def with_(name: str, tensor: Tensor) -> Change:
    return lambda tensors: tensors.update({name: tensor})


HOSTILE: dict[str, tuple[Change, type[Exception], str]] = {
    "nan": (scale_as(float("nan")), NumericalError, "scale holds NaN or infinity"),
    "infinity": (scale_as(float("inf")), NumericalError, "scale holds NaN or infinity"),
    "zero": (scale_as(0), InputRefused, "not above zero"),
    "negative": (scale_as(-1), InputRefused, "not above zero"),
    "overflow": (
        with_(QUERY + ".scale", torch.full((32,), 3e38)), NumericalError, "makes infinity"),
    "missing": (lambda t: void(t.pop(QUERY + ".scale")), InputRefused, "scale is missing"),
    "short": (with_(QUERY + ".scale", torch.ones(31)), InputRefused, "ask for"),
    "a matrix": (with_(QUERY + ".scale", torch.ones(32, 1)), InputRefused, "ask for"),
    "whole numbers": (
        with_(QUERY + ".scale", torch.ones(32, dtype=torch.int8)), InputRefused, "torch.int8"),
    "float64": (
        with_(QUERY + ".scale", torch.ones(32, dtype=torch.float64)), InputRefused, "float64"),
    "scale of floats": (with_(QUERY, torch.ones(32, 32)), InputRefused, "scale is unexpected"),
    "uint8": (with_(QUERY, torch.ones(32, 32, dtype=torch.uint8)), InputRefused, "unexpected"),
    "int8 vector": (
        with_("decoder.norm.bias", torch.ones(32, dtype=torch.int8)), InputRefused, "torch.int8"),
    "scale of nothing": (with_("x.scale", torch.ones(3)), InputRefused, "x.scale is unexpected"),
    "weight of another shape": (
        with_(QUERY, torch.ones(32, 31, dtype=torch.int8)), InputRefused, "ask for"),
}  # fmt: skip


def void(_: object) -> None:
    """What a lambda that changes something gives."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    change, error, message = HOSTILE[name]
    path, made = tmp_path / "model.safetensors", int8(LIGHT)
    save_checkpoint(path, made.model, made.vocabulary, HERE, packed=made.packed)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, path, metadata={KEY: metadata[KEY]})
    with pytest.raises(error, match=message):
        load_checkpoint(path)


def test_table1_lists_each_code_length_once() -> None:
    assert [step.title for step in int8_steps(256) if step.title] == ["INT8, 256 bits"]
    assert [step.title for step in int8_steps(512) if step.title] == [
        "INT8, 512 bits",
        "INT8, 256 bits",
    ]
