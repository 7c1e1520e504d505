"""Files that torch and onnx themselves write: measured and read without either."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from hcompress import sizes
from hcompress.errors import InputRefused
from hcompress.formats import onnx as onnxfile

torch.manual_seed(7)

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
LATER = (torch.uint16, torch.uint32, torch.uint64, torch.complex64)


def network() -> torch.nn.Module:
    return torch.nn.ModuleDict(
        {
            "backbone": torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)),
            "embedding": torch.nn.Embedding(50, 16),
            "classifier": torch.nn.Linear(16, 50),
        }
    )


def rows(path: Path) -> dict[str, tuple[int, int]]:
    found = sizes.breakdown(path)
    assert sum(row.bytes for row in found.components) == found.bytes
    return {row.name: (row.bytes, row.params) for row in found.components}


def test_a_module_measures_the_same_in_both_formats(tmp_path: Path) -> None:
    model = network()
    state = model.state_dict()
    torch.save(state, tmp_path / "m.pt")
    save_file(state, tmp_path / "m.safetensors")
    one, two = rows(tmp_path / "m.pt"), rows(tmp_path / "m.safetensors")
    one.pop("container"), two.pop("container")
    assert one == two
    assert one["embedding"] == (3200, 800)
    assert one["classifier"] == (3400, 850)
    stored = sum(t.numel() * t.element_size() for t in state.values())
    assert sum(size for size, _ in one.values()) == stored


def test_layers_shared_six_ways_count_once(tmp_path: Path) -> None:
    layer = torch.nn.Linear(64, 64)
    model = torch.nn.ModuleDict({"decoder": torch.nn.ModuleDict(
        {"layers": torch.nn.ModuleList([layer] * 6)}
    )})  # fmt: skip
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert rows(tmp_path / "m.pt")["decoder attention"] == (4 * 64 * 65, 64 * 65)


@pytest.mark.parametrize("dtype", [*FLOATS, *WHOLES, *LATER], ids=str)
def test_every_dtype_is_measured(dtype: torch.dtype, tmp_path: Path) -> None:
    whole = torch.zeros(3, 4, 5, dtype=dtype)
    state = {"a": whole, "turned": whole.transpose(0, 2), "part": whole[1:, ::2]}
    torch.save(state, tmp_path / "m.pt")
    assert rows(tmp_path / "m.pt")["other"] == (60 * dtype.itemsize, 60)


@pytest.mark.filterwarnings("ignore")
def test_quantised_tensors_are_measured_with_their_scales(tmp_path: Path) -> None:
    weight, scales = torch.randn(10, 16), torch.rand(10) + 0.1
    zeros = torch.zeros(10, dtype=torch.int64)
    state = {
        "classifier.w": torch.quantize_per_tensor(weight, 0.1, 3, torch.quint8),
        "embedding.w": torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8),
        "backbone.b": torch.quantize_per_tensor(weight, 0.1, 0, torch.qint32),
        "codebook": torch.quantize_per_channel(weight, scales, scales, 0, torch.quint4x2),
    }
    torch.save(state, tmp_path / "m.pt")
    found = rows(tmp_path / "m.pt")
    assert found["classifier"] == (160, 160)
    assert found["embedding"][0] == 160 + 10 * (8 + 8)
    assert found["backbone"] == (640, 160)
    assert found["codebook"][0] == 80 + 10 * 4  # one tensor is both


@pytest.mark.filterwarnings("ignore")
def test_dynamically_quantised_modules_are_measured(tmp_path: Path) -> None:
    module = torch.nn.ModuleDict(
        {"classifier": torch.nn.Linear(16, 100), "backbone": torch.nn.LSTM(8, 8)}
    )
    kinds = {torch.nn.Linear, torch.nn.LSTM}
    small = torch.ao.quantization.quantize_dynamic(module.eval(), kinds, dtype=torch.qint8)
    torch.save(small.state_dict(), tmp_path / "m.pt")
    found = rows(tmp_path / "m.pt")
    assert found["classifier"] == (1600 + 4 * 100 + 4 + 8, 1600 + 100 + 2)
    assert found["backbone"][0] >= 2 * 4 * 8 * 8 + 2 * 4 * 4 * 8


def test_a_trainers_checkpoint_is_found_inside(tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model["classifier"](model["embedding"](torch.arange(3))).sum().backward()
    optimizer.step()
    torch.save(
        {
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": 12,
            "best": 0.75,
            "charset": "abc汉",
            "config": {"width": 16, "parts": ["a", "b"], "size": torch.Size([2, 3])},
            "weights": OrderedDict(a=1),
            "tags": {"x"},
            "raw": b"\x00\xff",
            "dtype": torch.float16,
            "device": torch.device("cpu"),
        },
        tmp_path / "m.pt",
    )
    names = {piece.name for piece in sizes.layout(tmp_path / "m.pt").pieces}
    assert {f"state_dict.{name}" for name in model.state_dict()} < names
    assert rows(tmp_path / "m.pt")["embedding"] == (3200, 800)


def test_parameters_and_empty_tensors(tmp_path: Path) -> None:
    state = {
        "classifier.w": torch.nn.Parameter(torch.ones(2, 3)),
        "classifier.e": torch.empty(0, 4),
    }
    torch.save(state, tmp_path / "m.pt")
    assert rows(tmp_path / "m.pt")["classifier"] == (24, 6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (network(), "torch.nn.modules"),
        ({"w": torch.ones(2, 2).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"w": torch.zeros(1).expand(1000)}, "declares 1000 elements"),
    ],
    ids=["module", "sparse", "expanded"],
)
def test_what_is_not_a_state_dict(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(InputRefused, match=said):
        sizes.breakdown(tmp_path / "m.pt")


def test_old_and_scripted_files_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputRefused, match="bare pickle"):
        sizes.breakdown(tmp_path / "m.pt")


# ---- ONNX


def tensor(name: str, array: np.ndarray[Any, Any]) -> TensorProto:
    return numpy_helper.from_array(array, name)


def model_of(
    *initialisers: TensorProto, nodes: list[onnx.NodeProto] | None = None
) -> onnx.ModelProto:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes or [], "g", [], [out], initializer=initialisers)
    return helper.make_model(graph)


def test_every_way_to_hold_a_tensor(tmp_path: Path) -> None:
    kinds = {
        TensorProto.FLOAT: 4, TensorProto.DOUBLE: 8, TensorProto.INT64: None,
        TensorProto.INT32: None, TensorProto.UINT8: None, TensorProto.UINT64: None,
        TensorProto.FLOAT16: None, TensorProto.BOOL: None, TensorProto.INT4: None,
        TensorProto.COMPLEX64: 8,
    }  # fmt: skip
    typed = [
        helper.make_tensor(f"backbone.{kind}", kind, [2, 3], [1, 0, 1, 1, 0, 1]) for kind in kinds
    ]
    onnx.save(model_of(*typed), tmp_path / "m.onnx")
    found = sizes.layout(tmp_path / "m.onnx")
    for piece, width in zip(found.pieces, kinds.values(), strict=True):
        assert piece.params == 6
        assert width is None or piece.bytes == 6 * width
    assert rows(tmp_path / "m.onnx")["backbone"][1] == 60


def test_raw_data_and_groups(tmp_path: Path) -> None:
    onnx.save(
        model_of(
            tensor("backbone.w", np.ones((8, 8), np.float16)),
            tensor("decoder.layers.0.feed_forward.w", np.ones(10, np.float32)),
            tensor("codebook", np.ones((5, 4), np.uint8)),
            tensor("names", np.array(["a", "b"], object)),
        ),
        tmp_path / "m.onnx",
    )
    found = rows(tmp_path / "m.onnx")
    assert found.pop("container")[0] == (tmp_path / "m.onnx").stat().st_size - 188
    assert found == {"backbone": (128, 64), "decoder FFN": (40, 10), "codebook": (20, 20)}


def test_external_data_as_onnx_writes_it(tmp_path: Path) -> None:
    model = model_of(
        tensor("backbone.w", np.ones(3000, np.float32)),
        tensor("embedding.w", np.ones(2000, np.float32)),
    )
    onnx.save(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    found = sizes.breakdown(tmp_path / "m.onnx")
    assert found.bytes == sum((tmp_path / n).stat().st_size for n in ("m.onnx", "m.data"))
    assert found.component("backbone").bytes == 12000
    assert found.component("embedding").bytes == 8000
    (tmp_path / "m.data").write_bytes(b"")
    with pytest.raises(InputRefused, match="ends at"):
        sizes.breakdown(tmp_path / "m.onnx")


def test_sparse_and_constants(tmp_path: Path) -> None:
    value = tensor("", np.ones(7, np.float32))
    node = helper.make_node("Constant", [], ["classifier.scale"], value=value)
    model = model_of(nodes=[node])
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            tensor("backbone.s", np.ones(3, np.float32)),
            helper.make_tensor("", TensorProto.INT64, [3], b"\0" * 24, raw=True),
            [100],
        )
    )
    onnx.save(model, tmp_path / "m.onnx")
    found = rows(tmp_path / "m.onnx")
    assert found["classifier"] == (28, 7)
    assert found["backbone"] == (36, 6)
    assert "other" not in found


def test_field_numbers_are_those_of_onnx() -> None:
    """Every message that can hold a tensor is entered, under the number onnx gives it."""
    short = {name.removesuffix("Proto").removesuffix("Tensor"): name for name in (
        "GraphProto", "NodeProto", "AttributeProto", "FunctionProto", "SparseTensorProto",
    )}  # fmt: skip
    short |= {"Tensor": "TensorProto", "Training": "TrainingInfoProto", "Model": "ModelProto"}
    for name, inside in onnxfile._INSIDE.items():
        descriptor = getattr(onnx, short[name]).DESCRIPTOR
        wanted = {
            field.number: field.message_type.name
            for field in descriptor.fields
            if field.message_type is not None and field.message_type.name in short.values()
        }
        assert {number: short[kind] for number, kind in inside.items()} == wanted


def test_every_data_type_of_onnx_is_known() -> None:
    known = set(onnxfile._BITS) | {TensorProto.UNDEFINED, TensorProto.STRING}
    assert set(TensorProto.DataType.values()) <= known
    for kind in (TensorProto.FLOAT, TensorProto.INT8, TensorProto.BFLOAT16, TensorProto.INT64):
        assert onnxfile._BITS[kind] == 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize
