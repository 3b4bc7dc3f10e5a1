"""The key `cleaning`: what is accepted, what it means, and what errors say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from clepsydra.config import CleaningConfig, OutlierConfig


def test_nothing_written_means_fill_every_gap_and_look_for_no_outliers() -> None:
    cleaning = CleaningConfig()
    assert cleaning.outliers is None
    assert (cleaning.gap_limit, cleaning.long_gaps, cleaning.gap_method) == (None, "fill", "linear")


@pytest.mark.parametrize(
    ("method", "threshold", "window"), [("hampel", 6, 25), ("iqr", 3, None), ("stl", 6, None)]
)
def test_every_method_has_its_usual_threshold(
    method: str, threshold: float, window: int | None
) -> None:
    outliers = OutlierConfig.model_validate({"method": method})
    assert (outliers.threshold, outliers.window, outliers.replace) == (threshold, window, False)
    assert OutlierConfig.model_validate(outliers.model_dump()) == outliers


def test_a_full_description_is_read() -> None:
    cleaning = CleaningConfig.model_validate(
        {
            "outliers": {"method": "hampel", "threshold": 4, "window": 7, "replace": True},
            "gap_limit": 48,
            "long_gaps": "cut",
            "gap_method": "seasonal",
        }
    )
    assert cleaning.outliers is not None
    assert (cleaning.outliers.threshold, cleaning.outliers.window) == (4.0, 7)
    assert CleaningConfig.model_validate(cleaning.model_dump()) == cleaning


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"outliers": {}}, "outliers.method", "Field required"),
        ({"outliers": "hampel"}, "outliers", "a valid dictionary"),
        ({"outliers": {"method": "magic"}}, "outliers.method", "'hampel', 'iqr' or 'stl'"),
        ({"outliers": {"method": "iqr", "threshold": 0}}, "outliers.threshold", "greater than 0"),
        (
            {"outliers": {"method": "iqr", "threshold": float("inf")}},
            "outliers.threshold",
            "finite",
        ),
        ({"outliers": {"method": "hampel", "window": 4}}, "outliers.window", "4 .* an odd number"),
        ({"outliers": {"method": "hampel", "window": 1}}, "outliers.window", "from 3 up, e.g. 25"),
        ({"outliers": {"method": "stl", "window": 7}}, "outliers", "'window' has no effect"),
        ({"outliers": {"method": "stl", "windows": 7}}, "outliers.windows", "unknown key"),
        ({"gap_limit": -1, "long_gaps": "cut"}, "gap_limit", "greater than or equal to 0"),
        ({"long_gaps": "drop"}, "long_gaps", "'fill' or 'cut'"),
        ({"long_gaps": "cut"}, "", "'long_gaps: cut' needs 'gap_limit', .* e.g. gap_limit: 48"),
        ({"gap_limit": 6}, "", "'gap_limit' has no effect .* write 'long_gaps: cut' as well"),
        ({"gap_method": "spline"}, "gap_method", "'linear', 'previous' or 'seasonal'"),
        ({"gaps": "fill"}, "gaps", "unknown key"),
    ],
)
def test_an_error_names_the_key_and_what_it_should_be(
    values: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        CleaningConfig.model_validate(values)
    assert len(caught.value.errors()) == 1
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]) == key


@pytest.mark.parametrize("model", [CleaningConfig, OutlierConfig])
def test_every_key_is_described(model: type[CleaningConfig] | type[OutlierConfig]) -> None:
    assert all(field.description for field in model.model_fields.values())
