"""The `monitor` stage."""

from clepsydra.pipelines.monitor.pipeline import create_pipeline

__all__ = ["create_pipeline"]
