"""NeuTTS as a user has it: its tokenizer's form, NeuCodec's real class, `say` and an evaluation."""

import shutil
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import transformers
from tiny_xcodec2 import save_tiny_xcodec2

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.family_tokenizers import neutts_tokenizer
from ttsrl.errors import BadInput
from ttsrl.synthesis.say import say

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is missing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """policy/, a tiny Qwen2 over the tokens of NeuTTS Air, and neucodec/; weights are random."""
    folder = tmp_path_factory.mktemp("neutts")
    save_tiny_xcodec2(
        folder / "neucodec",
        transformers.NeuCodecConfig,
        transformers.NeuCodecModel,
        transformers.NeuCodecFeatureExtractor,
    )
    tokenizer = neutts_tokenizer("qwen2", folder / "policy")
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=512,
    )  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder / "policy")
    tokenizer.save_pretrained(str(folder / "policy"))
    return folder


def test_it_says_a_text_alone_and_after_a_recording(folder: Path, tmp_path: Path) -> None:
    policy = str(folder / "policy")
    codec, family = str(folder / "neucodec"), "neutts"
    out = tmp_path / "a.wav"
    said = say("Hello there.", policy, out, codec=codec, family=family, max_speech_tokens=60)
    samples, rate_hz = soundfile.read(out)
    assert rate_hz == 24_000
    assert len(samples) == 480 * said.tokens > 0
    after = say(
        "Good morning.",
        policy,
        tmp_path / "b.wav",
        codec=codec,
        family=family,
        voice=str(out),
        voice_text="Hello there.",
        max_speech_tokens=20,
    )
    assert after.tokens > 0
    assert soundfile.info(tmp_path / "b.wav").frames == 480 * after.tokens


def test_a_family_of_another_prompt_or_codec_is_refused(folder: Path, tmp_path: Path) -> None:
    policy, codec = str(folder / "policy"), str(folder / "neucodec")
    for family, title in (("neutts-2e", "NeuTTS-2E"), ("llasa", "Llasa"), ("orpheus", "Orpheus")):
        with pytest.raises(BadInput, match=f"not a tokenizer of {title}"):
            say("Hello.", policy, tmp_path / "c.wav", codec=codec, family=family)
