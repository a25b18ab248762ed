"""Whisper: transcript, CER and NLL of the text from one encoder pass.

The NLL follows channel-io/ch-tts-llasa-rl-grpo (whisper_server.py) and arXiv 2509.18798: mean
cross-entropy of the text under teacher forcing, nats a token, full softmax, end token included.

mode="correct"
    Decoder prompt: start, language, transcribe, no time stamps (English-only models: start, no time
    stamps). NLL of the text as Whisper writes it (a leading space where words have spaces). CER of
    normalised texts.
mode="compat"
    channel-io's values. NLL of the raw text right after the start token. Transcript in the language
    that Whisper detects. CER of the raw text and the stripped transcript, not normalised. Three
    deviations: an empty transcript has CER 1, where channel-io's has 0 and so rewards silence;
    decoding is greedy, without time stamps, and never repeated at a higher temperature; audio
    longer than the window is an error, where channel-io cuts it.
"""

# transformers declares some types only in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jiwer
import numpy as np

from ttsrl.audio import resample
from ttsrl.codecs import Waveform
from ttsrl.config import WhisperConfig
from ttsrl.errors import BadInput
from ttsrl.hub import load_model, local_folder
from ttsrl.scorers import Raw
from ttsrl.text import cer

if TYPE_CHECKING:
    from torch import Tensor

    from ttsrl.scorers.whisper_ctranslate2 import WhisperCTranslate2
    from ttsrl.scorers.whisper_torch import WhisperTorch


class WhisperScorer:
    """Whisper as the reward's scorer and, by `transcribe`, as a judge."""

    def __init__(
        self,
        config: WhisperConfig,
        device: str = "cpu",
        batch_size: int = 32,
        dtype: str = "float32",
    ) -> None:
        from transformers import AutoModelForSpeechSeq2Seq, WhisperFeatureExtractor

        from ttsrl.scorers.whisper_tokens import WhisperTokens
        from ttsrl.scorers.whisper_torch import WhisperTorch

        folder = local_folder(config.model)
        model = load_model(AutoModelForSpeechSeq2Seq, folder, dtype).to(device)
        if model.config.model_type != "whisper":
            raise BadInput(f"the model at {folder} is a {model.config.model_type}; give a Whisper")
        self.mode = config.mode
        self.batch_size = batch_size
        self.features = WhisperFeatureExtractor.from_pretrained(folder)
        self.sample_rate_hz = int(self.features.sampling_rate)
        self.max_duration_s = float(self.features.chunk_length)
        self.tokens = WhisperTokens(folder, model.config.max_target_positions)
        self.torch = WhisperTorch(model, self.tokens)
        self.engine: WhisperTorch | WhisperCTranslate2 = self.torch
        if config.engine == "ctranslate2":
            self.engine = self._ctranslate2(folder, device)

    def score(
        self,
        waveforms: Sequence[Waveform],
        sample_rate_hz: int,
        texts: Sequence[str],
        languages: Sequence[str],
    ) -> list[Raw]:
        """Measure each waveform, [T] of at most `max_duration_s`, against its text.

        Alone and in any batch the values agree to 1e-5. Raises BadInput for a text or a language
        that cannot be measured, ValueError for a waveform longer than the window.
        """
        import torch

        targets = [self._target(t, la) for t, la in zip(texts, languages, strict=True)]
        raws: list[Raw | None] = [None] * len(texts)
        by_length = sorted(range(len(texts)), key=lambda n: len(targets[n]))
        with torch.inference_mode():
            for rows in _chunks(by_length, self.batch_size):
                states_BSD = self._encode([waveforms[n] for n in rows], sample_rate_hz)
                transcripts, nlls = self._read(
                    states_BSD, [targets[n] for n in rows], [languages[n] for n in rows]
                )
                for n, transcript, nll in zip(rows, transcripts, nlls, strict=True):
                    raws[n] = Raw(transcript, self._cer(texts[n], transcript, languages[n]), nll)
        return [raw for raw in raws if raw is not None]

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts; raises as `score` does."""
        import torch

        transcripts: list[str] = []
        with torch.inference_mode():
            for rows in _chunks(range(len(waveforms)), self.batch_size):
                states_BSD = self._encode([waveforms[n] for n in rows], sample_rate_hz)
                prompts = self._prompts(states_BSD, [languages[n] for n in rows])
                transcripts += map(self.tokens.decode, self.engine.greedy(states_BSD, prompts))
        return transcripts

    def _ctranslate2(self, folder: Path, device: str) -> WhisperCTranslate2:
        from ttsrl.scorers.whisper_ctranslate2 import WhisperCTranslate2

        del self.torch.model.model.encoder  # CTranslate2 has its own
        return WhisperCTranslate2(folder, self.tokens, device)

    def _encode(self, waveforms: list[Waveform], sample_rate_hz: int) -> Tensor:
        import torch

        heard = [resample(w, sample_rate_hz, self.sample_rate_hz) for w in waveforms]
        longest_s = max(map(len, heard)) / self.sample_rate_hz
        if longest_s > self.max_duration_s:
            raise ValueError(
                f"a waveform of {longest_s:.2f} s is longer than Whisper's window of "
                f"{self.max_duration_s:g} s; gate it before scoring"
            )
        mel_BMF = self.features(
            heard, sampling_rate=self.sample_rate_hz, return_tensors="np"
        ).input_features
        return self.engine.encode(torch.from_numpy(np.asarray(mel_BMF)))

    def _read(
        self, states_BSD: Tensor, targets_B: list[list[int]], languages: list[str]
    ) -> tuple[list[str], list[float]]:
        """Transcripts and NLLs of a batch."""
        prompts_B = self._prompts(states_BSD, languages)
        if self.mode == "compat":
            starts_B = [[self.tokens.start]] * len(targets_B)
            nlls, _ = self.torch.teacher_force(states_BSD, starts_B, targets_B)
            return [*map(self.tokens.decode, self.engine.greedy(states_BSD, prompts_B))], nlls

        # Where the target's every token wins, greedy decoding would write it: no need to decode.
        nlls, wins = self.torch.teacher_force(states_BSD, prompts_B, targets_B)
        cap = self.tokens.max_new(len(prompts_B[0]))
        unknown = [k for k, win in enumerate(wins) if not win or len(targets_B[k]) > cap]
        written_B = list(targets_B)
        if unknown:
            decoded = self.engine.greedy(states_BSD[unknown], [prompts_B[k] for k in unknown])
            for k, ids in zip(unknown, decoded, strict=True):
                written_B[k] = ids
        return [*map(self.tokens.decode, written_B)], nlls

    def _prompts(self, states_BSD: Tensor, languages: list[str]) -> list[list[int]]:
        if self.mode == "compat" and self.tokens.multilingual:
            detected = self.torch.detect_languages(states_BSD)
            return [self.tokens.prompt_of(language_id) for language_id in detected]
        return [self.tokens.prompt(language) for language in languages]

    def _target(self, text: str, language: str) -> list[int]:
        if self.mode == "compat":
            return self.tokens.target_compat(text)
        return self.tokens.target(text, language)

    def _cer(self, text: str, transcript: str, language: str) -> float:
        if self.mode == "compat":
            return float(jiwer.cer(text, transcript))
        return cer(text, transcript, language)


def _chunks(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    return [rows[k : k + size] for k in range(0, len(rows), size)]
