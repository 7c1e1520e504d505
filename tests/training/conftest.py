"""What holds for every test of training."""

import pytest


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """What is trained is compared bit by bit."""
