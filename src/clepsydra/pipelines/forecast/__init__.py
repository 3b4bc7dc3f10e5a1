"""The `forecast` stage."""

from clepsydra.pipelines.forecast.pipeline import create_pipeline

__all__ = ["create_pipeline"]
