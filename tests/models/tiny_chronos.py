"""Tiny Chronos checkpoints of each kind, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clepsydra.models.torch_guest import isolated_torch

KINDS = ("t5", "bolt", "chronos2")
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
NINE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
PATCHES = {"context_length": 32, "input_patch_size": 4, "input_patch_stride": 4}
TOKENS = {
    "tokenizer_class": "MeanScaleUniformBins",
    "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
    "context_length": 32,
    "prediction_length": 4,
    "n_tokens": 64,
    "n_special_tokens": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "use_eos_token": True,
    "model_type": "seq2seq",
    "num_samples": 5,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
}


def save_tiny(kind: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint as the library itself writes it, of some kilobytes."""
    with isolated_torch(seed):
        from chronos import Chronos2Model
        from chronos.chronos2.config import Chronos2CoreConfig
        from chronos.chronos_bolt import ChronosBoltModelForForecasting
        from transformers import T5Config, T5ForConditionalGeneration

        model: Any
        if kind == "t5":
            config = T5Config(**T5, vocab_size=64, decoder_start_token_id=0, chronos_config=TOKENS)
            model = T5ForConditionalGeneration(config)
        elif kind == "bolt":
            bolt = {**PATCHES, "prediction_length": 4, "quantiles": NINE, "use_reg_token": True}
            config = T5Config(
                **T5,
                vocab_size=2,
                decoder_start_token_id=0,
                chronos_config=bolt,
                chronos_pipeline_class="ChronosBoltPipeline",
            )
            model = ChronosBoltModelForForecasting(config)
        else:
            second = {
                **PATCHES,
                "output_patch_size": 4,
                "quantiles": [0.01, 0.05, *NINE, 0.95, 0.99],
                "use_reg_token": True,
                "use_arcsinh": True,
                "max_output_patches": 2,
            }
            config = Chronos2CoreConfig(
                **T5, chronos_config=second, chronos_pipeline_class="Chronos2Pipeline"
            )
            model = Chronos2Model(config)
        model.save_pretrained(folder)
    return folder
