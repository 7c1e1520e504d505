"""The stages, by the name that recipes and the command line use. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hcompress.stages.adapt import Adapt
from hcompress.stages.as_ctc import AsCtc
from hcompress.stages.base import Stage
from hcompress.stages.codebook import MakeCodebook
from hcompress.stages.distil_body import DistilBody
from hcompress.stages.drop_in import DropIn
from hcompress.stages.encode_head import EncodeHead
from hcompress.stages.engine import EngineStage
from hcompress.stages.extend import Extend
from hcompress.stages.extend_head import ExtendHead
from hcompress.stages.factorise import Factorise
from hcompress.stages.finetune import Finetune
from hcompress.stages.half import Half
from hcompress.stages.import_decoder import ImportDecoder
from hcompress.stages.import_model import ImportModel
from hcompress.stages.initialise import Initialise
from hcompress.stages.int8 import Int8
from hcompress.stages.int8_body import Int8Body
from hcompress.stages.learn_codes import LearnCodes
from hcompress.stages.merge import Merge
from hcompress.stages.onnx import OnnxStage
from hcompress.stages.prune import Prune
from hcompress.stages.quantise import Quantise
from hcompress.stages.recode import Recode
from hcompress.stages.regrow import Regrow
from hcompress.stages.replace_head import ReplaceHead
from hcompress.stages.slim_decoder import SlimDecoder
from hcompress.stages.swap_backbone import SwapBackbone
from hcompress.stages.train import Train
from hcompress.stages.train_ctc import TrainCtc

_IN_ORDER: tuple[type[Stage], ...] = (
    ImportModel,
    ImportDecoder,
    Adapt,
    Prune,
    Merge,
    ExtendHead,
    EncodeHead,
    Quantise,
    DistilBody,
    Int8Body,
    DropIn,
    Train,
    TrainCtc,
    AsCtc,
    Initialise,
    SwapBackbone,
    MakeCodebook,
    LearnCodes,
    ReplaceHead,
    Factorise,
    SlimDecoder,
    Finetune,
    Recode,
    Extend,
    Regrow,
    Half,
    Int8,
    OnnxStage,
    EngineStage,
)
STAGES: Mapping[str, type[Stage]] = MappingProxyType({stage.name: stage for stage in _IN_ORDER})
