"""Format 2 of the header: what format 1 can't say comes back, and nothing else is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hcompress.errors import InputRefused
from hcompress.spec.config import Backbone, TransformerConfig
from hcompress.spec.families import config_from_dict, config_to_dict
from hcompress.spec.flat import config_to_flat
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.transcription import AUTOREGRESSIVE, Scheme, Transcription
from hcompress.spec.vocabulary import Vocabulary
from tests.builders import CONFIGS

UNKNOWN = Transcription(
    Scheme.EOS, ("<PAD>", "<BOS>", "<EOS>", "<UNK>"), pad=0, bos=1, eos=2, first_answer=2
)
OURS = TransformerConfig(
    backbone=Backbone.RESNET31,
    width=64,
    head=Hamming(64, rerank=True),
    inputs=Learned(12),
    transcription=UNKNOWN,
    shared_layers=True,
    temperature=1.25,
    preprocessing=Preprocessing(height=32, width=64, mean=0.25),
)


def text_of(config: TransformerConfig) -> str:
    vocabulary = Vocabulary("ab漢", config.transcription)
    return ModelMetadata(config, vocabulary, Provenance("half", "f" * 64)).to_json()


@pytest.mark.parametrize("config", [OURS, replace(OURS, head=Softmax(), inputs=HammingInputs(8))])
def test_what_format_1_cannot_say_is_written_in_format_2_and_comes_back(
    config: TransformerConfig,
) -> None:
    assert config_to_flat(config) is None
    text = text_of(config)
    assert json.loads(text)["format"] == 2
    assert text.isascii()
    found = ModelMetadata.from_json(text)
    assert found.config == config
    assert found.vocabulary == Vocabulary("ab漢", UNKNOWN)
    assert found.vocabulary.encode("b") == [5]
    assert found.to_json() == text


@pytest.mark.parametrize("name", CONFIGS)
def test_what_format_1_can_say_stays_in_it_and_either_is_read_as_the_same(name: str) -> None:
    config = CONFIGS[name]
    assert json.loads(text_of(config))["format"] == 1
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


GOOD = json.loads(json.dumps(config_to_dict(TransformerConfig())))
HOSTILE: dict[str, dict[str, Any]] = {
    'family = "ctcs"; did you mean "ctc"?': {"family": "ctcs"},
    "family = a list of 1; one of": {"family": ["transformer"]},
    'head: kind = "pq"; one of: hamming, softmax': {"head": {"kind": "pq"}},
    "head: kind is missing": {"head": {}},
    "head: kind = a table": {"head": {"kind": {}}},
    "head: is null: must be a table": {"head": None},
    'head: is "softmax": must be a table': {"head": "softmax"},
    'head: bottleneck = "8": must be a': {"head": {"kind": "softmax", "bottleneck": "8"}},
    "head: bottleneck = true: must be": {"head": {"kind": "softmax", "bottleneck": True}},
    'head: unknown key "length"': {"head": {"kind": "softmax", "length": 64}},
    "classifier_bottleneck = 257: must be 1 to": {"head": {"kind": "softmax", "bottleneck": 257}},
    "embedding_bottleneck = 0: must be": {"inputs": {"kind": "learned", "bottleneck": 0}},
    "head: length is missing": {"head": {"kind": "hamming"}},
    "head: rerank = 1: must be true": {"head": {"kind": "hamming", "length": 64, "rerank": 1}},
    "code_length 12 must be a multiple of 8": {"head": {"kind": "hamming", "length": 12}},
    "code_length 16384 must be": {"head": {"kind": "hamming", "length": 16384}},
    "codes of two lengths": {
        "head": {"kind": "hamming", "length": 64}, "inputs": {"kind": "hamming", "length": 32},
    },
    'inputs: kind = "softmax"; one of: hamming, learned': {"inputs": {"kind": "softmax"}},
    "inputs: a decoder is given": {"inputs": None},
    'width = "256": must be a whole number': {"width": "256"},
    "width = 256.5: must be a whole number": {"width": 256.5},
    "width = 1000000000: must be 4 to 4096": {"width": 10**9},
    'weights = "fp64"': {"weights": "fp64"},
    'unknown key "classifier"': {"classifier": "softmax"},
    "preprocessing.height = 16384: must be": {"preprocessing": {"height": 16384}},
    "lines end with EOS": {
        "transcription": {"scheme": "ctc", "specials": ["<blank>"], "blank": 0},
    },
    "transcription: eos needs bos": {
        "transcription": {"scheme": "eos", "specials": ["a", "b", "c"], "pad": 0, "eos": 1},
    },
    "transcription: eos = 3: not a special id": {
        "transcription": {"scheme": "eos", "specials": ["a"] * 3, "pad": 0, "bos": 1, "eos": 3},
    },
    "transcription: a decoder's EOS comes after": {
        "transcription": {"scheme": "eos", "specials": ["a"] * 3, "pad": 2, "bos": 0, "eos": 1},
    },
    "transcription: first_answer = 4": {
        "transcription": {
            "scheme": "eos", "specials": ["a"] * 3, "pad": 0, "bos": 1, "eos": 2, "first_answer": 4,
        },
    },
    'transcription.specials = "abc": must be a list': {
        "transcription": {"scheme": "eos", "specials": "abc", "pad": 0, "bos": 1, "eos": 2},
    },
}  # fmt: skip


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_configurations_are_refused_in_one_line_that_says_why(message: str) -> None:
    with pytest.raises(InputRefused) as raised:
        config_from_dict(GOOD | HOSTILE[message])
    assert str(raised.value).startswith("configuration: ")
    assert str(raised.value).count("configuration: ") == 1
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["family", "head", "inputs"])
def test_what_must_be_said_is_missed(key: str) -> None:
    with pytest.raises(InputRefused, match=f"^configuration: {key} is missing$"):
        config_from_dict({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("form", [True, 2.0, "2", 0, 3, None])
def test_other_formats_are_refused(form: object) -> None:
    raw = json.loads(text_of(OURS)) | {"format": form}
    with pytest.raises(InputRefused, match="not format 1 or 2"):
        ModelMetadata.from_json(json.dumps(raw))


def test_either_format_is_read_as_what_it_says_it_is() -> None:
    flat, tagged = json.loads(text_of(CONFIGS["light"])), json.loads(text_of(OURS))
    assert OURS.transcription != AUTOREGRESSIVE
    for raw in (flat | {"format": 2}, tagged | {"format": 1}):
        with pytest.raises(InputRefused):
            ModelMetadata.from_json(json.dumps(raw))
