"""What a service does under load, beside the same reader called in process."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.lab.serving.client import BROKEN, HUNG, Tally, closed_loop, open_loop
from hcompress.lab.serving.requests import Request, good, line, mixed
from hcompress.lab.serving.service import Service

LINES: Final = 64
"""Images that requests are drawn from."""
_WARM: Final = 2.0
"""Seconds of load before a first measurement."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    model: Path
    workers: int = 2
    clients: int = 8
    seconds: float = 5.0
    """Of each measurement."""
    rounds: int = 5
    even: bool = False
    """Whether arrivals of `latency` are at even distances."""


def pictures(seed: int = 1) -> list[bytes]:
    """The same lines each time."""
    rng = random.Random(seed)
    return [line(rng) for _ in range(LINES)]


def goods(lines: Sequence[bytes]) -> Iterator[Request]:
    return itertools.cycle([good(one) for one in lines])


def rate(plan: Plan, service: Service) -> dict[str, Any]:
    """Lines a second through HTTP and in process, in turns; CPU a line of either.

    In process as many readers as workers are forked, and each reads files in batches of its share
    of the clients: what a service can hope for.
    """
    lines = pictures()
    asyncio.run(closed_loop(service.port, plan.clients, _WARM, goods(lines)))
    rows: dict[str, list[float]] = {"http": [], "process": [], "http_ms": [], "process_ms": []}
    for _ in range(plan.rounds):
        count, cpu = _in_process(plan, lines)
        rows["process"].append(count / plan.seconds)
        rows["process_ms"].append(1000 * cpu / count)
        before = service.cpu_seconds()
        tally = asyncio.run(closed_loop(service.port, plan.clients, plan.seconds, goods(lines)))
        rows["http"].append(tally.answered / plan.seconds)
        rows["http_ms"].append(1000 * (service.cpu_seconds() - before) / max(1, tally.answered))
    ratios = [http / own for http, own in zip(rows["http"], rows["process"], strict=True)]
    return {
        **{name: round(statistics.median(row), 2) for name, row in rows.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def _in_process(plan: Plan, lines: Sequence[bytes]) -> tuple[int, float]:
    """Lines read by as many processes as there are workers, and the CPU seconds of all."""
    from hcompress.evaluation.readers import open_reader

    pipes = []
    for _ in range(plan.workers):
        ours, theirs = os.pipe()
        if os.fork() == 0:
            _read_on(open_reader(plan.model), plan, lines, theirs)
        os.close(theirs)
        pipes.append(ours)
    count, cpu = 0, 0.0
    for ours in pipes:
        with os.fdopen(ours) as said:
            own_count, own_cpu = said.read().split()
        count += int(own_count)
        cpu += float(own_cpu)
        os.wait()
    return count, cpu


def _read_on(reader: Any, plan: Plan, lines: Sequence[bytes], out: int) -> None:
    """A forked reader's life."""
    from hcompress.data.images import decode_image

    code = 1
    try:
        batches = itertools.cycle(_batched(lines, max(1, plan.clients // plan.workers)))
        reader.read([decode_image(lines[0], "warm")])
        count, cpu, ends = 0, time.process_time(), time.monotonic() + plan.seconds
        while time.monotonic() < ends:
            images = [decode_image(data, "line") for data in next(batches)]
            count += len(reader.read(images))
        os.write(out, f"{count} {time.process_time() - cpu}".encode())
        code = 0
    finally:
        os._exit(code)


def _batched(lines: Sequence[bytes], size: int) -> list[Sequence[bytes]]:
    return [lines[place : place + size] for place in range(0, len(lines), size)]


def latency(plan: Plan, service: Service, share: float = 0.7) -> dict[str, Any]:
    """At a share of the saturating load: median and p99.

    Arrivals are by chance (Poisson), or at even distances: what comes by chance queues up even if
    nothing of the service's varies.
    """
    lines = pictures()
    asyncio.run(closed_loop(service.port, plan.clients, _WARM, goods(lines)))
    full = asyncio.run(closed_loop(service.port, 2 * plan.clients, plan.seconds, goods(lines)))
    saturated = full.answered / plan.seconds
    tally = asyncio.run(
        open_loop(
            service.port,
            itertools.repeat(1 / (share * saturated))
            if plan.even
            else _arrivals(share * saturated, 7),
            plan.rounds * plan.seconds,
            goods(lines),
        )
    )
    median, p99 = _quantile(tally.seconds, 0.5), _quantile(tally.seconds, 0.99)
    return {
        "saturated": round(saturated, 1),
        "sent": round(share * saturated, 1),
        "median_ms": round(1000 * median, 1),
        "p99_ms": round(1000 * p99, 1),
        "p99_over_median": round(p99 / median, 2),
        **_outcome(tally),
    }


def kill(plan: Plan, service: Service) -> dict[str, Any]:
    """kill -9 of a worker in the middle of a load: who got no answer, and how long it took."""
    lines = pictures()
    moments: list[float] = []

    async def load() -> Tally:
        async def axe() -> None:
            await asyncio.sleep(plan.seconds / 2)
            service.kill_one()
            moments.append(time.monotonic())

        tally, _ = await asyncio.gather(
            closed_loop(service.port, plan.clients, plan.seconds, goods(lines)), axe()
        )
        return tally

    tally = asyncio.run(load())
    (killed,) = moments
    after = [when - killed for when, status in tally.ended if when > killed and status == 200]
    return {
        "answered_before": tally.answered - len(after),
        "answered_after": len(after),
        "first_answer_after_ms": round(1000 * min(after, default=-1), 1),
        "workers": len(service.workers),
        **_outcome(tally),
    }


def soak(plan: Plan, service: Service, seconds: float) -> dict[str, Any]:
    """Good, huge, broken and slow requests at twice the saturating load: answers and memory.

    Memory is what all processes of the service have, at the end of the load's first quarter, when
    every buffer has found its size, and at its end.
    """
    lines = pictures()
    full = asyncio.run(closed_loop(service.port, 2 * plan.clients, plan.seconds, goods(lines)))
    saturated = full.answered / plan.seconds
    rng = random.Random(3)
    requests = (mixed(rng, lines) for _ in itertools.count())
    samples: list[tuple[float, int]] = []
    start = time.monotonic()

    def look() -> None:
        now = time.monotonic() - start
        if now - (samples[-1][0] if samples else -9) > 1:
            samples.append((now, service.memory()))

    gaps = _arrivals(2 * saturated, 5)
    tally = asyncio.run(open_loop(service.port, gaps, seconds, requests, look))
    quarter = [size for when, size in samples if seconds / 8 < when <= seconds / 4]
    last = [size for when, size in samples if when > seconds * 7 / 8]
    by_kind: dict[str, Counter[int]] = {}
    for (kind, status), count in tally.statuses.items():
        by_kind.setdefault(kind, Counter())[status] += count
    return {
        "saturated": round(saturated, 1),
        "workers": len(service.workers),
        "memory_mib": [int(statistics.median(part)) >> 20 for part in (quarter, last) if part],
        "statuses": {kind: dict(counts) for kind, counts in by_kind.items()},
        **_outcome(tally),
    }


def _outcome(tally: Tally) -> dict[str, Any]:
    total = sum(tally.statuses.values())
    counts = {
        name: sum(count for (_, status), count in tally.statuses.items() if status == wanted)
        for name, wanted in (("hung", HUNG), ("broken_off", BROKEN))
    }
    unexpected = {f"{kind} {status}": count for (kind, status), count in tally.unexpected.items()}
    return {"requests": total, **counts, "unexpected": unexpected}


def _arrivals(a_second: float, seed: int) -> Iterator[float]:
    rng = random.Random(seed)
    return (rng.expovariate(a_second) for _ in itertools.count())


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def described(plan: Plan) -> dict[str, Any]:
    """The plan as JSON, with what else had the processors when it began."""
    return {**asdict(plan), "model": plan.model.name, "load_average": os.getloadavg()[0]}
