"""Autograd: slopes, directions, the chain rule, the graph, its errors; and an engine that does it, beside PyTorch.

    ./inv lab autograd                       every section, each claim checked
    ./inv practice autograd                  exercises; in some you build parts of the engine
    ./inv lab autograd -- --graphs 2000      compare the engine with PyTorch on more random graphs

You learn what a gradient is and how PyTorch comes by it (sections 32-37 of the notes), what a computer's derivative
can and cannot tell, and why grad adds up, layers thaw and backward refuses.
"""

from __future__ import annotations

from labkit.runs.run import Run
from labkit.runs.start import start
from labs.autograd.beside import engine
from labs.autograd.chain import accumulation, chain_rule, graph
from labs.autograd.checks import Checks
from labs.autograd.config import PRESETS, Config
from labs.autograd.descents import descents
from labs.autograd.errors import errors
from labs.autograd.estimators import estimators
from labs.autograd.functions import freezing, functions
from labs.autograd.slopes import directions, secants


def main(config: Config, run: Run) -> dict[str, float]:
    """Go through the sections in the order of the notes. A claim that does not hold fails the run."""
    checks = Checks()
    secants(run, checks)
    directions(run, checks)
    descents(run, checks)
    freezing(run, checks)
    chain_rule(run, checks)
    graph(run, checks)
    accumulation(run, checks)
    errors(run, checks)
    functions(run, checks)
    ratio = estimators(run, checks, config.draws)
    apart = engine(run, checks, config.graphs)
    return {"checks": checks.report(run), "variance_ratio": ratio, "largest_difference": apart}


if __name__ == "__main__":
    start(main, Config, PRESETS)
