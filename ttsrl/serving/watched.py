"""Pitch and voicing of a share of the utterances, for the guards of a run whose reward lacks them.

They decide no reward: what fails here is left out, and nobody waits for what hangs twice.
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Collection
from concurrent.futures import Future

from ttsrl.config.schema import RunConfig
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.serving.scorer_thread import ScorerThread
from ttsrl.wire import Utterance

logger = logging.getLogger(__name__)

MEASURES = ("pitch_spread", "voiced_share")
PARTS = 1 << 16


class WatchedProsody:
    """Measures beside the reward's scorers, in a thread of its own."""

    def __init__(self, scorer: Scorer, share: float) -> None:
        """`share` of the utterances, chosen by their content: the same ones everywhere."""
        self._scorer: Scorer | None = scorer
        self._share = share
        self._thread = ScorerThread("watched")

    def start(self, utterance: Utterance, speech: SpeechSample) -> Future[dict[str, float]] | None:
        """Begin with an utterance if it is chosen; `finish` takes what this returns."""
        if (scorer := self._scorer) is None or not self._chosen(utterance):
            return None
        return self._thread.start(lambda: _measured(scorer, speech))

    def finish(self, started: Future[dict[str, float]] | None, wait_s: float) -> dict[str, float]:
        """The measures of one utterance; none where it was not chosen or cannot be measured."""
        if started is None:
            return {}
        try:
            values = started.result(wait_s)
        except TimeoutError:
            logger.error("pitch and voicing took longer than allowed: not measured any more")
            self._scorer = None
            return {}
        except Exception as error:
            logger.warning("pitch and voicing of an utterance: %s: %s", type(error).__name__, error)
            return {}
        return values if all(map(math.isfinite, values.values())) else {}

    def _chosen(self, utterance: Utterance) -> bool:
        # not by the waveform, whose last digits may depend on the batch
        content = f"{utterance.text}{utterance.speech_tokens}".encode()
        return zlib.crc32(content) % PARTS < self._share * PARTS


def _measured(scorer: Scorer, speech: SpeechSample) -> dict[str, float]:
    [values] = scorer.score([speech])
    return {name: values[name] for name in MEASURES}


def watched_prosody(run: RunConfig, scorers: Collection[str]) -> WatchedProsody | None:
    """What the guards of a run need beside its reward's scorers."""
    if "prosody" in scorers or run.guards.prosody_share == 0:
        return None
    from ttsrl.scorers.prosody import ProsodyScorer

    return WatchedProsody(ProsodyScorer(), run.guards.prosody_share)
