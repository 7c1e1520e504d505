"""A head's weights in closed form."""

from __future__ import annotations

import torch

from hcompress.progress import NoProgress
from hcompress.training.closed_form import fit_head
from hcompress.training.feature_cache import encode_lines
from tests.special import PAD
from tests.training.tasks import MemorySource, encoded_task, teacher_and_student


def test_a_fitted_head_is_the_best_w_for_its_lines() -> None:
    """No other W, near or far, has a smaller weighed distance to the codes."""
    teacher, student = teacher_and_student()
    trainer, _ = encoded_task(student, teacher, 1)
    lines = encode_lines(trainer, MemorySource(), 20, 0, 0, NoProgress())
    untouched = {k: v.clone() for k, v in student.state_dict().items() if "classifier" not in k}
    fit_head(lines, 20)
    assert all(torch.equal(student.state_dict()[k], v) for k, v in untouched.items())
    asked, encoded = lines.together(lines.lines)
    signs, counted = student.signs(), asked.ids != PAD
    with torch.no_grad():
        cross = student.decoder.cross(encoded.memory)
        h = student.decoder.run(student.embed(asked.inputs), cross)[-1][counted]
    y = asked.ids[counted]
    weights = torch.bincount(y).float()[y] ** -0.5

    def distance(w: torch.Tensor) -> float:
        return float((weights * (h @ w.T - signs[y]).square().sum(1)).sum())

    solved = student.head.projection.weight.detach()
    rng = torch.manual_seed(0)
    for size in (1.0, 0.1):
        other = solved + size * torch.randn(solved.shape, generator=rng)
        assert distance(solved) < distance(other)
    assert distance(solved) < 0.7 * distance(torch.zeros_like(solved))
