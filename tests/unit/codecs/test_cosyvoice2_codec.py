"""CosyVoice2's codec and its voice, on files in the published format with tiny random weights."""

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from support.cosyvoice2_files import write_codec, write_voice_models
from ttsrl.codecs import voice as voices
from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.cosyvoice2_flow import STEPS
from ttsrl.codecs.cosyvoice2_network import harmonics, start_noise
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.codecs.registry import codec_digest, load_codec, load_encoder
from ttsrl.codecs.voice import load_voice
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice as voice_like

LENGTHS = [12, 20, 12, 1, 31]


@pytest.fixture(scope="module", autouse=True)
def no_voices_kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        kept = tmp_path_factory.mktemp("voices")
        patch.setattr(voices, "CACHE", kept)
        yield kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_voice_models(write_codec(tmp_path_factory.mktemp("cosyvoice2")))
    soundfile.write(path / "voice.wav", voice_like(1.5, 24_000), 24_000)
    return path


@pytest.fixture(scope="module")
def codec(folder: Path) -> CosyVoice2Codec:
    return CosyVoice2Codec(folder, str(folder / "voice.wav"))


@pytest.fixture(scope="module")
def utterances() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 6561, length).tolist() for length in LENGTHS]


def test_the_codec_says_what_it_is(codec: CosyVoice2Codec) -> None:
    assert (codec.codebook_size, codec.sample_rate_hz, codec.tokens_per_s) == (6561, 24_000, 25)


def test_a_waveform_depends_on_its_tokens_alone(
    codec: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    together = codec.decode(utterances)
    for tokens, waveform in zip(utterances, together, strict=True):
        assert len(waveform) == 960 * len(tokens)
        assert waveform.std() > 1e-4
        np.testing.assert_array_equal(codec.decode([tokens])[0], waveform)
    for one, other in zip(codec.decode(utterances[::-1])[::-1], together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(together[0] - together[2]).max() > 1e-3


def test_the_flow_is_the_one_of_chatterbox(
    codec: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    voice = codec.voice
    for tokens in utterances:
        with torch.inference_mode():
            [mel_MT] = codec.flow.mels([tokens], voice)
            theirs_1MT, _ = codec.flow.network.inference(
                token=torch.tensor([tokens]),
                token_len=torch.tensor([len(tokens)]),
                prompt_token=voice.tokens,
                prompt_token_len=torch.tensor([voice.tokens.shape[1]]),
                prompt_feat=voice.mel,
                prompt_feat_len=None,
                embedding=voice.embedding,
                finalize=True,
                n_timesteps=STEPS,
                noised_mels=start_noise()[:, :, : 2 * (len(tokens) + voice.tokens.shape[1])],
            )
        torch.testing.assert_close(mel_MT, theirs_1MT[0], rtol=0, atol=2e-5)


def test_a_pass_of_several_pads_what_the_flow_does_not_hear(
    codec: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    together = copy(codec.flow)
    together.passes = Passes(4, 64)  # as on a GPU
    with torch.inference_mode():
        alone = codec.flow.mels(utterances, codec.voice)
        padded = together.mels(utterances, codec.voice)
        other_company = together.mels(utterances[::-1], codec.voice)[::-1]
    for one, other, again in zip(alone, padded, other_company, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
        assert torch.equal(other, again)


def test_tokens_outside_the_codebook_and_runaway_are_refused(codec: CosyVoice2Codec) -> None:
    for tokens, message in ([6561], "6561"), ([], "no speech tokens"), ([1] * 7_500, "runaway"):
        with pytest.raises(ValueError, match=message):
            codec.decode([[1], tokens])


def test_speech_starts_from_the_noise_of_cosyvoice() -> None:
    torch.manual_seed(0)  # as CausalConditionalCFM does when it is built
    assert torch.equal(start_noise(), torch.randn([1, 80, 50 * 300]))


def test_the_source_is_sines_at_multiples_of_the_pitch_and_noise_where_there_is_none() -> None:
    pitch = torch.full((1, 50), 150.0)
    pitch[0, 25:] = 0
    source = harmonics(pitch, torch.randn(1, 24_000, 9))[0]
    for n in range(9):
        spectrum = torch.fft.rfft(source[:12_000, n]).abs()
        assert int(spectrum.argmax()) * 2 == 150 * (n + 1)
    assert float(source[:12_000, 0].std()) == pytest.approx(0.1 / 2**0.5, rel=0.02)
    assert float(source[12_000:].std()) == pytest.approx(0.1 / 3, rel=0.02)


def test_missing_files_are_named_with_where_they_come_from(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "flow.pt").write_bytes((folder / "flow.pt").read_bytes())
    with pytest.raises(BadInput, match=r"lacks hift\.pt; .*iic/CosyVoice2-0\.5B"):
        load_codec(str(tmp_path), voice="someone")
    with pytest.raises(BadInput, match=r"lacks hift\.pt, campplus\.onnx, speech_tokenizer_v2\.on"):
        load_codec(str(tmp_path), voice=str(folder / "voice.wav"))


def test_files_of_other_networks_are_refused(tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    spoken = str(folder / "voice.wav")

    def refuse(name: str, content: bytes, message: str) -> None:
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=message):
            load_codec(str(tmp_path), voice=spoken)
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    flow = (folder / "flow.pt").read_bytes()
    refuse("flow.pt", flow[: len(flow) // 2], r"flow\.pt does not hold the weights")
    refuse("hift.pt", flow, r"hift\.pt does not hold the weights")
    weights = torch.load(folder / "flow.pt")
    weights["encoder_proj.bias"] *= torch.nan
    torch.save(weights, tmp_path / "nan.pt")
    nan = (tmp_path / "nan.pt").read_bytes()
    refuse("flow.pt", nan, r"not finite, first in encoder_proj\.bias")


def test_a_voice_is_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = str(folder / "voice.wav")
    first = load_voice(folder, spoken)
    # 1.5 s at 25 tokens/s; a mel of half overlapping frames has one less
    assert first.tokens.shape == (1, 37)
    assert (first.mel.shape, first.embedding.shape) == ((1, 74, 80), (1, 192))
    monkeypatch.setattr(voices, "make_voice", lambda *_: pytest.fail("made twice"))
    again = load_voice(folder, spoken)
    assert all(torch.equal(getattr(again, name), value) for name, value in vars(first).items())


def test_a_saved_speaker_is_the_recording_it_was_made_of(
    folder: Path, utterances: list[list[int]], codec: CosyVoice2Codec
) -> None:
    made = load_voice(folder, str(folder / "voice.wav"))
    speakers = {
        "ana": {
            "flow_prompt_speech_token": made.tokens.int(),
            "prompt_speech_feat": made.mel,
            "flow_embedding": made.embedding,
        },
        "ben": {"embedding": made.embedding},
    }
    torch.save(speakers, folder / "spk2info.pt")
    saved = load_codec(str(folder), voice="ana")
    np.testing.assert_array_equal(saved.decode(utterances[:1])[0], codec.decode(utterances[:1])[0])
    [alone] = load_codec(str(folder), voice="ben").decode(utterances[:1])
    assert len(alone) == 960 * LENGTHS[0]
    with pytest.raises(BadInput, match=r"no voice 'anna'.*knows ana, ben.*did you mean"):
        load_codec(str(folder), voice="anna")
    with pytest.raises(BadInput, match="none is given; set `voice`"):
        load_codec(str(folder))


def test_what_decides_the_sound_is_in_the_digest(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "other.wav", voice_like(1.5, 24_000, pitch_hz=200), 24_000)
    spoken = [str(folder / "voice.wav"), str(tmp_path / "other.wav"), "ana"]
    before = [codec_digest(str(folder), voice) for voice in spoken]
    assert len(set(before)) == 3
    (folder / "llm.pt").write_bytes(b"another language model")
    assert [codec_digest(str(folder), voice) for voice in spoken] == before


def test_a_recording_that_is_no_voice_is_refused(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "v.wav", np.zeros(48_000), 24_000)
    with pytest.raises(BadInput, match="is silent"):
        load_codec(str(folder), voice=str(tmp_path / "v.wav"))
    (tmp_path / "v.wav").write_text("no audio")
    with pytest.raises(BadInput, match="is not audio"):
        load_codec(str(folder), voice=str(tmp_path / "v.wav"))


def test_speech_becomes_25_tokens_a_second_alone_as_in_company(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert (encoder.codebook_size, encoder.sample_rate_hz, encoder.tokens_per_s) == (
        6561,
        16_000,
        25,
    )
    speech = [voice_like(s, pitch_hz=f) for s, f in [(1.0, 140), (2.2, 210), (0.04, 140)]]
    together = encoder.encode(speech)
    assert [len(tokens) for tokens in together] == [25, 55, 1]
    assert together == [encoder.encode([one])[0] for one in speech]
    assert len({*together[0], *together[1]}) > 3
    with pytest.raises(ValueError, match="shorter than one token"):
        encoder.encode([speech[0][:600]])


def test_a_speech_tokenizer_that_is_none_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "cosyvoice2.yaml").touch()
    with pytest.raises(BadInput, match=r"no speech tokenizer at .*iic/CosyVoice2-0\.5B"):
        load_encoder(str(tmp_path))
    whole = (folder / "speech_tokenizer_v2.onnx").read_bytes()
    (tmp_path / "speech_tokenizer_v2.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="is not a speech tokenizer of CosyVoice2"):
        load_encoder(str(tmp_path))
    (tmp_path / "speech_tokenizer_v2.onnx").write_bytes((folder / "campplus.onnx").read_bytes())
    with pytest.raises(BadInput, match="is not a speech tokenizer of CosyVoice2"):
        load_encoder(str(tmp_path))
