"""The models that run are read as they were written."""

from __future__ import annotations

import pickle
from pathlib import Path

from clepsydra.config import ModelsConfig
from clepsydra.datasets.models import ModelsDataset


def test_models_keep_their_order_and_their_options(tmp_path: Path) -> None:
    models = ModelsConfig.model_validate(
        {
            "z": {"engine": "naive2", "max_history": 10, "timeout": 1e-5, "fallback": []},
            "a": {
                "engine": "mlforecast",
                "options": {"params": {"x": 0.1 + 0.2, "y": "1e5"}, "rolling_means": {48: [24]}},
                "intervals": "conformal",
            },
            "both": {"engine": "weighted", "options": {"of": ["z", "a"], "power": 2}},
        }
    )
    dataset = ModelsDataset(filepath=str(tmp_path / "new" / "models.yml"))
    dataset.save(models)
    found = pickle.loads(pickle.dumps(dataset)).load()
    assert found == models
    assert list(found.root) == ["z", "a", "both"]
    assert found.root["a"].options["rolling_means"] == {48: [24]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["models.yml"]
