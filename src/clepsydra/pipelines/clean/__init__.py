"""The `clean` stage."""

from clepsydra.pipelines.clean.pipeline import create_pipeline

__all__ = ["create_pipeline"]
