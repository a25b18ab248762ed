"""Scorers: waveforms -> raw scores. One file per kind of model, chosen by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ttsrl.models.hub import model_digest
from ttsrl.reward.components import HEARD_BY_WHISPER
from ttsrl.scorers.base import Recogniser, Scorer
from ttsrl.scorers.remote import RemoteScorer

if TYPE_CHECKING:
    from ttsrl.config.evaluation import JudgeConfig
    from ttsrl.reward.components import Component
    from ttsrl.reward.config import Gates, RewardConfig


SCORER_OF = {
    **dict.fromkeys(HEARD_BY_WHISPER, "whisper"),
    "pitch_spread": "prosody",
    "energy_spread": "prosody",
    "voiced_share": "prosody",
    "pauses": "prosody",
    "snr": "clean_signal",
    "clipping": "clean_signal",
    "clicks": "clean_signal",
    "reverb": "clean_signal",
}
"""Component type -> scorer that measures it; the others have one of their own name."""


def load_scorers(reward: RewardConfig, device: str = "cpu") -> dict[str, Scorer | RemoteScorer]:
    """Name -> scorer of the components that Whisper does not measure, and of the gate `no_speech`;
    each is loaded once."""
    scorers: dict[str, Scorer | RemoteScorer] = {}
    if reward.gates.min_speech_s > 0:
        scorers["voice_activity"] = _load_voice_activity(reward.gates)
    for component in reward.components:
        name = SCORER_OF.get(component.type, component.type)
        if name != "whisper" and name not in scorers:
            scorers[name] = _load(component, device, reward.batch_size)
    return scorers


def _load_voice_activity(gates: Gates) -> Scorer:
    import torch

    from ttsrl.scorers.voice_activity import VoiceActivity

    threads = torch.get_num_threads()
    return VoiceActivity(gates.speech_threshold, gates.faint_threshold, threads)


def _load(component: Component, device: str, batch_size: int) -> Scorer | RemoteScorer:
    match component.type:
        case "rate":
            from ttsrl.scorers.rate import RateScorer

            return RateScorer()
        case "pitch_spread" | "energy_spread" | "voiced_share" | "pauses":
            from ttsrl.scorers.prosody import ProsodyScorer

            return ProsodyScorer()
        case "snr" | "clipping" | "clicks" | "reverb":
            from ttsrl.scorers.clean_signal import CleanSignalScorer

            return CleanSignalScorer()
        case "dnsmos":
            from ttsrl.scorers.dnsmos import DnsmosScorer

            return DnsmosScorer(device, batch_size)
        case "distillmos":
            from ttsrl.scorers.distill_mos import DistillMosScorer

            return DistillMosScorer(device, batch_size)
        case "style":
            from ttsrl.scorers.style import StyleScorer

            return StyleScorer(component, device, batch_size)
        case "speaker":
            from ttsrl.scorers.speaker import SpeakerScorer

            return SpeakerScorer(component, device, batch_size)
        case "classifier":
            from ttsrl.scorers.classifier import ClassifierScorer

            return ClassifierScorer(component, device, batch_size)
        case "preference":
            from ttsrl.scorers.preference import PreferenceScorer

            return PreferenceScorer(component, device, batch_size)
        case "llm":
            from ttsrl.scorers.audio_llm import AudioLlmScorer

            return AudioLlmScorer(component)
        case "http":
            from ttsrl.scorers.audio_scorer import AudioHttpScorer

            return AudioHttpScorer(component)
        case "pinyin_wer":
            from ttsrl.scorers.error_rate import ErrorRateScorer
            from ttsrl.scorers.sensevoice import SenseVoice
            from ttsrl.text.normalise import NORMALISER_VERSION, pinyin_wer

            return ErrorRateScorer(
                component.type,
                SenseVoice(component.model, "zh", batch_size),
                lambda speech, heard: pinyin_wer(
                    speech.text, heard, speech.language, component.tones
                ),
                {"model": model_digest(component.model), "normaliser": NORMALISER_VERSION},
                {"text": "你好", "language": "zh"},
            )
        case "parakeet_cer":
            from ttsrl.scorers.error_rate import ErrorRateScorer
            from ttsrl.scorers.parakeet import load_parakeet
            from ttsrl.text.normalise import cer

            return ErrorRateScorer(
                component.type,
                load_parakeet(component.model, device, batch_size),
                lambda speech, heard: cer(speech.text, heard, speech.language),
                {"model": model_digest(component.model)},
                {},
            )
        case "asr_cer":
            from ttsrl.scorers.error_rate import ErrorRateScorer
            from ttsrl.text.normalise import NORMALISER_VERSION, cer

            return ErrorRateScorer(
                component.type,
                _load_recogniser(component.recogniser, component.model, device, batch_size),
                lambda speech, heard: cer(speech.text, heard, speech.language),
                {"model": model_digest(component.model), "normaliser": NORMALISER_VERSION},
                {},
            )
        case "cer" | "wer" | "nll" | "language":
            raise ValueError(f"{component.type} is Whisper's")


def load_judge(config: JudgeConfig, device: str = "cpu", batch_size: int = 32) -> Recogniser:
    """Load the recogniser that a judge of the evaluation names."""
    if config.type == "whisper":
        from ttsrl.reward.config import WhisperConfig
        from ttsrl.scorers.whisper.scorer import WhisperScorer

        return WhisperScorer(
            WhisperConfig(model=config.model, dtype=config.dtype), device, batch_size
        )
    return _load_recogniser(config.type, config.model, device, batch_size, config.language_model)


def _load_recogniser(
    kind: Literal["ctc", "moonshine", "paraformer", "pocketsphinx"],
    model: str,
    device: str,
    batch_size: int,
    language_model: str | None = None,
) -> Recogniser:
    match kind:
        case "ctc":
            from ttsrl.scorers.ctc import CtcRecogniser

            return CtcRecogniser(model, device, batch_size)
        case "moonshine":
            from ttsrl.scorers.moonshine import load_moonshine

            return load_moonshine(model, device, batch_size)
        case "paraformer":
            from ttsrl.scorers.paraformer import Paraformer

            return Paraformer(model, batch_size)
        case "pocketsphinx":
            from ttsrl.scorers.sphinx import PocketSphinx

            return PocketSphinx(model, language_model)
