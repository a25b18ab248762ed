"""The documented reward with real weights: what becomes of a voice, spoiled or missing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from support.music import sounds
from support.paths import ROOT, TINY
from support.speech import RATE_HZ, SpokenClip, say
from ttsrl.audio.waveform import Waveform
from ttsrl.config.load import load_run
from ttsrl.data.audit_clips import SHIPPED, read_clips
from ttsrl.reward.audited import missed
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.remote import RemoteScorer
from ttsrl.serving.audit_cases import cases
from ttsrl.serving.audit_command import audit_here
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.recording import RecordedUtterance
from ttsrl.wire import AuditRequest, Ok

SHORTEST = ("austen-0880", "austen-0930")
SHORT_WORDS = ("no", "yes", "go", "oh")


@pytest.fixture(scope="module")
def pipeline(whisper_base: Path) -> Pipeline:
    section = (ROOT / "docs/rewards.md").read_text().partition("## Which degradations")[2]
    [documented, *_] = re.findall(r"```json\n(\[.*?)```", section, re.S)
    settings = [
        f"reward.whisper.model={whisper_base}",
        f"reward.components={documented}",
        "reward.scorer_deadline_s=900",  # whatever else this machine does meanwhile
    ]
    return Pipeline(load_run(TINY / "run.json", settings))


def recorded(waveform: Waveform, text: str, language: str = "en") -> RecordedUtterance:
    samples = waveform.astype(np.float32).tobytes()
    return RecordedUtterance(text=text, language=language, samples=samples, sample_rate_hz=RATE_HZ)


def test_a_person_is_rewarded_more_than_anything_made_of_her_speech(
    pipeline: Pipeline, librivox: list[SpokenClip]
) -> None:
    clips = read_clips(SHIPPED, "en").clips
    shortest = [c for c in clips if c.text in {s.text for s in librivox if s.name in SHORTEST}]
    report = audit_here(pipeline, AuditRequest(clips=shortest))
    assert min(report.clean) > 0.8
    assert missed(report, pipeline.reward) == []
    by_name = {found.name: found for found in report.findings}
    for name in ("white_noise", "pink_noise", "hum", "tone", "chords", "breath"):
        assert by_name[name].gates == {"no_speech": len(shortest)}, name
    assert by_name["sounds_as_words"].gates["no_speech"] >= 12
    assert not any(by_name["sounds_as_words"].rewards)


def test_speech_that_goes_on_in_another_language_is_rewarded_less(
    pipeline: Pipeline, librivox: list[SpokenClip], tmp_path: Path
) -> None:
    english = next(c for c in librivox if c.name == SHORTEST[0])
    german = say(tmp_path, "espeak-ng", "de", "Ich habe heute Morgen drei Brötchen gekauft.", "de")
    clips = [recorded(c.waveform, c.text, c.language) for c in (english, german)]
    mixed = next(c for c in cases(clips) if c.name == "two_languages")
    clean, worse = pipeline.score([clips[0], mixed.utterances[0]])
    assert isinstance(clean, Ok)
    assert worse.status != "error" and worse.reward < 0.5 * clean.reward


def test_no_voice_is_taken_for_none(
    pipeline: Pipeline,
    librivox: list[SpokenClip],
    synthetic: list[SpokenClip],
    tmp_path: Path,
) -> None:
    """Soft, whispering and late voices, single words, six languages.

    Whisper is only asked where the detector alone would gate.
    """
    person = librivox[1]
    silence = np.zeros(3 * RATE_HZ, np.float32)
    words = [say(tmp_path, "flite", v, word) for v in ("kal", "slt") for word in SHORT_WORDS]
    whispers = say(tmp_path, "espeak-ng", "en+whisper", "hello there my friend")
    clips = [
        *(recorded(c.waveform, c.text, c.language) for c in (*synthetic, *words, whispers)),
        *(recorded(c.waveform, c.text) for c in librivox),
        recorded(person.waveform * 0.05, person.text),
        recorded(np.concatenate([silence, person.waveform]), person.text),
    ]
    detector = pipeline.scorers["voice_activity"]
    assert not isinstance(detector, RemoteScorer)
    found = detector.score([SpeechSample(c.waveform, RATE_HZ, c.text, c.language) for c in clips])
    unsure = [c for c, f in zip(clips, found, strict=True) if f["speech_s"] < 0.01 * len(c.text)]
    unsure += [c for c, f in zip(clips, found, strict=True) if f["speech_s"] < 0.15]
    assert {c.text for c in unsure} == {"go", "oh", "hello there my friend"}
    outcomes = [pipeline.score([clip])[0] for clip in unsure]
    assert all(isinstance(outcome, Ok) for outcome in outcomes), outcomes


def test_music_that_might_be_a_voice_is_none_to_whisper(pipeline: Pipeline) -> None:
    """What the detector alone does not gate, with the words that Whisper writes for such sounds."""
    made = sounds()
    detector = pipeline.scorers["voice_activity"]
    assert not isinstance(detector, RemoteScorer)
    found = detector.score([SpeechSample(w, RATE_HZ, "any", "en") for w in made.values()])
    unsure = [w for w, f in zip(made.values(), found, strict=True) if f["faint_speech_s"] >= 0.15]
    unsure = unsure[:3]
    outcomes = pipeline.score([recorded(waveform, "Thank you.") for waveform in unsure])
    assert len(unsure) == 3
    assert [getattr(o, "reason", o) for o in outcomes] == ["no_speech"] * len(unsure)
