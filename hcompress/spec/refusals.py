"""What a recogniser must be for a stage to take it. Each raises UsageError.

Asked by whoever does it, and before, by whoever only plans it.
"""

from __future__ import annotations

from hcompress.errors import UsageError
from hcompress.spec.config import BatchNorm, RecogniserConfig, TransformerConfig, Weights
from hcompress.spec.heads import Learned, Softmax


def check_fp32(config: RecogniserConfig) -> None:
    if config.weights is not Weights.FP32:
        raise UsageError(f"the weights are {config.weights} already")


def check_not_int8(config: RecogniserConfig) -> None:
    if config.weights is Weights.INT8:
        raise UsageError("the weights are int8 already")


def check_live(config: RecogniserConfig) -> None:
    if config.batch_norm is BatchNorm.FOLDED:
        raise UsageError("batch normalisation is folded already; set fold_batch_norm = false")


def check_has_ffn(config: TransformerConfig) -> None:
    if not config.ffn:
        raise UsageError("the decoder has no feed-forward networks; set remove_ffn = false")


def check_has_own_layers(config: TransformerConfig) -> None:
    if config.shared_layers:
        raise UsageError("the decoder's layers are shared already; set share_layers = false")


def check_gives_columns(config: RecogniserConfig) -> None:
    if config.head != Softmax():
        raise UsageError(
            "codes are made from a whole softmax, neither a Hamming classifier nor a factorised"
            " one: give the recogniser from before `replace-head` or `factorise`"
        )


def check_has_codes(config: RecogniserConfig) -> None:
    if config.head.code_length is None:
        raise UsageError("the classifier is a softmax: it has no codes to move")


def check_grows(config: RecogniserConfig) -> None:
    if config.head.code_length is None:
        raise UsageError(
            "the classifier is a softmax: a new character needs a new column there,"
            " and training; only a Hamming classifier can be extended (see replace-head)"
        )


def check_softmax(config: RecogniserConfig) -> None:
    """What a Hamming classifier can take the place of."""
    if config.head != Softmax():
        raise UsageError(
            f"the classifier is {config.head.described}, and codes are made from a whole"
            " softmax: take the recogniser from before, or set classifier = false"
        )


def check_learned(config: RecogniserConfig) -> None:
    """What a Hamming embedding can take the place of."""
    if config.inputs != Learned():
        spec = config.inputs
        what = "not there" if spec is None else f"{spec.described}, and codes replace a whole one"
        raise UsageError(
            f"the embedding is {what}: take the recogniser from before, or set embedding = false"
        )


def check_waiting_codes(length: int | None) -> int:
    """The bits of the codes that wait beside a model."""
    if length is None:
        raise UsageError("no codebook lies beside the model: run the codebook stage first")
    return length


def check_before_codes(config: RecogniserConfig) -> None:
    if config.uses_codes:
        raise UsageError("swap-backbone comes before replace-head: give it a softmax recogniser")
