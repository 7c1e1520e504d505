"""Who takes the next connection."""

from __future__ import annotations

from hcompress.serve.shares import Shares


def test_the_one_with_the_fewest_takes_it() -> None:
    shares = Shares(3)
    shares.say(0, 2)
    shares.say(1, 1)
    assert not shares.takes(0, 2)
    assert shares.takes(1, 1)
    shares.say(1, 3)
    assert shares.takes(0, 2)  # the third was never there


def test_the_dead_are_not_waited_for() -> None:
    shares = Shares(2)
    shares.say(1, 0)
    assert not shares.takes(0, 5)
    shares.gone(1)
    assert shares.takes(0, 5)


def test_nobody_is_waited_for_for_ever() -> None:
    shares = Shares(2)
    shares.say(1, 0)
    assert [shares.takes(0, 1) for _ in range(7)] == [False] * 5 + [True, False]
