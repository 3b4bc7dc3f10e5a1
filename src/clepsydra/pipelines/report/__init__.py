"""The `report` stage."""

from clepsydra.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
