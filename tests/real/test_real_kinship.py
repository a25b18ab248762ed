"""Whisper in two formats, and PocketSphinx: who is kin to whom. No model is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.models.kinship import kinship_of, verdict_judge


def test_only_pocketsphinx_is_unlike_a_whisper_that_rewards(
    whisper_base: Path, whisper_tiny_en: Path, ctranslate2_tiny_en: Path
) -> None:
    judges = [
        {"name": "tiny.en", "type": "whisper", "model": str(whisper_tiny_en)},
        {"name": "ct2", "type": "whisper", "model": str(ctranslate2_tiny_en)},
        {"name": "as ctc", "type": "ctc", "model": str(whisper_tiny_en)},
        {"name": "hmm", "type": "pocketsphinx", "model": "pocketsphinx"},
    ]
    settings = [f"reward.whisper.model={whisper_base}", f"eval.judges={json.dumps(judges)}"]
    run = load_run(TINY / "run.json", settings)
    assert [kinship_of(run, judge) for judge in run.eval.judges] == ["kin"] * 3 + ["unlike"]
    assert verdict_judge(run).name == "hmm"
