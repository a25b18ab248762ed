"""Text -> speech tokens -> waveform, for evaluation and for users of a trained model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Codec, Encoder, VoicedCodec, frame_tokens_of
from ttsrl.codecs.in_voices import decode_after
from ttsrl.codecs.of_family import check_codec_of_family, check_frame
from ttsrl.codecs.registry import load_codec, load_encoder
from ttsrl.errors import BadInput
from ttsrl.families.conditions import UNCONDITIONED, Conditions, PromptConfig, VoiceReference
from ttsrl.families.registry import load_family
from ttsrl.families.speech_ids import check_codebook
from ttsrl.models.hub import LOST, load_model, load_part, local_folder
from ttsrl.sampler.sampler import Sampler
from ttsrl.storage.atomic import replace_file
from ttsrl.synthesis.voice import VoicePrompt


@dataclass(frozen=True)
class SynthesisedSpeech:
    """One spoken text."""

    text: str
    speech_tokens: list[int]
    finished: bool
    """Whether the model ended the utterance itself with its end token."""
    waveform: Waveform
    """Mono float32 in [-1, 1]; empty without speech tokens."""
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


class Synthesiser:
    """A speech-generating LM with its family's prompt and its codec.

    Raises BadInput when a folder is missing or broken, and when model, family and codec do not fit
    each other.
    """

    def __init__(
        self,
        model_path: str,
        codec_path: str,
        family_name: str,
        device: str = "cpu",
        voice: str | None = None,
        told: PromptConfig | None = None,
    ) -> None:
        """`voice` is for codecs that speak in a given one; `told` is the run's `prompt`."""
        folder = local_folder(model_path)
        tokenizer = load_part(AutoTokenizer, folder)
        try:
            self.family = load_family(family_name, tokenizer, told=told)
            check_codec_of_family(family_name, local_folder(codec_path))
            self.codec = load_codec(str(local_folder(codec_path)), device, voice=voice)
            check_codebook(len(self.family.speech_token_ids), self.codec.codebook_size)
            check_frame(family_name, self.family, codec_path, frame_tokens_of(self.codec))
        except BadInput:
            raise
        except (ValueError, OSError) as error:
            raise BadInput(f"model {model_path} with codec {codec_path}: {error}") from error
        # last: a model of another family would load, with a page of warnings
        dtype = "float32" if device == "cpu" else "auto"
        model = load_model(AutoModelForCausalLM, folder, dtype, without=LOST)
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and not weight.any():
                raise BadInput(
                    f"the model at {folder} has weights that are all zero, first {name}: its file "
                    "was not written to its end; copy it again"
                )
        self._codec_folder, self._device = str(local_folder(codec_path)), device
        self._encoder: Encoder | None = None
        self.sampler = Sampler(
            model.to(device),
            self.family.allowed_in_frame,
            self.family.stop_token_ids,
            whole_vocabulary=False,
        )

    def voice(self, text: str, waveform: Waveform, sample_rate_hz: int) -> VoicePrompt:
        """A recording [T] and what is said in it, for `batches`. Raises BadInput."""
        if self._encoder is None:
            self._encoder = load_encoder(self._codec_folder, self._device)
        heard = resample(waveform, sample_rate_hz, self._encoder.sample_rate_hz)
        codec = self.codec_in(waveform, sample_rate_hz)
        return VoicePrompt(VoiceReference(text, self._encoder.encode([heard])[0]), codec)

    def codec_in(self, waveform: Waveform, sample_rate_hz: int) -> Codec | None:
        """The codec in the voice of a recording [T]; None for one that takes no voice."""
        if not isinstance(self.codec, VoicedCodec):
            return None
        return self.codec.in_voice(waveform, sample_rate_hz)

    def room(
        self,
        text: str,
        voice: VoicePrompt | None = None,
        conditions: Conditions = UNCONDITIONED,
    ) -> int:
        """How many tokens the model has positions for after the prompt of this text."""
        return self.sampler.positions - len(self._prompt_ids(text, voice, conditions))

    def synthesise(
        self,
        texts: Sequence[str],
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
        top_p: float = 1.0,
        top_k: int = -1,
        group_size: int = 1,
        voices: Sequence[VoicePrompt | None] | None = None,
        conditions: Sequence[Conditions] | None = None,
    ) -> list[SynthesisedSpeech]:
        """Speak every text `group_size` times; all that `batches` yields with its defaults."""
        spoken = self.batches(
            texts,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            max_tokens=max_tokens,
            group_size=group_size,
            voices=voices,
            conditions=conditions,
        )
        return [speech for batch in spoken for speech in batch]

    def batches(
        self,
        texts: Sequence[str],
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
        group_size: int = 1,
        top_p: float = 1.0,
        top_k: int = -1,
        batch_size: int = 64,
        first: int = 0,
        voices: Sequence[VoicePrompt | None] | None = None,
        conditions: Sequence[Conditions] | None = None,
    ) -> Iterator[list[SynthesisedSpeech]]:
        """Speak every text `group_size` times, text-major, `batch_size` utterances at once.

        With a voice for a text the model continues it (zero-shot): its text and then the text to
        speak are the prompt's, its tokens begin the speech. What is returned begins after them.
        `conditions`: what else the model is told of each text.
        `temperature` 0 is greedy; `max_tokens` counts the end token. The same seed, texts and batch
        size give the same speech. `first` is the place of the first text in a longer list: a part
        of whole batches is then spoken as it is within that list. Raises BadInput for an empty text
        and for limits that cannot be sampled.
        """
        if empty := [i for i, text in enumerate(texts) if not text.strip()]:
            raise BadInput(f"text {empty[0]} of {len(texts)} is empty: nothing to speak")
        per_batch = max(1, batch_size // group_size)
        for start in range(0, len(texts), per_batch):
            batch = texts[start : start + per_batch]
            of_batch = voices[start : start + per_batch] if voices else [None] * len(batch)
            told = conditions[start : start + per_batch] if conditions else []
            sampled = self.sampler.sample(
                [
                    self._prompt_ids(text, voice, asked)
                    for text, voice, asked in zip(
                        batch, of_batch, told or [UNCONDITIONED] * len(batch), strict=True
                    )
                ],
                group_size,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                max_tokens=max_tokens,
                seed=_seed_of_batch(seed, first + start),
            )
            read = [self.family.speech_tokens(response.token_ids) for response in sampled]
            waveforms = self._decode_in(
                [of_batch[i // group_size] for i in range(len(read))],
                [tokens for tokens, _ in read],
            )
            yield [
                SynthesisedSpeech(
                    self.family.spoken(batch[i // group_size]),
                    tokens,
                    finished,
                    waveform,
                    self.sample_rate_hz,
                )
                for i, ((tokens, finished), waveform) in enumerate(
                    zip(read, waveforms, strict=True)
                )
            ]

    @property
    def sample_rate_hz(self) -> int:
        return self.codec.sample_rate_hz

    def decode(
        self, tokens_B: Sequence[list[int]], prefixes_B: Sequence[list[int]] | None = None
    ) -> list[Waveform]:
        """Waveform of each utterance; empty without speech tokens.

        An utterance is decoded after its prefix, so that it continues in that voice, and returned
        without it.
        """
        return decode_after(self.codec, prefixes_B or [[]] * len(tokens_B), tokens_B)

    def _decode_in(
        self, voices_B: Sequence[VoicePrompt | None], tokens_B: Sequence[list[int]]
    ) -> list[Waveform]:
        """Each in its voice: by a codec that takes one, else after the recording's own tokens."""
        if not any(voice and voice.codec for voice in voices_B):
            return self.decode(
                tokens_B, [list(voice.reference.tokens) if voice else [] for voice in voices_B]
            )
        return [
            ((voice and voice.codec) or self.codec).decode([tokens])[0]
            if tokens
            else np.zeros(0, np.float32)
            for voice, tokens in zip(voices_B, tokens_B, strict=True)
        ]

    def _prompt_ids(
        self, text: str, voice: VoicePrompt | None, conditions: Conditions
    ) -> list[int]:
        if voice is not None:
            conditions = replace(conditions, reference=voice.reference)
        return self.family.prompt_ids(text, conditions=conditions)


def write_wav(path: str | Path, waveform: Waveform, sample_rate_hz: int) -> None:
    """Write a mono waveform [T] in [-1, 1] as 16-bit PCM; louder samples are clipped.

    Raises OSError where the disk or its rights do not allow it, and leaves nothing half written.
    """
    import soundfile

    wav = io.BytesIO()
    soundfile.write(wav, waveform, sample_rate_hz, subtype="PCM_16", format="WAV")
    with replace_file(Path(path)) as temporary:
        temporary.write_bytes(wav.getbuffer())


def _seed_of_batch(seed: int, start: int) -> int:
    """A seed for the batch at text `start`: batches must not repeat each other's numbers."""
    return int(np.random.SeedSequence([seed, start]).generate_state(1, np.uint64)[0] >> 1)
