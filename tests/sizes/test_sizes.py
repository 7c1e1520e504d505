"""Breakdowns add up, name the right parts, and are read from what a file holds."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress import sizes
from hcompress.errors import InputRefused, UsageError
from hcompress.sizes.breakdown import tally
from hcompress.spec.config import Backbone, RecogniserConfig, TransformerConfig, Weights
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax
from hcompress.strict.digest import file_digest
from tests import model_files as make


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def as_dict(breakdown: sizes.Breakdown) -> dict[str, tuple[int, int]]:
    return {row.name: (row.bytes, row.params) for row in breakdown.components}


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("backbone.stages.0.conv.weight", "backbone"),
        ("decoder.layers.0.self_attention.query.weight", "decoder attention"),
        ("decoder.layers.2.feed_forward.0.weight", "decoder FFN"),
        ("decoder.layers.2.feed_forward_norm.bias", "decoder FFN"),
        ("decoder.norm.weight", "decoder attention"),
        ("embedding.weight", "embedding"),
        ("classifier.projection.weight", "classifier"),
        ("codebook", "codebook"),
        ("codebook_packed", "codebook"),
        ("model.codebook", "codebook"),
        ("step.decoder.layers.0.feed_forward.2.bias", "decoder FFN"),
        ("encoder.backbone.stem.weight", "backbone"),
        ("/decoder/layers.0/feed_forward/MatMul_weight", "decoder FFN"),
        # Checkpoints written elsewhere: MASTER, parseq, doctr, transformers.
        ("module.encoder.conv_layer.0.weight", "backbone"),
        ("state_dict.conv1.weight", "backbone"),
        ("layer1.0.bn1.running_mean", "backbone"),
        ("decoder.layers.0.linear1.weight", "decoder FFN"),
        ("decoder.embedding.weight", "embedding"),
        ("text_embed.embedding.weight", "embedding"),
        ("tgt_embed.lut.weight", "embedding"),
        ("generator.fc.weight", "classifier"),
        ("head.weight", "classifier"),
        ("fc.bias", "classifier"),
        ("model.decoder.block.3.ffn.weight", "decoder FFN"),
        ("feat_extractor.resnet.0.weight", "backbone"),
        ("encoder.blocks.0.mlp.fc1.weight", "backbone"),
        ("model.decoder.layers.0.encoder_attn.k_proj.weight", "decoder attention"),
        ("val_123", "other"),
        ("", "other"),
    ],
)
def test_group_of_names(name: str, group: str) -> None:
    assert sizes.group_of(name) == group


@given(st.text(max_size=60))
def test_every_name_has_a_group(name: str) -> None:
    assert sizes.group_of(name) in sizes.GROUPS


def test_safetensors(tmp_path: Path) -> None:
    path = write(tmp_path, "model.safetensors", make.good_safetensors())
    found = sizes.breakdown(path)
    assert found.bytes == path.stat().st_size
    rows = as_dict(found)
    assert rows.pop("container")[0] == found.bytes - 110
    assert rows == {
        "backbone": (64, 16),
        "decoder attention": (8, 4),
        "decoder FFN": (32, 8),
        "codebook": (6, 6),
    }
    names = [row.name for row in found.components]
    assert names == [group for group in sizes.GROUPS if group in names]


def test_torch_file_counts_a_shared_storage_once(tmp_path: Path) -> None:
    path = write(tmp_path, "model.pt", make.good_pt())
    found = sizes.breakdown(path)
    rows = as_dict(found)
    assert found.bytes == path.stat().st_size == sum(size for size, _ in rows.values())
    assert rows["backbone"] == (64, 16)
    assert rows["classifier"] == (24, 6)
    assert "embedding" not in rows


def test_views_into_one_storage_each_get_their_part(tmp_path: Path) -> None:
    body = make.p_dict(
        {
            "backbone.a": make.p_tensor("0", 10, [4], [1]),
            "classifier.b": make.p_tensor("0", 10, [4], [1], offset=4),
        }
    )
    rows = as_dict(sizes.breakdown(write(tmp_path, "m.pt", make.pt_bytes(body, {"0": bytes(40)}))))
    assert rows["backbone"] == (16, 4)
    assert rows["classifier"] == (24, 6)  # and the two elements nobody looks at


def as_zip64(data: bytes) -> bytes:
    """The same archive with its directory as for members beyond 4 GiB."""
    end = data.rindex(b"PK\x05\x06")
    start, count = struct.unpack_from("<I", data, end + 16)[0], data.count(b"PK\x01\x02")
    directory = b""
    for record in data[start:end].split(b"PK\x01\x02")[1:]:
        sizes_and_offset = struct.unpack_from("<I", record, 16) * 2
        sizes_and_offset += struct.unpack_from("<I", record, 38)
        extra = struct.pack("<HH3Q", 1, 24, *sizes_and_offset)
        head = record[:16] + b"\xff" * 8 + record[24:26] + struct.pack("<H", len(extra))
        head += record[28:38] + b"\xff" * 4
        directory += b"PK\x01\x02" + head + record[42:] + extra
    at = start + len(directory)
    fixed = struct.pack("<Q4xQQQQ", 44, count, count, len(directory), start)
    record64 = b"PK\x06\x06" + fixed[:8] + b"-\0-\0" + bytes(8) + fixed[12:]
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, at, 1)
    tail = struct.pack("<4x2H2IH", count, count, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return data[:start] + directory + record64 + locator + b"PK\x05\x06" + tail


def test_members_beyond_4_gib(tmp_path: Path) -> None:
    plain = sizes.breakdown(write(tmp_path, "a.pt", make.good_pt()))
    wide = sizes.breakdown(write(tmp_path, "b.pt", as_zip64(make.good_pt())))
    assert [r for r in wide.components if r.name != "container"] == [
        r for r in plain.components if r.name != "container"
    ]


def test_onnx(tmp_path: Path) -> None:
    path = write(tmp_path, "model.onnx", make.good_onnx())
    rows = as_dict(sizes.breakdown(path))
    assert rows.pop("container")[0] == path.stat().st_size - 70
    assert rows == {"backbone": (64, 16), "codebook": (6, 6)}


def test_onnx_external_data_counts(tmp_path: Path) -> None:
    tensors = (
        make.o_external("backbone.w", [4], location="sub/w.bin", offset="16", length="16"),
        make.o_external("embedding.w", [4], location="sub/w.bin", offset="16", length="16"),
        make.o_external("classifier.w", [2], location="v.bin"),
    )
    (tmp_path / "sub").mkdir()
    write(tmp_path, "sub/w.bin", bytes(40))
    write(tmp_path, "v.bin", bytes(8))
    path = write(tmp_path, "model.onnx", make.onnx_bytes(*tensors))
    found = sizes.breakdown(path)
    assert found.bytes == path.stat().st_size + 48
    rows = as_dict(found)
    assert rows["backbone"] == (16, 4)
    assert rows["classifier"] == (8, 2)
    assert "embedding" not in rows  # the same bytes as the backbone's


def test_onnx_constants_in_loop_bodies_and_functions(tmp_path: Path) -> None:
    def constant(output: str, raw: bytes) -> bytes:
        value = make.message(5, make.o_tensor("", [len(raw)], raw, 2))
        return make.message(2, output.encode()) + make.message(5, value)

    body = make.message(6, make.message(1, constant("classifier.scale", bytes(5))))
    loop = make.message(4, b"Loop") + make.message(5, body)
    function = make.message(25, make.message(7, constant("codebook", bytes(9))))
    path = write(tmp_path, "m.onnx", make.onnx_bytes(extra=function, nodes=[loop]))
    rows = as_dict(sizes.breakdown(path))
    assert rows["classifier"] == (5, 5)
    assert rows["codebook"] == (9, 9)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    for data, kind in (
        (make.good_safetensors(), "safetensors"),
        (make.good_pt(), "torch"),
        (make.good_onnx(), "onnx"),
    ):
        for suffix in (".onnx", ".pt", ".bin", ""):
            path = write(tmp_path, f"model{suffix}", data)
            if not (kind == "onnx" and suffix in (".pt", ".bin")):
                assert sizes.format_of(path) == kind
                assert sizes.breakdown(path).bytes == len(data)


PLAN = b"ftrt" + bytes(96)
ROWS = [
    {"name": "codebook", "bytes": 40, "params": 40},
    {"name": "container", "bytes": 60, "params": 0},
]


def write_sidecar(file: Path, sha256: str, **changes: object) -> None:
    """Beside a file of 100 bytes."""
    sidecar = {
        "plan": {"sha256": sha256},
        "breakdown": {"bytes": 100, "components": ROWS},
        "techniques": [sizes.RERANKED, "INT8", "nonsense"],
    }
    write(file.parent, f"{file.name}.json", json.dumps({**sidecar, **changes}).encode())


@pytest.mark.parametrize("name", ["model.plan", "model.bin", "model"])
def test_engine_with_a_sidecar(name: str, tmp_path: Path) -> None:
    plan = write(tmp_path, name, PLAN)
    write_sidecar(plan, file_digest(plan))
    assert as_dict(sizes.breakdown(plan)) == {"codebook": (40, 40), "container": (60, 0)}
    assert sizes.techniques_of(plan) == ["INT8", sizes.RERANKED]
    for broken in ({"bytes": 99, "components": ROWS}, {"bytes": 100, "components": ROWS[:1]}, None):
        write_sidecar(plan, file_digest(plan), breakdown=broken)
        with pytest.raises(InputRefused, match=rf"{name}\.json"):
            sizes.breakdown(plan)


@pytest.mark.parametrize("read", [sizes.breakdown, sizes.techniques_of])
@pytest.mark.parametrize("plan", [{"sha256": "0" * 64}, {}, None])
def test_a_sidecar_without_the_plans_digest_is_not_believed(
    plan: object, read: Callable[[Path], object], tmp_path: Path
) -> None:
    write_sidecar(write(tmp_path, "model.plan", PLAN), "", plan=plan)
    with pytest.raises(InputRefused, match="SHA-256"):
        read(tmp_path / "model.plan")


@pytest.mark.parametrize("name", ["model.onnx", "model"])
def test_no_sidecar_speaks_for_an_onnx_file(name: str, tmp_path: Path) -> None:
    """Not what `inspect --json > model.onnx.json` wrote, nor a forged one of the right digest."""
    model = write(tmp_path, name, make.good_onnx())
    honest = sizes.breakdown(model)
    write(tmp_path, f"{name}.json", json.dumps(honest.to_dict()).encode())
    assert sizes.breakdown(model) == honest
    rows = [{"name": "container", "bytes": honest.bytes, "params": 0}]
    forged = {"bytes": honest.bytes, "components": rows}
    write_sidecar(model, file_digest(model), breakdown=forged)
    assert sizes.breakdown(model) == honest
    assert sizes.techniques_of(model) == ["Hamming Classifier"]


def test_a_json_beside_a_file_makes_it_no_engine(tmp_path: Path) -> None:
    junk = write(tmp_path, "junk", PLAN)
    write(tmp_path, "junk.json", b'{"plan": "to go on holiday"}')
    with pytest.raises(InputRefused, match="name a model file"):
        sizes.breakdown(junk)


def test_engine_without_a_sidecar_is_all_container(tmp_path: Path) -> None:
    plan = write(tmp_path, "foreign.engine", b"ftrt" + bytes(96))
    assert as_dict(sizes.breakdown(plan)) == {"container": (100, 0)}


def test_a_breakdown_that_does_not_add_up_cannot_exist() -> None:
    rows = (sizes.Component("backbone", 3, 1), sizes.Component("container", 4, 0))
    sizes.Breakdown(Path("x"), 7, rows)
    for total, parts in ((8, rows), (3, (rows[0], sizes.Component("container", 0, -1)))):
        with pytest.raises(ValueError, match="x: "):
            sizes.Breakdown(Path("x"), total, parts)
    with pytest.raises(ValueError, match="negative"):
        tally(sizes.Layout(Path("x"), 3, (sizes.Piece("backbone.w", 1, 4, Path("x"), 0),)))


def test_metadata_and_techniques(tmp_path: Path) -> None:
    one = write(tmp_path, "a.safetensors", make.good_safetensors())
    assert sizes.read_metadata(one) == {"format": 1, "config": {"backbone": "mobilenet_v2"}}
    assert sizes.techniques_of(one) == ["MobileNetV2"]
    two = write(tmp_path, "b.onnx", make.good_onnx())
    assert sizes.techniques_of(two) == ["Hamming Classifier"]
    three = write(tmp_path, "c.pt", make.good_pt())
    assert sizes.read_metadata(three) is None
    assert sizes.techniques_of(three) == []


def test_techniques_of_every_kind() -> None:
    full = TransformerConfig(
        head=Hamming(64),
        inputs=HammingInputs(64),
        ffn=False,
        shared_layers=True,
        weights=Weights.FP16,
    )
    assert sizes.techniques(full) == list(sizes.TECHNIQUES[:6])
    assert sizes.techniques(replace(full, weights=Weights.INT8))[-1] == "INT8"
    teacher = TransformerConfig(backbone=Backbone.RESNET31)
    assert sizes.techniques(teacher) == []
    assert sizes.techniques(RecogniserConfig()) == []
    told = replace(full, head=Hamming(64, rerank=True))
    assert sizes.techniques(told) == [*sizes.TECHNIQUES[:6], sizes.RERANKED]
    named = ["Factorised Softmax (p = 64)", "Factorised Embedding (p = 128)"]
    factorised = replace(teacher, head=Softmax(64), inputs=Learned(128))
    assert sizes.techniques(factorised) == named


def test_a_file_is_taken_at_no_word_that_is_not_one_of_ours(tmp_path: Path) -> None:
    def said(**config: object) -> list[str]:
        about = json.dumps({"format": 1, "config": {"backbone": "resnet31", **config}})
        header = {"__metadata__": {"hcompress": about}, "w": make.tensor_entry(0, 4, [1])}
        data = make.safetensors_bytes(header, bytes(4))
        return sizes.techniques_of(write(tmp_path, "a.safetensors", data))

    coded = {"classifier": "hamming", "code_length": 64}
    assert said(**coded) == ["Hamming Classifier"]
    assert said(**coded, refined=True) == ["Hamming Classifier", sizes.RERANKED]
    assert said(**coded, refined=1) == []
    assert said(classifier_bottleneck=64) == ["Factorised Softmax (p = 64)"]
    for odd in (None, 0, -4, 10**9, True, "64)", [], 64.0):
        assert said(classifier_bottleneck=odd, embedding_bottleneck=odd) == []
    assert said(ffn=0, shared_layers=1) == []
    assert said(ffn=False, shared_layers=True) == list(sizes.TECHNIQUES[3:5])


def test_compare(tmp_path: Path) -> None:
    before = sizes.breakdown(write(tmp_path, "a.safetensors", make.good_safetensors()))
    after = sizes.breakdown(write(tmp_path, "b.pt", make.good_pt()))
    rows = {row.component: row for row in sizes.compare(before, after)}
    assert list(rows)[-1] == "total"
    assert rows["total"].delta == after.bytes - before.bytes
    assert rows["codebook"].percent == -100
    assert rows["classifier"].percent is None
    assert sum(row.delta for row in rows.values()) == 2 * rows["total"].delta
    assert rows["backbone"].to_dict() == {
        "component": "backbone", "before": 64, "after": 64, "delta": 0, "percent": 0.0,
    }  # fmt: skip


def test_nothing_there_is_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path, "file", b"x")
    for path in (tmp_path / "nope", tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(UsageError):
            sizes.breakdown(path)
    with pytest.raises(UsageError):
        sizes.breakdown(Path("nul\0byte"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="is a folder, not a model file"):
        sizes.breakdown(tmp_path)


def test_reading_sizes_imports_nothing_heavy(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "a.safetensors", make.good_safetensors()),
        write(tmp_path, "b.pt", make.good_pt()),
        write(tmp_path, "c.onnx", make.good_onnx()),
    ]
    code = (
        "import sys; from pathlib import Path; from hcompress import sizes\n"
        "for p in sys.argv[1:]: sizes.breakdown(Path(p)); sizes.read_metadata(Path(p))\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'google', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, timeout=60)
