"""Style (CLAP) and speaker (WavLM x-vector) scorers: tiny random weights in the real format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import ClapFeatureExtractor, ClapModel, Wav2Vec2FeatureExtractor, WavLMForXVector

from support.tiny_scorers import save_tiny_clap
from support.tiny_wavlm import save_tiny_wavlm
from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.audio.windows import windows_of
from ttsrl.errors import BadInput
from ttsrl.reward.components import Speaker, Style, utilities_of
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.speaker import SpeakerScorer
from ttsrl.scorers.style import StyleScorer


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def clap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clap(tmp_path_factory.mktemp("clap"), fused=request.param)


@pytest.fixture(scope="module")
def wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_wavlm(tmp_path_factory.mktemp("wavlm"))


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    soundfile.write(folder / "anna.wav", voice(2.0, pitch_hz=220), RATE_HZ, subtype="FLOAT")
    low = np.stack([voice(1.5, 24_000, pitch_hz=100)] * 2, axis=1)
    soundfile.write(folder / "Bob.flac", low, 24_000)
    (folder / "notes.txt").write_text("not a voice")
    return folder


def speech(waveform: np.ndarray, rate_hz: int = RATE_HZ, **fields: Any) -> SpeechSample:
    return SpeechSample(waveform, rate_hz, "hello there", "en", **fields)


def test_style_is_clap_s_cosine_of_the_item_s_own_style_text(clap: Path) -> None:
    clip = voice(3.0)
    scorer = StyleScorer(Style(model=str(clap)), "cpu", batch_size=2)
    styles = ["a man whispering", "a person speaking sadly"]
    found = scorer.score([speech(clip, style=style) for style in styles])

    from transformers import AutoTokenizer

    model: Any = ClapModel.from_pretrained(clap).eval()
    fused = model.config.audio_config.enable_fusion
    extractor = ClapFeatureExtractor.from_pretrained(clap)
    audio = extractor(
        resample(clip, RATE_HZ, 48_000),
        sampling_rate=48_000,
        truncation="fusion" if fused else "rand_trunc",
        return_tensors="pt",
    )
    audio["is_longer"] = torch.tensor([[False]])
    tokenizer = AutoTokenizer.from_pretrained(clap)
    with torch.no_grad():
        heard = model.get_audio_features(**audio).pooler_output
        for style, values in zip(styles, found, strict=True):
            wanted = model.get_text_features(**tokenizer(style, return_tensors="pt")).pooler_output
            expected = torch.nn.functional.cosine_similarity(heard, wanted).item()
            assert values["style"] == pytest.approx(expected, abs=1e-5)
    assert abs(found[0]["style"] - found[1]["style"]) > 1e-3


def test_style_is_the_same_alone_in_company_and_twice_also_beyond_ten_seconds(clap: Path) -> None:
    scorer = StyleScorer(Style(model=str(clap)), "cpu", batch_size=3)
    check_scorer("style", scorer)
    clips = [voice(s, pitch_hz=f) for s, f in [(12.5, 140), (2.0, 100), (21.0, 200)]]
    speeches = [speech(clip, style="a man whispering") for clip in clips]
    together = [v["style"] for v in scorer.score(speeches)]
    assert together == [v["style"] for v in scorer.score(speeches)]
    alone = [scorer.score([s])[0]["style"] for s in speeches]
    assert alone == pytest.approx(together, abs=1e-5)
    assert len(set(together)) == 3


def test_windows_cover_every_sample() -> None:
    samples = np.arange(25, dtype=np.float32)
    found = windows_of(samples, 10)
    assert [len(w) for w in found] == [10, 10, 10]
    assert set(np.concatenate(found)) == set(samples)
    (whole,) = windows_of(samples, 25)
    assert len(whole) == 25


def test_a_fixed_style_stands_in_for_items_without_one_and_none_is_refused(clap: Path) -> None:
    clip = voice(1.5)
    fixed = StyleScorer(Style(model=str(clap), text="a man whispering"), "cpu", 4)
    own, standing_in = fixed.score([speech(clip, style="a man whispering"), speech(clip)])
    assert own == standing_in
    assert fixed.score([speech(clip, style="happily")])[0] != own
    free = StyleScorer(Style(model=str(clap)), "cpu", 4)
    with pytest.raises(BadInput, match=r"names no style.*set the component's 'text'"):
        free.score([speech(clip)])


def test_style_pays_nothing_where_the_words_are_wrong() -> None:
    raw = {"cer": 0.1, "style": 0.25}
    assert utilities_of([Style()], raw, "en") == {"style": 0.5}
    assert utilities_of([Style()], raw | {"cer": 0.3}, "en") == {"style": 0.0}
    assert utilities_of([Style(low=0.1, high=0.2)], raw, "en") == {"style": 1.0}
    assert utilities_of([Style(low=0.3)], raw, "en") == {"style": 0.0}


def test_speaker_is_the_cosine_of_two_x_vectors(wavlm: Path, voices: Path) -> None:
    scorer = SpeakerScorer(Speaker(model=str(wavlm), voices=str(voices)), "cpu", 4)
    clip = voice(2.7, pitch_hz=180)
    found = scorer.score([speech(clip, speaker="anna"), speech(clip, speaker="Bob")])

    model = WavLMForXVector.from_pretrained(wavlm).eval()
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(wavlm)

    def embed(waveform: Waveform) -> torch.Tensor:
        inputs = extractor(waveform, sampling_rate=RATE_HZ, return_tensors="pt")
        with torch.no_grad():
            return model(**inputs).embeddings

    for name, values in zip(["anna.wav", "Bob.flac"], found, strict=True):
        samples, rate_hz = soundfile.read(voices / name, dtype="float32", always_2d=True)
        reference = resample(np.ascontiguousarray(samples.mean(axis=1)), rate_hz, RATE_HZ)
        expected = torch.nn.functional.cosine_similarity(embed(clip), embed(reference)).item()
        assert values["speaker"] == pytest.approx(expected, abs=1e-5)
    recording, _ = soundfile.read(voices / "anna.wav", dtype="float32")
    assert scorer.score([speech(recording, speaker="anna")])[0]["speaker"] == pytest.approx(1)


def test_speaker_is_the_same_alone_and_in_company_and_short_speech_is_heard(
    wavlm: Path, voices: Path
) -> None:
    scorer = SpeakerScorer(Speaker(model=str(wavlm), voices=str(voices)), "cpu", 2)
    check_scorer("speaker", scorer)
    clips = [voice(s, pitch_hz=f) for s, f in [(2.0, 90), (0.2, 150), (2.0, 300), (3.3, 90)]]
    speeches = [speech(clip, speaker="Bob") for clip in clips]
    together = [v["speaker"] for v in scorer.score(speeches)]
    alone = [scorer.score([s])[0]["speaker"] for s in speeches]
    assert alone == pytest.approx(together, abs=1e-5)
    assert len({round(v, 6) for v in together}) == 4


def test_a_voice_is_read_once_and_one_that_is_not_there_is_refused(
    wavlm: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = Speaker(model=str(wavlm), voices=str(voices), voice="anna")
    scorer = SpeakerScorer(component, "cpu", 2)
    clip = voice(1.5)
    first = scorer.score([speech(clip), speech(clip, speaker="anna")])
    assert first[0] == pytest.approx(first[1])
    monkeypatch.setattr(soundfile, "SoundFile", None)
    assert scorer.score([speech(clip)])[0] == pytest.approx(first[0], abs=1e-6)
    for name in ("ana", "../anna", "notes"):
        with pytest.raises(BadInput, match="no voice"):
            scorer.score([speech(clip, speaker=name)])
    with pytest.raises(BadInput, match="did you mean 'anna'"):
        SpeakerScorer(component.model_copy(update={"voice": "ana"}), "cpu", 2)
    empty = component.model_copy(update={"voices": str(wavlm)})
    with pytest.raises(BadInput, match="no reference voice in"):
        SpeakerScorer(empty, "cpu", 2)


def test_a_damaged_reference_voice_is_named(wavlm: Path, tmp_path: Path) -> None:
    (tmp_path / "anna.wav").write_text("<html>404</html>")
    scorer = SpeakerScorer(Speaker(model=str(wavlm), voices=str(tmp_path)), "cpu", 2)
    with pytest.raises(BadInput, match=r"reference voice .*anna\.wav: the file is not audio"):
        scorer.score([speech(voice(1.5), speaker="anna")])


def test_another_model_or_voice_is_another_specification(
    wavlm: Path, voices: Path, tmp_path: Path
) -> None:
    def spec(folder: Path) -> str:
        scorer = SpeakerScorer(Speaker(model=str(wavlm), voices=str(folder)), "cpu", 2)
        return json.dumps(dict(scorer.spec))

    before = spec(voices)
    for file in voices.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert spec(tmp_path) == before
    soundfile.write(tmp_path / "carl.wav", voice(1.0), RATE_HZ)
    assert spec(tmp_path) != before
