"""The `deploy` stage."""

from clepsydra.pipelines.deploy.pipeline import create_pipeline

__all__ = ["create_pipeline"]
