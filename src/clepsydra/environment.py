"""The environment variables of a run, which its worker processes inherit."""

RUN_ID_VARIABLE = "CLEPSYDRA_RUN_ID"
"""Set for every run: what its published forecasts carry."""

PARENT_RUN_VARIABLE = "CLEPSYDRA_PARENT_RUN"
"""Set by an orchestrator: the run that this session is a part of."""

EVENTS_VARIABLE = "CLEPSYDRA_EVENTS"
"""Set for every run: the file in which workers note what each node took."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""One thread a process: the parallelism of a run is its processes."""
