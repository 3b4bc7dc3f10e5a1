"""The `collect` stage."""

from clepsydra.pipelines.collect.pipeline import create_pipeline

__all__ = ["create_pipeline"]
