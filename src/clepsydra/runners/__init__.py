"""Runners: nodes in processes of this machine, or on a cluster, and only those that have to run."""

from clepsydra.runners.cluster import DaskRunner
from clepsydra.runners.process import ProcessRunner

__all__ = ["DaskRunner", "ProcessRunner"]
