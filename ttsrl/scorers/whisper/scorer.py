"""Whisper: transcript, CER, WER and NLL of the text from one encoder pass.

The NLL follows channel-io/ch-tts-llasa-rl-grpo (whisper_server.py) and arXiv 2509.18798; what is
compared with what is the mode's (`ttsrl.scorers.whisper.modes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import load_model, load_part, local_folder
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.reading import Reading, ReadingJob

if TYPE_CHECKING:
    from ttsrl.scorers.whisper.reading import ReadingEngine


class WhisperScorer:
    """Whisper as the reward's scorer and, by `transcribe`, as a judge."""

    languages = None

    def __init__(self, config: WhisperConfig, device: str = "cpu", batch_size: int = 32) -> None:
        from transformers import AutoModelForSpeechSeq2Seq, WhisperFeatureExtractor

        from ttsrl.scorers.whisper.log_mel import check_features
        from ttsrl.scorers.whisper.modes import mode_of
        from ttsrl.scorers.whisper.tokens import WhisperTokens

        folder = local_folder(config.model)
        self.folder = folder
        self.dtype = resolve_dtype(config, device)
        model = load_model(AutoModelForSpeechSeq2Seq, folder, self.dtype).to(device)
        if model.config.model_type != "whisper":
            raise BadInput(f"the model at {folder} is a {model.config.model_type}; give a Whisper")
        features = load_part(WhisperFeatureExtractor, folder)
        check_features(features, model.config, folder)
        self.sample_rate_hz = int(features.sampling_rate)
        self.max_duration_s = float(features.chunk_length)
        self.tokens = WhisperTokens(folder, model.config)
        self.mode = mode_of(config.mode, self.tokens)
        self.engine = self._engine(config, folder, model, features, batch_size)

    def score(
        self,
        waveforms: Sequence[Waveform],
        sample_rate_hz: int,
        texts: Sequence[str],
        languages: Sequence[str],
    ) -> list[Raw]:
        """Measure each waveform, [T] of at most `max_duration_s`, against its text.

        Alone and in any batch the values agree to 1e-5 in float32. Raises BadInput for a text or a
        language that cannot be measured, ValueError for a waveform longer than the window.
        """
        jobs = [
            self._job(waveform, text, language)
            for waveform, text, language in zip(
                self._heard(waveforms, sample_rate_hz), texts, languages, strict=True
            )
        ]
        raws = {
            n: self._raw(reading, texts[n], languages[n]) for n, reading in self.engine.read(jobs)
        }
        return [raws[n] for n in range(len(jobs))]

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; raises as `score` does."""
        heard = self._heard(waveforms, sample_rate_hz)
        prompts = [self.mode.prompt(language) for language in languages]
        jobs = [
            ReadingJob(waveform, prompt) for waveform, prompt in zip(heard, prompts, strict=True)
        ]
        written = {n: reading.written for n, reading in self.engine.read(jobs)}
        return [self.tokens.decode(written[n]) for n in range(len(jobs))]

    @property
    def spec(self) -> dict[str, str | int]:
        """What decides its values beside its configuration."""
        digest = folder_digest(self.folder)
        return {"whisper": digest, "whisper_dtype": self.dtype, **self.mode.spec}

    def check_languages(self, wanted: Sequence[str] | None) -> None:
        """Raise BadInput unless it can tell the wanted languages from others."""
        known = self.tokens.languages
        if not known:
            raise BadInput(
                f"the component 'language' asks which language is spoken, and the Whisper at "
                f"{self.folder} is English-only; use a multilingual one"
            )
        if missing := [code for code in wanted or [] if code not in known]:
            raise BadInput(
                f"the component 'language' wants {missing[0]!r}, which the Whisper at "
                f"{self.folder} does not know; leave it out, or use another model"
            )

    def warm_up(self) -> None:
        """Do what would make the first batch slower than the others."""
        self.engine.warm_up()

    def _engine(
        self, config: WhisperConfig, folder: Path, model: Any, features: Any, batch_size: int
    ) -> ReadingEngine:
        match config.engine:
            case "torch":
                from ttsrl.scorers.whisper.torch_engine import WhisperTorch

                rows = min(config.rows, batch_size)
                return WhisperTorch(model, self.tokens, features, rows)
            case "ctranslate2":
                from ttsrl.scorers.whisper.ctranslate2_engine import WhisperCTranslate2

                return WhisperCTranslate2(folder, model, self.tokens, features, batch_size)

    def _raw(self, reading: Reading, text: str, language: str) -> Raw:
        transcript = self.tokens.decode(reading.written)
        cer, wer = self.mode.error_rates(text, transcript, language)
        nll = reading.nll / self.mode.count(text, language)
        opening = reading.opening
        return Raw(transcript, cer, wer, nll, opening.no_speech, opening.languages)

    def _heard(self, waveforms: Sequence[Waveform], sample_rate_hz: int) -> list[Waveform]:
        heard = [resample(w, sample_rate_hz, self.sample_rate_hz) for w in waveforms]
        longest_s = max(map(len, heard), default=0) / self.sample_rate_hz
        if longest_s > self.max_duration_s:
            raise ValueError(
                f"a waveform of {longest_s:.2f} s is longer than Whisper's window of "
                f"{self.max_duration_s:g} s; gate it before scoring"
            )
        return heard

    def _job(self, waveform: Waveform, text: str, language: str) -> ReadingJob:
        return ReadingJob(
            waveform,
            self.mode.prompt(language),
            *self.mode.target(text, language),
            self.mode.respell(text, language),
        )


def resolve_dtype(config: WhisperConfig, device: str) -> str:
    """float32 on a CPU; on a GPU bfloat16, with which it is several times faster."""
    if config.dtype != "auto":
        return config.dtype
    on_gpu = device.startswith("cuda") and config.engine == "torch"
    return "bfloat16" if on_gpu else "float32"
