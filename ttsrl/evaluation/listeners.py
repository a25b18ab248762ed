"""Who listens to a suite: its judges, its speaker model, the quality models and judges of
styles of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.independence import check_independent
from ttsrl.evaluation.judge import Judge
from ttsrl.evaluation.quality import Quality
from ttsrl.evaluation.similarity import Similarity
from ttsrl.evaluation.style_judges import StyleListener, style_listeners
from ttsrl.evaluation.suites import Suite
from ttsrl.models.kinship import verdict_note


@dataclass(frozen=True)
class Listeners:
    """Loaded models that hear speech; the same ones hear one policy after the other."""

    judges: Sequence[Judge]
    quality: Sequence[Quality]
    similarity: Similarity | None
    styles: Sequence[StyleListener]


def load_listeners(run: RunConfig, suite: Suite, device: str) -> Listeners:
    """Load them, and say on which judge the verdict rests.

    Raises BadInput for a judge that gave the reward without saying so, and for a text in a language
    or a style that a judge cannot hear.
    """
    check_independent(run, suite.judges)
    print(f"{suite.name}: {verdict_note(run, suite.judges)}", flush=True)
    size = run.eval.batch_size
    judges = [Judge(config, device, size, suite.wer) for config in suite.judges]
    for judge in judges:
        judge.check_languages(suite.texts)
    return Listeners(
        judges,
        [Quality(config, device, size) for config in run.eval.quality],
        Similarity(suite, device, size) if suite.speaker_model else None,
        style_listeners(run, suite, device),
    )
