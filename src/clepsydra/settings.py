"""Kedro's settings for this project.

Resolvers that the configuration may use besides those of Kedro:

- `${project_path:}`: the folder of the project.
- `${shared_data:}`: the folder of the data sets that projects share: the environment variable
  `CLEPSYDRA_SHARED_DATA`, else `../shared/data` beside the project.
- `${today:Europe/Paris}`: the day it is now in that time zone, as YYYY-MM-DD; `${today:}` in UTC.
  For `as_of` of an environment whose sources are live.
"""

import datetime as dt
import os
import warnings
from zoneinfo import ZoneInfo

from clepsydra.environment import ONE_THREAD

# One thread a process, set before any numerical library starts its own pool.
for _variable, _value in ONE_THREAD.items():
    os.environ.setdefault(_variable, _value)
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")

# Kedro 1.7 calls a function that OmegaConf 2.4 is about to rename.
warnings.filterwarnings("ignore", message="register_new_resolver")
# Dataset names carry the shard's namespace only, so that stages can share them.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")

from clepsydra.config.base import check_timezone  # noqa: E402
from clepsydra.hooks import LineHooks  # noqa: E402
from clepsydra.structure import PROJECT_PATH  # noqa: E402


def _project_path() -> str:
    return PROJECT_PATH.as_posix()


def _shared_data() -> str:
    return os.environ.get("CLEPSYDRA_SHARED_DATA") or "../shared/data"


def _today(timezone: str = "UTC") -> str:
    return dt.datetime.now(ZoneInfo(check_timezone(timezone))).date().isoformat()


HOOKS = (LineHooks(),)
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "custom_resolvers": {
        "project_path": _project_path,
        "shared_data": _shared_data,
        "today": _today,
    },
}
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry", "kedro-viz")
