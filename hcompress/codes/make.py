"""Making a codebook from a teacher: the work of the `codebook` stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hcompress.codes.options import Method
from hcompress.codes.repair import Repairs, repaired
from hcompress.codes.report import codebook_report
from hcompress.codes.votes import Votes, projected, random_bits, random_projection, voted_bits
from hcompress.codes.whitened import Scatter, whitened_projections
from hcompress.data.feed import dealt_out, say_shares
from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import Codebook, pack
from hcompress.stages.codebook import MakeCodebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.data.batches import Batch
    from hcompress.stages.base import Env


def make_codebook(
    stage: MakeCodebook, teacher: Checkpoint, env: Env
) -> tuple[Codebook, dict[str, Any]]:
    """The codebook and its figures."""
    if stage.code_length % 8:
        raise UsageError(f"code_length {stage.code_length} must be a multiple of 8")
    whole = teacher.model.head.softmax_columns()
    if whole is None:
        raise UsageError(
            "codes are made from a whole softmax, neither a Hamming classifier nor a factorised"
            " one: give the recogniser from before `replace-head` or `factorise`"
        )
    length = stage.code_length
    projection = random_projection(teacher.config.width, length, env.seed)
    columns = whole.detach().numpy()
    votes: Votes | None = None
    shares: list[int] = []
    repairs = Repairs(0, (), (), ())
    match stage.method:
        case Method.LSH:
            votes, shares = _vote(stage, teacher, projection, env)
            bits, sure, repairs = voted_bits(votes, projected(columns, projection))
        case Method.COLUMNS:
            sides = projected(columns, projection)
            bits, sure = sides >= 0, np.abs(sides)
        case Method.WHITENED:
            scatter, shares = _scatter(stage, teacher, env)
            for_columns, projection = whitened_projections(scatter, length, env.seed)
            sides = projected(columns, for_columns)
            bits, sure = sides >= 0, np.abs(sides)
        case Method.RANDOM:
            bits = random_bits(len(teacher.vocabulary), length, env.seed)
            sure = np.zeros(bits.shape)
    bits, repairs, apart = repaired(bits, sure, stage.min_distance, repairs)
    codebook = Codebook(pack(bits), projection)
    report = codebook_report(codebook.codes, votes, repairs, apart, teacher.vocabulary)
    return codebook, {"method": stage.method.value, "images_per_process": shares, **report}


def _vote(
    stage: MakeCodebook, teacher: Checkpoint, projection: NDArray[np.float32], env: Env
) -> tuple[Votes, list[int]]:
    """Votes over all processes, and how many images each one took."""
    from hcompress.codes.features import count_votes
    from hcompress.compute.ranks import sum_over_processes

    feed, shares = _feed(stage, teacher, env)
    votes = count_votes(teacher, projection, feed, stage.unknown, env.progress)
    say_shares("codebook", shares, env)
    sum_over_processes(votes.sums, votes.seen, votes.right)
    return votes, shares


def _scatter(stage: MakeCodebook, teacher: Checkpoint, env: Env) -> tuple[Scatter, list[int]]:
    """As `_vote`, of the features themselves."""
    from hcompress.codes.features import measure_scatter
    from hcompress.compute.ranks import sum_over_processes

    feed, shares = _feed(stage, teacher, env)
    scatter = measure_scatter(teacher, feed, stage.unknown, env.progress)
    say_shares("codebook", shares, env)
    sum_over_processes(scatter.moment, scatter.sums, scatter.seen)
    return scatter, shares


def _feed(stage: MakeCodebook, teacher: Checkpoint, env: Env) -> tuple[Iterator[Batch], list[int]]:
    """This process's batches, and how many images each process takes."""
    if stage.data is None:
        raise UsageError(
            f"method = {stage.method.value} needs data; or take method = columns, which needs none"
        )
    return dealt_out("codebook", stage, teacher.config.preprocessing, env)
