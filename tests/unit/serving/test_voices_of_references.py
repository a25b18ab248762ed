"""An utterance that is spoken after a reference: what is decoded, compared, and kept apart."""

import base64
from pathlib import Path

import numpy as np
import pytest
import soundfile

from examples.tiny.word_tokens import say
from support.cosyvoice2_files import write_codec, write_voice_models
from ttsrl.audio.io import read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs import cosyvoice2 as codec_module
from ttsrl.codecs import in_voices
from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.in_voices import ALONE, DecodedAfter, VoiceDecoder
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.codecs.voice import CodecVoice
from ttsrl.config.load import load_run
from ttsrl.reward.components import Speaker
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import voice
from ttsrl.scorers.speaker import SpeakerScorer
from ttsrl.serving.pipeline import Pipeline
from ttsrl.wire import Ok, SpokenAfter, Utterance

CLIPS = Path("examples/tiny/clips")
BIRDS, TIGERS = (CLIPS / f"{name}.flac" for name in (
    "black-birds-sing-today", "four-red-tigers-run-home",
))  # fmt: skip


@pytest.fixture(scope="module")
def cosyvoice2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CosyVoice2's codec in its own classes, tiny and with random weights, and two voices."""
    folder = write_voice_models(write_codec(tmp_path_factory.mktemp("CosyVoice2-0.5B")))
    for name, pitch_hz in (("low", 110.0), ("high", 220.0)):
        soundfile.write(folder / f"{name}.wav", voice(1.0, 24_000, pitch_hz=pitch_hz), 24_000)
    return folder


def test_cosyvoice2_speaks_each_utterance_in_its_own_voice(
    cosyvoice2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = (cosyvoice2 / f"{name}.wav" for name in ("low", "high"))
    made: list[int] = []
    make = codec_module.make_voice

    def counted(folder: Path, waveform: Waveform, sample_rate_hz: int) -> CodecVoice:
        made.append(sample_rate_hz)
        return make(folder, waveform, sample_rate_hz)

    monkeypatch.setattr(codec_module, "make_voice", counted)
    decoder = VoiceDecoder(CosyVoice2Codec(cosyvoice2, str(low)))
    after = [DecodedAfter((), high.read_bytes()), ALONE, DecodedAfter((), low.read_bytes())]
    tokens = [5, 17, 1_000, 6_560, 4, 8]
    decoder.decode([tokens] * 3, after)
    in_high, alone, in_low = decoder.decode([tokens] * 3, after)
    assert len(made) == 2, "the features of each voice are made once"

    # as the codec speaks whose voice the recording is
    monkeypatch.setattr(codec_module, "make_voice", make)
    [expected] = CosyVoice2Codec(cosyvoice2, str(high)).decode([tokens])
    np.testing.assert_allclose(in_high, expected, atol=1e-5)
    np.testing.assert_allclose(in_low, alone, atol=1e-5)
    assert np.abs(in_high - in_low).max() > 1e-3


def test_only_so_many_voices_are_kept(cosyvoice2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_voices, "KEPT_VOICES", 1)
    codec = CosyVoice2Codec(cosyvoice2, str(cosyvoice2 / "low.wav"))
    decoder = VoiceDecoder(codec)
    read: list[int] = []

    def counted(audio: bytes) -> tuple[Waveform, int]:
        read.append(len(audio))
        return read_recording(audio)

    monkeypatch.setattr(in_voices, "read_recording", counted)
    low, high = (DecodedAfter((), (cosyvoice2 / f"{n}.wav").read_bytes()) for n in ("low", "high"))
    for after in (low, low, high, low):
        decoder.decode([[1, 2, 3]], [after])
    assert len(read) == 3, "the second is the first's; the last was given up for the third"


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
