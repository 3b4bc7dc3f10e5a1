"""The extra `deep`: nothing imports it unasked, and where it is missing the message says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clepsydra.config import ModelsConfig
from clepsydra.errors import ConfigError
from clepsydra.models.registry import build_models
from helpers import make_task


def test_no_torch_before_a_deep_model_is_made() -> None:
    modules = "clepsydra.models.registry, clepsydra.models.deep, clepsydra.models.foundation"
    script = f"import sys, {modules}; print([m for m in ('torch', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize("engine", ["neuralforecast", "chronos"])
def test_without_the_extra_the_error_names_it(
    engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("torch", "neuralforecast", "chronos"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "config.json").write_text('{"chronos_config": {}}')
    options: dict[str, Any] = {
        "neuralforecast": {"model": "NHITS"},
        "chronos": {"path": str(tmp_path)},
    }[engine]
    models = ModelsConfig.model_validate({"deep": {"engine": engine, "options": options}})
    with pytest.raises(
        ConfigError, match=r"model 'deep'.* needs the extra 'deep': `make dev-deep`"
    ):
        build_models(["deep"], models, make_task(), 24)
