"""The `evaluate` stage."""

from clepsydra.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
