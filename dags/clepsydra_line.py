"""The line, one task a stage.

**Which day a run takes place on** (`as_of`: nothing later than that morning is used):

| run | `as_of` |
|---|---|
| any, with the parameter `as_of` | that day, or `latest` |
| scheduled, or a backfill | the day of the schedule, in UTC |
| started by hand, with a logical date | that day |
| started by hand, without | the `as_of` of `conf/base/parameters.yml`, as in `kedro run` |

The example's flights are of 2013, so the DAG is created paused: switch it on once the line reads
data that arrive every day. Until then start it by hand, or run a backfill:

```
airflow dags test clepsydra_line
airflow dags test clepsydra_line 2013-11-30
airflow backfill create --dag-id clepsydra_line --max-active-runs 1 \
    --from-date 2013-11-28 --to-date 2013-12-01
```

Runs start at six, so the last of that backfill is 30 November's. Days share one data folder and
must run one after another: keep `--max-active-runs 1`. A stage that finds the data of another day
fails rather than publish them.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from clepsydra.orchestration.clock import choose_as_of
from clepsydra.orchestration.tasks import run_stage

STAGES = json.loads(Path(__file__).with_name("line.json").read_text(encoding="utf-8"))["stages"]
AS_OF = Param(
    None,
    type=["null", "string"],
    pattern=r"^(\d{4}-\d{2}-\d{2}|latest)$",
    description="The day of the run, YYYY-MM-DD, or `latest`. Empty: see the documentation.",
)


def _run(stage: str, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
    as_of = choose_as_of(
        params["as_of"],
        dag_run.run_type,
        dag_run.logical_date,
        dag_run.data_interval_end,
        dag_run.run_after,
    )
    return run_stage(stage, as_of, dag_run.run_id)


with DAG(
    "clepsydra_line",
    description="From raw data to published forecasts, once a day",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 6 * * *", timezone="UTC"),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    max_active_tasks=1,  # a stage takes every core by itself
    params={"as_of": AS_OF},
    default_args={
        "owner": "clepsydra",
        "retries": 1,
        "retry_delay": dt.timedelta(minutes=2),
        "execution_timeout": dt.timedelta(hours=2),
    },
    tags=["clepsydra"],
):
    tasks = {}
    for stage in STAGES:
        name, text = stage["name"], f"{stage['description']} ({stage['nodes']} nodes)"
        tasks[name] = task(task_id=name, doc_md=text)(_run)(name)
        for upstream in stage["upstream"]:
            tasks[upstream] >> tasks[name]
