"""The benchmarks; exit status 1 if a target is missed."""

import sys

from benchmarks import (
    epoch,
    evidence_scaling,
    evidence_throughput,
    likelihood_step,
    start_up,
    streaming,
    svi_step,
    workers,
)


def main() -> None:
    met = [
        start_up.report(),
        svi_step.report(),
        epoch.report(),
        likelihood_step.report(),
        evidence_throughput.report(),
        evidence_scaling.report(),
        workers.report(),
        streaming.report(),
    ]
    sys.exit(0 if all(met) else 1)


main()
