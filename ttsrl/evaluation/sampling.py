"""How the sampled speech of a suite is drawn."""

from __future__ import annotations

from ttsrl.config.evaluation import SamplingConfig, SuiteConfig
from ttsrl.config.schema import RunConfig
from ttsrl.families.registry import family_class
from ttsrl.records.sampling import Sampling


def sampling_of(run: RunConfig, suite: SuiteConfig | None = None) -> Sampling:
    """Of a suite; None: of the held-out texts.

    A published suite's tables were made with the settings of the family's authors, and training may
    have others: numbers compare only where both are the same.
    """
    if suite is not None and suite.type != "jsonl":
        usual = family_class(run.family).inference
    else:
        rollout = run.rollout
        as_trained = Sampling(
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            top_k=rollout.top_k,
            max_speech_tokens=rollout.max_speech_tokens,
        )
        usual = _changed(as_trained, run.eval.sampling)
    return usual if suite is None else _changed(usual, suite.sampling)


def _changed(usual: Sampling, asked: SamplingConfig) -> Sampling:
    return usual.model_copy(update=asked.model_dump(exclude_none=True))
