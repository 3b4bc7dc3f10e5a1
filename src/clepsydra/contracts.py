"""Contracts on raw and clean tables, checked by Pandera where the catalog declares them.

A contract is a dataset validator of Kedro's catalog, declared per source in YAML:

    load.raw:
      type: clepsydra.datasets.raw_store.RawStoreDataset
      filepath: ${globals:data_root}/01_raw/load
      validator:
        class: clepsydra.contracts.Contract
        "on": save
        severity: warn                 # or error: the run stops, nothing of it is stored
        options:
          columns:
            mw: {kind: number, minimum: 0, maximum: 200000, tolerance: 0.01}

Raw rows are checked as they come, before they are stored, batch by batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import pandas as pd
import pandera.errors
import pandera.polars as pa
import polars as pl
from pydantic import Field, ValidationError

from clepsydra.config.base import Strict, tidy
from clepsydra.datasets.columns import KINDS
from clepsydra.datasets.raw_store import Feed
from clepsydra.datasets.spool import Spool
from clepsydra.errors import ClepsydraError, ConfigError
from clepsydra.row_columns import PROBLEM

__all__ = ["ColumnRule", "Contract", "ContractError", "TableRule"]


class ContractError(ClepsydraError):
    """A table is not as its contract says."""


class ColumnRule(Strict):
    """What a column of a table must be."""

    required: bool = Field(True, description="the column must be there")
    kind: Literal["integer", "number", "time", "boolean"] | None = Field(
        None, description="of a raw table: how its cells are written"
    )
    pattern: str | None = Field(None, description="regular expression that text must match")
    allowed: list[str] | None = Field(None, description="the only values there may be")
    minimum: float | None = None
    maximum: float | None = None
    filled: bool = Field(False, description="no cell is without a value")
    tolerance: float = Field(0.0, ge=0, lt=1, description="share of the rows that may break a rule")


class TableRule(Strict):
    """What a table must be."""

    columns: dict[str, ColumnRule] = Field(default_factory=dict)
    missing: list[str] = Field(["", "NA", "NaN", "null"], description="cells that mean 'no value'")
    decimal: Literal[".", ","] = "."
    min_rows: int = Field(0, ge=0, description="fewer rows break the contract")
    only_these: bool = Field(False, description="no other column may be there")


class Contract:
    """A validator for the catalog: `class: clepsydra.contracts.Contract`, rules as `options`.

    Examples:
        >>> contract = Contract(columns={"mw": {"minimum": 0}})
        >>> contract.validate(pd.DataFrame({"mw": [1.0, -5.0]}))
        Traceback (most recent call last):
        clepsydra.contracts.ContractError: column 'mw': 1 of 2 rows break 'minimum: 0', e.g. '-5.0'
    """

    def __init__(self, **options: Any):
        try:
            self._rule = TableRule.model_validate(options)
        except ValidationError as error:
            raise ConfigError(f"validator options: {tidy(str(error))}") from None

    def validate(self, data: Any) -> Any:
        """Check the table, whole or in batches, and return it.

        Raises:
            ContractError: it breaks the contract; all broken rules are named.
        """
        if isinstance(data, Feed):
            try:
                data.batches.hold()
            except ClepsydraError:
                # A source that cannot be read breaks no contract: it fails when it is stored.
                return data
        broken: Counter[tuple[str, str]] = Counter()
        examples: dict[tuple[str, str], str] = {}
        rows = 0
        seen: set[str] = set()
        for frame in self._frames(data):
            frame = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
            rows += frame.height
            seen |= set(frame.columns)
            for column, check, value in self._failures(frame):
                broken[column, check] += 1
                examples.setdefault((column, check), value)
        faults = list(self._faults_of_shape(seen, rows))
        for (column, check), number in broken.items():
            if number > self._rule.columns[column].tolerance * rows:
                faults.append(
                    f"column '{column}': {number} of {rows} rows break '{check}', "
                    f"e.g. {examples[column, check]!r}"
                )
        if faults:
            raise ContractError("; ".join(faults))
        return data

    def _frames(self, data: Any) -> Iterator[pl.DataFrame]:
        if isinstance(data, Feed):
            yield from data.batches
        elif isinstance(data, Spool):
            # Of a big table only what the rules are about.
            chosen = None if self._rule.only_these else list(self._rule.columns)
            for piece in data.pieces(chosen):
                yield pl.DataFrame(pl.from_arrow(piece))
        elif isinstance(data, pd.DataFrame):
            yield pl.from_pandas(data)
        else:
            what = type(data).__name__
            raise ConfigError(f"a contract is for tables and raw feeds, not for {what}")

    def _faults_of_shape(self, seen: set[str], rows: int) -> Iterator[str]:
        named = self._rule.columns
        lost = [name for name, rule in named.items() if rule.required and name not in seen]
        if lost and rows:
            yield f"no column {', '.join(map(repr, lost))}"
        others = sorted(name for name in seen - set(named) if not name.startswith("_"))
        if self._rule.only_these and others:
            yield f"columns that the contract does not name: {', '.join(map(repr, others))}"
        if rows < self._rule.min_rows:
            yield f"{rows} rows where at least {self._rule.min_rows} are expected"

    def _failures(self, frame: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
        rules = {name: rule for name, rule in self._rule.columns.items() if name in frame.columns}
        if not rules or frame.is_empty():
            return
        if PROBLEM in frame.columns:
            frame = frame.filter(pl.col(PROBLEM) == "")
        as_given = frame.with_columns(self._without_missing(name, frame) for name in rules)
        typed = as_given.with_columns(self._typed(name, as_given) for name in rules)
        for name, rule in rules.items():
            for source, checks in ((as_given, _text_checks(rule)), (typed, _number_checks(rule))):
                column = pa.Column(checks=checks, nullable=not rule.filled, name=name)
                schema = pa.DataFrameSchema({name: column})
                if not checks and not (rule.filled and source is as_given):
                    continue
                try:
                    schema.validate(source.select(name), lazy=True)
                except pandera.errors.SchemaErrors as errors:
                    cases = pl.DataFrame(errors.failure_cases)
                    for case in cases.iter_rows(named=True):
                        check = str(case["check"])
                        if "Error(" in str(case["failure_case"]):
                            raise ConfigError(
                                f"column '{name}' cannot be checked: {case['failure_case']}"
                            ) from errors
                        is_gap = check == "not_nullable"
                        yield name, "filled: true" if is_gap else check, str(case["failure_case"])

    def _without_missing(self, name: str, frame: pl.DataFrame) -> pl.Expr:
        column = pl.col(name)
        if frame.schema[name] != pl.String:
            return column.fill_nan(None) if frame.schema[name].is_float() else column
        text = column.str.strip_chars()
        return pl.when(~text.is_in(self._rule.missing)).then(text).alias(name)

    def _typed(self, name: str, frame: pl.DataFrame) -> pl.Expr:
        if frame.schema[name] != pl.String:
            return pl.col(name)
        text = pl.col(name).str.replace(self._rule.decimal, ".", literal=True)
        return text.cast(pl.Float64, strict=False).alias(name)


def _text_checks(rule: ColumnRule) -> list[pa.Check]:
    checks = []
    if rule.kind:
        checks.append(pa.Check.str_matches(KINDS[rule.kind], error=f"kind: {rule.kind}"))
    if rule.pattern:
        checks.append(pa.Check.str_matches(rule.pattern, error=f"pattern: {rule.pattern}"))
    if rule.allowed is not None:
        checks.append(pa.Check.isin(rule.allowed, error=f"allowed: {rule.allowed}"))
    return checks


def _number_checks(rule: ColumnRule) -> list[pa.Check]:
    checks = []
    if rule.minimum is not None:
        checks.append(pa.Check.ge(rule.minimum, error=f"minimum: {rule.minimum:g}"))
    if rule.maximum is not None:
        checks.append(pa.Check.le(rule.maximum, error=f"maximum: {rule.maximum:g}"))
    return checks
