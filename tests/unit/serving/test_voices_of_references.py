"""An utterance that is spoken after a reference: what is decoded, compared, and kept apart."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from examples.tiny.word_tokens import say
from ttsrl.audio.io import read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.in_voices import DecodedAfter, VoiceDecoder
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.config.load import load_run
from ttsrl.reward.components import Speaker
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.speaker import SpeakerScorer
from ttsrl.serving.pipeline import Pipeline
from ttsrl.wire import Ok, SpokenAfter, Utterance

CLIPS = Path("examples/tiny/clips")
BIRDS, TIGERS = (CLIPS / f"{name}.flac" for name in (
    "black-birds-sing-today", "four-red-tigers-run-home",
))  # fmt: skip


class Voiced:
    """A codec that takes a voice: stands for CosyVoice2's, whose files are large. Its voice is the
    first sample of the recording."""

    codebook_size, sample_rate_hz, tokens_per_s = 10, 16_000, 10.0

    def __init__(self, voice: float = 0.0) -> None:
        self.voice = voice
        self.voices: list[float] = []

    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        return [np.full(len(tokens), self.voice, np.float32) for tokens in tokens_B]

    def in_voice(self, waveform: Waveform, sample_rate_hz: int) -> "Voiced":
        self.voices.append(float(waveform.max()))
        return Voiced(float(waveform.max()))


def test_a_codec_that_takes_a_voice_speaks_each_utterance_in_its_own() -> None:
    codec = Voiced()
    decoder = VoiceDecoder(codec)
    after = [
        DecodedAfter((), BIRDS.read_bytes()),
        DecodedAfter(),
        DecodedAfter((), TIGERS.read_bytes()),
    ]
    for _ in range(2):
        said = decoder.decode([[1], [1, 2], [1, 2, 3]], after)
        assert [len(waveform) for waveform in said] == [1, 2, 3]
        assert [float(w[0]) for w in said] == [codec.voices[0], 0.0, codec.voices[1]]
    assert len(codec.voices) == 2  # each voice is made once


def test_another_codec_speaks_after_the_references_tokens_and_leaves_them_out() -> None:
    codec = TinyCodec.load("examples/tiny/codec")
    whole = list(range(100, 112))
    [waveform] = codec.decode([whole])
    [after] = VoiceDecoder(codec).decode([whole[5:]], [DecodedAfter(whole[:5])])
    np.testing.assert_allclose(after, waveform[5 * 1_280 :], atol=1e-5)


def test_the_reward_hears_the_response_alone_and_the_cache_holds_the_reference() -> None:
    run = load_run("examples/tiny/run.json")
    pipeline = Pipeline(run)
    before, tokens = say(["four", "red", "tigers"]), say(["black", "birds", "sing", "today"])
    plain = Utterance(text="black birds sing today", speech_tokens=tokens)
    after = plain.model_copy(update={"reference": SpokenAfter(speech_tokens=before)})
    alone, continued = pipeline.score([plain, after])
    assert isinstance(alone, Ok) and isinstance(continued, Ok)
    assert continued.transcript == alone.transcript == "black birds sing today"
    assert continued.duration_s == alone.duration_s
    assert (
        continued.raw["nll"] != alone.raw["nll"]
    )  # measured anew: its first token has a neighbour


def test_the_speaker_component_compares_with_the_utterances_own_reference() -> None:
    pytest.importorskip("resemblyzer")
    scorer = SpeakerScorer(Speaker(model="resemblyzer"), "cpu", 2)
    assert scorer.spec["voices"] == "references"
    samples, rate_hz = read_recording(BIRDS)
    said = {"text": "", "language": "en"}
    same, other = scorer.score(
        [
            SpeechSample(samples, rate_hz, **said, reference=BIRDS.read_bytes()),
            SpeechSample(samples, rate_hz, **said, reference=scorer.example["reference"]),
        ]
    )
    assert same["speaker"] == pytest.approx(1.0, abs=1e-3)
    assert other["speaker"] < 0.9


def test_a_recording_goes_over_the_wire_as_base64() -> None:
    audio = BIRDS.read_bytes()
    reference = SpokenAfter(speech_tokens=[1], audio=base64.b64encode(audio))
    sent = Utterance(text="a", speech_tokens=[1], reference=reference).model_dump_json()
    received = Utterance.model_validate_json(sent)
    assert received.reference is not None
    assert received.reference.audio == audio
