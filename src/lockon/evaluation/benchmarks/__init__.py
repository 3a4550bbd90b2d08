"""Benchmarks as they are published: one small reader each, and one way to open them all.

    benchmark = open_benchmark("otb2015", "OTB100")
    benchmark.names, benchmark.read("Jogging-1"), check(benchmark)

To add one, write a module with ``find`` and ``read`` (see ``opening.Reader``), and its row in ``lockon.benchmarks``.
"""

from lockon.benchmarks import BENCHMARKS
from lockon.evaluation.benchmarks.opening import check, find_name, open_benchmark, plain_name

__all__ = ["BENCHMARKS", "check", "find_name", "open_benchmark", "plain_name"]
