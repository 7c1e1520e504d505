"""`python -m hcompress.lab.serving rate|latency|kill|soak [MODEL]`: one line of JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from hcompress.compute.bounds import no_telemetry
from hcompress.lab.serving import measure
from hcompress.lab.serving.service import running
from hcompress.models import packaged_model


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hcompress.lab.serving", description=__doc__)
    parser.add_argument("what", choices=("rate", "latency", "kill", "soak"))
    parser.add_argument("model", nargs="?", type=Path, help="the packaged model if none is given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--even", action="store_true", help="arrivals at even distances")
    parser.add_argument("--soak", type=float, default=120.0, help="seconds of the soak")
    parser.add_argument("--serve", default="", help="further options of hcompress serve")
    said = parser.parse_args(words)
    no_telemetry()
    # Whoever ends the script ends the service that it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    model = said.model or packaged_model()
    plan = measure.Plan(model, said.workers, said.clients, said.seconds, said.rounds, said.even)
    result: dict[str, Any] = measure.described(plan)
    with running([str(model), "--workers", str(plan.workers), *said.serve.split()]) as service:
        if said.what == "soak":
            result |= measure.soak(plan, service, said.soak)
        else:
            kinds = {"rate": measure.rate, "latency": measure.latency, "kill": measure.kill}
            result |= kinds[said.what](plan, service)
        result["exit"] = service.stop()
    print(json.dumps({"what": said.what, **result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
