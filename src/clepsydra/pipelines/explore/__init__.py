"""The `explore` stage."""

from clepsydra.pipelines.explore.pipeline import create_pipeline

__all__ = ["create_pipeline"]
