"""The single-character phase of `train`: all characters at once, or some of them first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hcompress.compute.device import check_shares
from hcompress.data.known import check_labels
from hcompress.data.unreadable import Naming, lenient
from hcompress.errors import InputRefused, UsageError
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.vocabulary import Vocabulary
from hcompress.training.character_trainer import GlyphTrainer
from hcompress.training.lda import JUDGED, feature_length, start_columns
from hcompress.training.line_trainer import glyph_preprocessing, snapshot_file, step_batches
from hcompress.training.loop import Task, train
from hcompress.training.schedule import Schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from hcompress.data.batches import Batch
    from hcompress.data.render.source import RenderedSource
    from hcompress.data.sample import DataSource
    from hcompress.spec.preprocessing import Preprocessing
    from hcompress.training.options import TrainOptions, Workplace


def train_glyphs(
    options: TrainOptions,
    source: DataSource,
    fabric: Fabric,
    model: Transformer,
    vocabulary: Vocabulary,
    workplace: Workplace,
) -> dict[str, Any]:
    """Teach ``model`` the single characters of ``source``, in place; returns the figures."""
    check_shares(glyph_batch=options.glyph_batch)
    check_labels(source, vocabulary.characters, options.unknown, single=True)
    source = lenient(source, options.unknown)
    size = glyph_preprocessing(model.config.preprocessing, options.glyph_width)
    lessons = _Lessons(options, fabric, size, workplace)
    if not options.glyph_first:
        trainer = GlyphTrainer(model, vocabulary, options.unknown)
        report = lessons.learn("glyphs", trainer, source, options.glyph_steps)
    else:
        few = _some_of(source, options.glyph_first, workplace.seed, vocabulary)
        trainer = GlyphTrainer(model, Vocabulary(few.spec.characters))
        first = lessons.learn("glyphs-first", trainer, few, options.glyph_first_steps)
        trainer = GlyphTrainer(model, vocabulary)

        def prepare() -> None:
            lessons.start_columns(trainer, source, options.glyph_means * len(vocabulary.characters))

        report = lessons.learn("glyphs", trainer, source, options.glyph_steps, prepare)
        report["first"] = first
    length = lessons.feature_length(trainer, source)
    trainer.cpu().hand_over(length)  # where the rest of the recogniser is
    return report


@dataclass(frozen=True)
class _Lessons:
    """What the phase's parts have in common."""

    options: TrainOptions
    fabric: Fabric
    size: Preprocessing
    workplace: Workplace

    def learn(
        self,
        label: str,
        trainer: GlyphTrainer,
        source: DataSource,
        steps: int,
        prepare: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Train from the snapshot, or from what ``prepare`` makes; returns the figures."""
        options, fabric = self.options, self.fabric
        rate = options.glyph_learning_rate
        schedule = Schedule(steps, options.glyph_batch, rate, snapshot_every=options.snapshot_every)
        feed = step_batches(
            source,
            options.glyph_batch,
            steps,
            self.size,
            options.workers,
            fabric.global_rank,
            fabric.world_size,
            seed=self.workplace.seed,
            # Dealt out evenly, a character comes back after all the others: forgotten by then.
            drawn_by=self.workplace.seed if options.glyph_first else None,
        )
        naming = Naming(self.workplace.progress)
        slower = (("columns", options.glyph_column_rate),) if prepare is not None else ()
        task = Task(label, trainer, trainer.loss, naming.over(feed), slower=slower, prepare=prepare)
        snapshot = snapshot_file(self.workplace.scratch, label)
        state = train(task, schedule, fabric, snapshot, self.workplace.progress)
        return {"steps": state.step, "images": state.step * schedule.batch_size}

    def start_columns(self, trainer: GlyphTrainer, source: DataSource, count: int) -> None:
        """Columns from the first ``count`` images, judged on the next."""
        progress = self.workplace.progress
        judged = range(count, count + JUDGED)
        share = start_columns(
            trainer, self._images(source, range(count)), self._images(source, judged), progress
        )
        progress.say(f"columns: from the means of {count:,} images; {share:.2%} of others read")

    def feature_length(self, trainer: GlyphTrainer, source: DataSource) -> float:
        """Of the first images."""
        return feature_length(trainer, self._images(source, range(JUDGED)))

    def _images(self, source: DataSource, indices: range) -> Iterator[Batch]:
        from hcompress.data.batches import batches
        from hcompress.data.order import shuffled

        options = self.options
        places = [index % len(source) for index in indices]
        return batches(shuffled(source), places, options.glyph_batch, self.size, options.workers)


def _some_of(source: DataSource, count: int, seed: int, vocabulary: Vocabulary) -> RenderedSource:
    """The same data with ``count`` of its characters.

    Raises InputRefused where it is not text to be rendered: other data can't leave characters out.
    Raises UsageError where the first images don't show every character as often as any other:
    columns are made from them.
    """
    from hcompress.data.render.source import RenderedSource
    from hcompress.data.render.spec import Mode

    if not isinstance(source, RenderedSource):
        raise InputRefused("glyph_first: the single characters must be a rendered-text spec")
    spec, characters = source.spec, source.spec.characters
    even = spec.mode is Mode.GLYPHS and spec.even and spec.count >= len(characters)
    if not even or set(characters) != set(vocabulary.characters):
        raise UsageError(
            'glyph_first: the single characters must be a spec with mode = "glyphs" and even = true'
            " over the model's whole charset and nothing else, its count no less"
        )
    if count >= len(characters):
        raise InputRefused(
            f"glyph_first = {count}: the single characters are {len(characters)}; take fewer"
        )
    places = np.random.default_rng(seed).choice(len(characters), count, replace=False)
    return source.of([characters[place] for place in sorted(places)])
