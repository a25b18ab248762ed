"""`say` in the families of CosyVoice2's tokens, and rewards of what they say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.cosyvoice2_files import write_codec, write_llm, write_qwen2_cosy, write_voice_models
from support.outcomes import gated, ok
from ttsrl.codecs import voice as voices
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.models import cosyvoice_head
from ttsrl.models.cosyvoice_llm import to_huggingface
from ttsrl.scorers.reference import voice as voice_like
from ttsrl.serving.pipeline import Pipeline
from ttsrl.synthesis.say import say
from ttsrl.wire import Gated, Ok, Utterance


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The whole of a CosyVoice2 checkpoint, as it is published, and a voice beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "CACHE", tmp_path_factory.mktemp("voices"))
        patch.setattr(cosyvoice_head, "SAMPLES", 1)
        patch.setattr(cosyvoice_head, "TOKENS", 32)
        folder = tmp_path_factory.mktemp("CosyVoice2-0.5B")
        write_voice_models(write_codec(write_llm(folder)))
        soundfile.write(folder / "voice.wav", voice_like(1.2, 24_000), 24_000)
        to_huggingface(folder, folder / "policy")
        yield folder


def write_run(folder: Path, family: str, checkpoint: Path) -> None:
    """run.json, from which `say` takes what it is not told."""
    settings = [f"family={family}", f"codec={checkpoint}", f"voice={checkpoint / 'voice.wav'}"]
    run = load_run("examples/tiny/run.json", [*settings, "rollout.max_speech_tokens=20"])
    (folder / "run.json").write_text(dump_run(run))


def test_cosyvoice2_says_a_text_in_the_given_voice(checkpoint: Path, tmp_path: Path) -> None:
    model, out = str(checkpoint / "policy"), tmp_path / "said.wav"
    write_run(checkpoint, "cosyvoice2", checkpoint)
    said = say("你好", model, out, temperature=1.0)
    samples, rate_hz = soundfile.read(out)
    assert rate_hz == 24_000
    assert len(samples) == 960 * said.tokens > 0
    other = tmp_path / "other.wav"
    soundfile.write(other, voice_like(1.2, 24_000, pitch_hz=220), 24_000)
    say("你好", model, tmp_path / "another.wav", temperature=1.0, voice=str(other))
    in_other_voice, _ = soundfile.read(tmp_path / "another.wav")
    assert len(in_other_voice) == len(samples)
    assert np.abs(in_other_voice - samples).max() > 1e-3  # 30 steps of 16 bits
    say("你好", model, tmp_path / "zero.wav", temperature=1.0, voice=str(other), voice_text="世界")
    zero_shot, _ = soundfile.read(tmp_path / "zero.wav")
    assert len(zero_shot) % 960 == 0
    with pytest.raises(BadInput, match="no voice 'nobody'"):
        say("你好", model, tmp_path / "none.wav", voice="nobody")
    with pytest.raises(BadInput, match="not a tokenizer of Llasa"):
        say("你好", model, tmp_path / "none.wav", family="llasa")
    assert not (tmp_path / "none.wav").exists()


def test_qwen2_cosy_says_a_text_through_the_same_codec(checkpoint: Path, tmp_path: Path) -> None:
    write_qwen2_cosy(tmp_path / "policy")
    write_run(tmp_path, "qwen2-cosy", checkpoint)
    said = say("Hello.", str(tmp_path / "policy"), tmp_path / "said.wav", temperature=1.0)
    assert said.tokens > 0
    assert said.duration_s == pytest.approx(said.tokens / 25)


def test_rewards_depend_on_the_voice_and_not_on_company(checkpoint: Path) -> None:
    spoken = checkpoint / "voice.wav"
    run = load_run(
        "examples/tiny/run.json",
        ["family=cosyvoice2", f"codec={checkpoint}", f"voice={spoken}", "reward.cache_size=0"],
    )
    pipeline = Pipeline(run)
    pipeline.self_test()
    random = np.random.default_rng(0)
    utterances = [
        Utterance(text="red birds", speech_tokens=random.integers(0, 6561, n).tolist())
        for n in (25, 40, 25)
    ]
    together = pipeline.score(utterances)
    assert all(isinstance(outcome, Ok | Gated) for outcome in together)
    [alone] = pipeline.score(utterances[:1])
    if isinstance(alone, Gated):
        assert alone.reward == gated(together[0]).reward
    else:
        assert ok(alone).reward == pytest.approx(ok(together[0]).reward, abs=1e-5)
        assert ok(alone).transcript == ok(together[0]).transcript
    bad = Utterance(text="red birds", speech_tokens=[6561] * 25)
    assert isinstance(pipeline.score([bad])[0], Gated)
    soundfile.write(checkpoint / "other.wav", voice_like(1.2, 24_000, pitch_hz=220), 24_000)
    other = Pipeline(run.model_copy(update={"voice": str(checkpoint / "other.wav")}))
    assert other.spec_hash != pipeline.spec_hash
