"""The `split` stage."""

from clepsydra.pipelines.split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
