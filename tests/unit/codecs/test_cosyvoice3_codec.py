"""CosyVoice3's codec, on files in the published format with tiny random weights.

cosyvoice3_by_upstream.npz is what FunAudioLLM/CosyVoice at ace7c47 makes of the weights and inputs
below: CausalMaskedDiffWithDiT.inference and CausalHiFTGenerator.inference, its noise replaced.
"""

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from support.cosyvoice2_files import (
    write_campplus,
    write_codec,
    write_third_tokenizer,
    write_voice_models,
)
from ttsrl.codecs import voice as voices
from ttsrl.codecs.cosyvoice2_flow import Flow
from ttsrl.codecs.cosyvoice3 import CosyVoice3Codec
from ttsrl.codecs.cosyvoice3_network import DitFlow, make_causal_hift, vocode
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.codecs.registry import codec_digest, load_codec, load_encoder
from ttsrl.codecs.voice import CodecVoice
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice as voice_like

BY_UPSTREAM = Path(__file__).parent / "cosyvoice3_by_upstream.npz"


@pytest.fixture(scope="module", autouse=True)
def no_voices_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "CACHE", tmp_path_factory.mktemp("voices"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_codec(tmp_path_factory.mktemp("cosyvoice3"), third=True)
    write_campplus(write_third_tokenizer(path))
    soundfile.write(path / "voice.wav", voice_like(1.5, 24_000), 24_000)
    return path


@pytest.fixture(scope="module")
def codec(folder: Path) -> CosyVoice3Codec:
    codec = load_codec(str(folder), voice=str(folder / "voice.wav"))
    assert isinstance(codec, CosyVoice3Codec)
    return codec


def filled(network: Any, seed: int) -> Any:
    """Weights that any program can make again."""
    random = np.random.default_rng(seed)
    state = network.state_dict()
    for name in sorted(state):
        values = 0.1 * random.standard_normal(state[name].shape)
        state[name] = torch.from_numpy(values.astype(np.float32))
    network.load_state_dict(state)
    return network.eval()


def test_mel_and_waveform_are_upstreams() -> None:
    flow, hift = filled(DitFlow(128, 2, 2, 32), 0), filled(make_causal_hift(32, 32), 1)
    hift.f0_predictor.classifier.bias.data.fill_(150)
    random = np.random.default_rng(2)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32))

    tokens, before = (random.integers(0, 6561, (1, count)) for count in (9, 4))
    voice = CodecVoice(torch.from_numpy(before), normal(1, 8, 80), normal(1, 192))
    noise_1SH = torch.from_numpy(random.random((1, 18 * 480, 9)).astype(np.float32))
    mel_1MT = normal(1, 80, 18)
    theirs = np.load(BY_UPSTREAM)
    with torch.inference_mode():
        [mel_MT] = Flow(flow, torch.device("cpu")).mels([tokens[0].tolist()], voice)
        [waveform] = vocode(hift, mel_1MT, noise_1SH)
    np.testing.assert_allclose(mel_MT, theirs["mel"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(waveform, theirs["waveform"], rtol=0, atol=1e-6)
    assert theirs["mel"].std() > 1
    assert theirs["waveform"].std() > 0.01


def test_a_waveform_depends_on_its_tokens_alone(codec: CosyVoice3Codec) -> None:
    random = np.random.default_rng(0)
    utterances = [random.integers(0, 6561, length).tolist() for length in (12, 20, 1)]
    together = codec.decode(utterances)
    for tokens, waveform in zip(utterances, together, strict=True):
        assert len(waveform) == 960 * len(tokens)
        assert waveform.std() > 1e-5
        np.testing.assert_array_equal(codec.decode([tokens])[0], waveform)
    padded = copy(codec.flow)
    padded.passes = Passes(4, 64)  # as on a GPU
    with torch.inference_mode():
        alone = codec.flow.mels(utterances, codec.voice)
        for one, other in zip(alone, padded.mels(utterances, codec.voice), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


def test_speech_becomes_tokens_alone_as_in_company(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert (encoder.codebook_size, encoder.sample_rate_hz, encoder.tokens_per_s) == (
        6561,
        16_000,
        25,
    )
    speech = [voice_like(s, pitch_hz=f) for s, f in [(1.0, 140), (2.2, 210)]]
    together = encoder.encode(speech)
    assert [len(tokens) for tokens in together] == [25, 55]
    assert together == [encoder.encode([one])[0] for one in speech]
    assert len({*together[0], *together[1]}) > 3


def test_files_of_the_other_edition_are_refused(tmp_path: Path, folder: Path) -> None:
    second = write_voice_models(write_codec(tmp_path / "second"))
    spoken = str(folder / "voice.wav")
    assert codec_digest(str(folder), spoken) != codec_digest(str(second), spoken)
    why = {"flow.pt": "does not hold the weights of CosyVoice3", "hift.pt": "published together"}
    for name, message in why.items():
        mixed = tmp_path / f"mixed-{name}"
        mixed.mkdir()
        for file in folder.iterdir():
            (mixed / file.name).symlink_to((second if file.name == name else folder) / file.name)
        with pytest.raises(BadInput, match=rf"{name}.*{message}"):
            load_codec(str(mixed), voice=spoken)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "cosyvoice3.yaml").touch()
    with pytest.raises(BadInput, match=r"lacks flow\.pt, hift\.pt.*Fun-CosyVoice3-0\.5B"):
        load_codec(str(tmp_path / "bare"), voice="someone")
