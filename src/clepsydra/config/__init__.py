"""The typed form of `conf/*/parameters`: what a user may write, and the errors when it is wrong.

Node functions annotate their parameters with these models; Kedro validates the YAML against them
before the first node runs.
"""

from clepsydra.config.base import LATEST, parse_as_of
from clepsydra.config.cleaning import CleaningConfig, OutlierConfig
from clepsydra.config.feeds import FileFormat, HttpConfig, Pagination, RequestWindow, SqlConfig
from clepsydra.config.hierarchy import HierarchyConfig
from clepsydra.config.models import (
    BudgetConfig,
    Combination,
    DeployConfig,
    EvaluateConfig,
    ExplainConfig,
    ModelsConfig,
    ModelSpec,
    MonitorConfig,
)
from clepsydra.config.presets import meant_for_other_data
from clepsydra.config.sources import Part, SourceConfig, SourcesConfig
from clepsydra.config.task import CalendarConfig, TaskConfig, WindowsConfig
from clepsydra.config.tuning import Dimension, TuneConfig

__all__ = [
    "LATEST",
    "BudgetConfig",
    "CalendarConfig",
    "CleaningConfig",
    "Combination",
    "DeployConfig",
    "Dimension",
    "EvaluateConfig",
    "ExplainConfig",
    "FileFormat",
    "HierarchyConfig",
    "HttpConfig",
    "ModelSpec",
    "ModelsConfig",
    "MonitorConfig",
    "OutlierConfig",
    "Pagination",
    "Part",
    "RequestWindow",
    "SourceConfig",
    "SourcesConfig",
    "SqlConfig",
    "TaskConfig",
    "TuneConfig",
    "WindowsConfig",
    "meant_for_other_data",
    "parse_as_of",
]
