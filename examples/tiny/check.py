"""Measure the tiny stack: the numbers of its cards.

python -m examples.tiny.check
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from examples.tiny.domain import HERE, held_out, read_texts
from examples.tiny.phrases import PATH as PHRASES
from examples.tiny.word_tokens import say
from ttsrl.audio.waveform import Waveform
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.scorers.base import Recogniser
from ttsrl.scorers.registry import load_judge
from ttsrl.scorers.sphinx import PACKAGE, PocketSphinx
from ttsrl.synthesis.synthesiser import Synthesiser
from ttsrl.text.normalise import cer

N_TEXTS = 300
MAX_TOKENS = 37
"""As `rollout.max_speech_tokens` in run.json says."""


def main() -> None:
    """Print how each recogniser hears flawless speech, and how well the policy speaks.

    PocketSphinx is one of them where its package is installed.
    """
    texts = [text for text in read_texts() if held_out(text.split())][:N_TEXTS]
    judges: dict[str, Recogniser] = {
        "judge": load_judge(JudgeConfig(name="judge", type="ctc", model=str(HERE / "judge"))),
        "whisper": load_judge(
            JudgeConfig(name="whisper", type="whisper", model=str(HERE / "whisper"))
        ),
    }
    if find_spec(PACKAGE):
        judges[PACKAGE] = PocketSphinx(language_model=str(PHRASES))
    print(f"{len(texts)} held-out texts")
    flawless = [say(text.split()) for text in texts]
    policy = Synthesiser(str(HERE / "policy"), str(HERE / "codec"), "llasa")
    _report("word recordings through the codec", texts, policy.decode(flawless), judges)
    print(f"    {np.mean([len(tokens) for tokens in flawless]):.1f} speech tokens a text")
    for temperature in (1.0, 0.0):
        responses = policy.sampler.sample(
            [policy.family.prompt_ids(text) for text in texts],
            temperature=temperature,
            max_tokens=MAX_TOKENS,
            seed=0,
        )
        tokens = [policy.family.speech_tokens(r.token_ids)[0] for r in responses]
        _report(f"policy at temperature {temperature:g}", texts, policy.decode(tokens), judges)
        surprise = np.mean([-log_prob for r in responses for log_prob in r.log_probs])
        print(
            f"    {np.mean([len(t) for t in tokens]):.1f} speech tokens a text, "
            f"{surprise:.2f} nats per token, "
            f"{np.mean([r.finished for r in responses]):.1%} ended by the end token"
        )


def _report(
    what: str,
    texts: Sequence[str],
    waveforms: Sequence[Waveform],
    judges: dict[str, Recogniser],
) -> None:
    print(what)
    for name, judge in judges.items():
        errors = _errors(judge, texts, waveforms)
        exact = np.mean([error == 0 for error in errors])
        print(f"    {name}: CER {np.mean(errors):.4f}, {exact:.1%} of the texts exact")
    print(f"    {np.mean([len(w) for w in waveforms]) / 16_000:.2f} s a text")


def _errors(judge: Recogniser, texts: Sequence[str], waveforms: Sequence[Waveform]) -> list[float]:
    """CER of each text; 1 where nothing was said."""
    spoken = [i for i, waveform in enumerate(waveforms) if len(waveform)]
    heard = judge.transcribe([waveforms[i] for i in spoken], 16_000, ["en"] * len(spoken))
    errors = [1.0] * len(texts)
    for i, transcript in zip(spoken, heard, strict=True):
        errors[i] = cer(texts[i], transcript, "en")
    return errors


if __name__ == "__main__":
    main()
