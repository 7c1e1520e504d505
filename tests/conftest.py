"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is no fault of the code's: what takes too long is stopped by pytest-timeout.
settings.register_profile("hcompress", deadline=None)
settings.load_profile("hcompress")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums depend on how threads cut them: models to be compared are made and trained on one."""
    import torch  # which tests of the bare program do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
