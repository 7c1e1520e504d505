"""Checkpoints of known recognisers: they compute what their framework does, or are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from hcompress.compute.session import Session
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.evaluation.readers import open_reader
from hcompress.foreign.checkpoints.architecture import Architecture
from hcompress.foreign.checkpoints.convert import converted
from hcompress.foreign.checkpoints.known import ARCHITECTURES
from hcompress.foreign.checkpoints.mobilenet import LARGE, SMALL
from hcompress.foreign.open import examine, open_foreign
from hcompress.foreign.options import Blank, ImportOptions
from hcompress.foreign.parts import parts_of
from hcompress.formats.open import ModelFile
from hcompress.sizes import breakdown
from hcompress.sizes.groups import CLASSIFIER
from tests.foreign.checkpoints import nets

CLASSES = 9
CHARACTERS = "abcdefgh"
NETS: Mapping[str, Callable[[], nn.Module]] = {
    "khmer-ocr-ocm": lambda: nets.Khmer(CLASSES),
    "easyocr-g1": lambda: nets.EasyOcr(nets.Residual(2), 32, CLASSES),
    "easyocr-g2": lambda: nets.second_generation(CLASSES),
    "doctr-crnn-vgg16": lambda: nets.vgg(CLASSES),
    "doctr-crnn-mobilenet-small": lambda: nets.mobilenet(SMALL, CLASSES),
    "doctr-crnn-mobilenet-large": lambda: nets.mobilenet(LARGE, CLASSES),
}


def made(name: str) -> nn.Module:
    return nets.lively(NETS[name]())


def saved(folder: Path, state: Any, name: str = "m.pth") -> Path:
    path = folder / name
    torch.save(state, path)
    return path


def noise(known: Architecture, count: int, width: int) -> NDArray[np.float32]:
    size = (count, known.channels, known.height, width)
    return np.random.default_rng(0).uniform(-2, 2, size).astype(np.float32)


def answered(module: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(images)))


def test_every_architecture_has_its_test() -> None:
    assert NETS.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize("name", NETS)
def test_a_checkpoint_computes_what_its_framework_does(name: str, tmp_path: Path) -> None:
    module = made(name)
    path = saved(tmp_path, module.state_dict())
    found = converted(ModelFile(path))
    assert found.architecture.name == name
    data = found.proto.SerializeToString()
    assert data == converted(ModelFile(path), name).proto.SerializeToString()
    session = Session(data)
    for count, width in ((2, 160), (1, 101)):
        images = noise(found.architecture, count, width)
        answer = session.run(["logits"], {"image": images})[0]
        expected = answered(module, images)
        assert np.ptp(expected) > 1e-3
        np.testing.assert_allclose(answer, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", NETS)
def test_what_is_known_of_it_is_not_guessed(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, made(name).state_dict())
    (tmp_path / "list.txt").write_text("\n".join(CHARACTERS))
    known = ARCHITECTURES[name]
    opened = examine(path, ImportOptions(charset=tmp_path / "list.txt"))
    spec = opened.model.spec
    assert spec.blank == (0 if known.blank is Blank.FIRST else CLASSES - 1)
    assert "".join(spec.classes) == CHARACTERS
    assert (spec.time_first, spec.preprocessing) == (known.time_first, known.preprocessing)
    assert spec.image.height == known.height
    assert f"checkpoint: {name}" in opened.found[0]
    assert opened.model.classifier.classes == CLASSES
    assert not opened.believed


def khmer(folder: Path, **changes: Tensor) -> Path:
    state = {**made("khmer-ocr-ocm").state_dict(), **changes}
    numbers = {one: place for place, one in enumerate(CHARACTERS, 1)}
    return saved(folder, {"epoch": 3, "model_state_dict": state, "char2idx": numbers})


def test_characters_of_a_checkpoint_are_its_classes(tmp_path: Path) -> None:
    opened = examine(khmer(tmp_path))
    assert opened.model.spec.classes == ("", *CHARACTERS)
    assert opened.believed
    said = {one.key: one.value for one in opened.model.proto.metadata_props}
    assert said == {"character": "\n".join(CHARACTERS)}


def test_it_reads_by_itself(tmp_path: Path) -> None:
    reader = open_reader(khmer(tmp_path))
    images = [np.full((30, width, 3), 200, np.uint8) for width in (40, 900)]
    assert len(reader.read(images)) == 2
    assert "".join(reader.characters) == CHARACTERS


def test_its_classifier_is_told_in_size_tables(tmp_path: Path) -> None:
    file = ModelFile(khmer(tmp_path))
    parts = parts_of(file)
    assert "khmer-ocr-ocm" in parts.remarks[0]
    row = breakdown(file, parts.groups).component(CLASSIFIER)
    assert row.params == CLASSES * (2 * nets.HIDDEN + 1)


@pytest.mark.parametrize(
    "numbers",
    [
        {"a": 1}, {one: [] for one in CHARACTERS}, {one: 1 for one in CHARACTERS},
        {one: float(i) for i, one in enumerate(CHARACTERS, 1)}, [], None,
        {"": 1, **{one: i for i, one in enumerate("bcdefgh", 2)}},
        {i: one for i, one in enumerate(CHARACTERS, 1)},
    ],
)  # fmt: skip
def test_numbers_of_characters_that_fit_nothing_are_not_believed(
    numbers: Any, tmp_path: Path
) -> None:
    state = made("khmer-ocr-ocm").state_dict()
    path = saved(tmp_path, {"model_state_dict": state, "char2idx": numbers})
    with pytest.raises(InputRefused, match=r"its 9 classes stand for is not in the file"):
        open_foreign(path)


def test_wrappers_are_taken_off_their_names(tmp_path: Path) -> None:
    state = made("easyocr-g2").state_dict()
    path = saved(tmp_path, {f"module._orig_mod.{name}": one for name, one in state.items()})
    assert converted(ModelFile(path)).architecture.name == "easyocr-g2"


def test_the_english_list_is_known_by_its_length(tmp_path: Path) -> None:
    path = saved(tmp_path, nets.lively(nets.second_generation(97)).state_dict())
    spec = open_foreign(path).spec
    assert spec.classes[1:12] == tuple("0123456789!")
    assert spec.classes[-53:] == tuple("€ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_and_safetensors_are_the_same_recogniser(
    kind: torch.dtype, tmp_path: Path
) -> None:
    module = made("easyocr-g2").to(kind).to(torch.float32)
    state = {name: one.to(kind) for name, one in module.state_dict().items() if one.dim()}
    path = saved(tmp_path, state)
    save_file(state, tmp_path / "m.safetensors")
    images = noise(ARCHITECTURES["easyocr-g2"], 1, 100)
    for one in (path, tmp_path / "m.safetensors"):
        session = Session(converted(ModelFile(one)).proto.SerializeToString())
        answer = session.run(["logits"], {"image": images})[0]
        np.testing.assert_allclose(answer, answered(module, images), atol=1e-5)


def test_views_of_one_storage_are_read_where_they_lie(tmp_path: Path) -> None:
    module = made("easyocr-g2")
    state = module.state_dict()
    weight = state["Prediction.weight"]
    whole = torch.cat([torch.zeros(5), weight.T.reshape(-1)])
    state["Prediction.weight"] = whole[5:].view(7, CLASSES).T  # turned, behind an offset
    found = converted(ModelFile(saved(tmp_path, state)))
    held = {one.name: one for one in found.proto.graph.initializer}
    stored = np.frombuffer(held["Prediction.weight"].raw_data, np.float32)
    np.testing.assert_array_equal(stored, weight.T.reshape(-1).numpy())


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    wrong = torch.zeros(4 * nets.HIDDEN, nets.HIDDEN + 1)
    path = khmer(tmp_path, **{"rnn.weight_hh_l1": wrong})
    with pytest.raises(InputRefused, match=r'"rnn\.weight_hh_l1" is \[24, 7\].* \[4h, h\] .*h = 6'):
        open_foreign(path)


def test_a_tensor_left_over_or_missing_is_named(tmp_path: Path) -> None:
    path = khmer(tmp_path, **{"rnn.weight_ih_l2": torch.zeros(24, 12)})
    with pytest.raises(InputRefused, match=r'khmer-ocr-ocm, it has "rnn\.weight_ih_l2" too'):
        open_foreign(path)
    state = made("easyocr-g1").state_dict()
    del state["Prediction.bias"]
    path = saved(tmp_path, state)
    with pytest.raises(
        InputRefused, match=r'easyocr-g1, it has no tensor "Prediction\.bias".*--ar'
    ):
        open_foreign(path)
    with pytest.raises(InputRefused, match=r'no easyocr-g2: has no tensor "FeatureEx'):
        examine(path, ImportOptions(arch="easyocr-g2"))
    with pytest.raises(UsageError, match="one of khmer-ocr-ocm, easyocr-g1"):
        examine(path, ImportOptions(arch="crnn"))


def test_what_is_known_to_nobody_says_what_was_looked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, {"encoder.layers.0.weight": torch.zeros(3, 3)})
    line = r'khmer-ocr-ocm, easyocr-g1.*first tensor is "encoder\.layers\.0\.weight": say --arch'
    with pytest.raises(InputRefused, match=line):
        open_reader(path)
    assert parts_of(ModelFile(path)).remarks == ()
    with pytest.raises(InputRefused, match="holds no tensors"):
        open_reader(saved(tmp_path, {"epoch": 3}))


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    state = made("khmer-ocr-ocm").state_dict()
    broken = state["fc.weight"].clone()
    broken[0, 0] = torch.nan
    with pytest.raises(NumericalError, match=r'"fc\.weight" is damaged: not finite'):
        open_foreign(khmer(tmp_path, **{"fc.weight": broken}))
    with pytest.raises(InputRefused, match=r'"fc\.bias" is of int64, no floats'):
        open_foreign(khmer(tmp_path, **{"fc.bias": torch.zeros(CLASSES, dtype=torch.int64)}))


class Runs:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return (Path.mkdir, (self.folder,))


def test_no_pickle_is_run(tmp_path: Path) -> None:
    state = made("khmer-ocr-ocm").state_dict()
    path = saved(tmp_path, {"model_state_dict": state, "char2idx": Runs(tmp_path / "made")})
    with pytest.raises(InputRefused, match="not allowed: nothing was run"):
        open_foreign(path)
    assert not (tmp_path / "made").exists()


def test_tables_that_name_each_other_are_walked_once(tmp_path: Path) -> None:
    inner: dict[str, Any] = {"w": torch.zeros(2)}
    for _ in range(2):
        inner = {str(place): inner for place in range(3000)}
    with pytest.raises(InputRefused, match="of no recogniser that is known"):
        open_foreign(saved(tmp_path, inner))


def test_views_of_one_storage_do_not_become_more_than_any_recogniser(tmp_path: Path) -> None:
    state = made("doctr-crnn-vgg16").state_dict()
    wide = torch.zeros(1 << 22)  # 16 MiB, named by every tensor
    a = 80
    sides = {2: a, 4: 2 * a, 8: 4 * a, 16: 8 * a}
    for name, one in state.items():
        if name.startswith("feat_extractor.") and one.dim():
            shape = [side if side == 3 else sides[side] for side in one.shape]
            state[name] = wide[: int(np.prod(shape))].view(shape)
    for name in (f"decoder.weight_ih_l0{end}" for end in ("", "_reverse")):
        state[name] = wide[: 24 * 8 * a].view(24, 8 * a)
    path = saved(tmp_path, state)
    from hcompress.foreign.checkpoints import architecture

    assert path.stat().st_size < 20 << 20
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture, "MOST_ELEMENTS", 1 << 23)
        with pytest.raises(InputRefused, match="no line recogniser has more than"):
            converted(ModelFile(path))
