"""No network is loaded with a weight too few, too many or broken: one planted in each kind of
model."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForPreTraining,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from support.cosyvoice2_files import write_codec, write_llm, write_voice_models
from support.paths import TINY
from support.tiny_scorers import save_tiny_clap, save_tiny_parakeet
from support.tiny_wavlm import save_tiny_wavlm
from ttsrl.codecs.registry import load_codec
from ttsrl.codecs.s3_tokenizer import S3Tokenizer
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.models.cosyvoice_llm import read_llm
from ttsrl.models.hub import fill
from ttsrl.models.policy import check_policy_weights
from ttsrl.reward.components import ParakeetCer, Style
from ttsrl.reward.config import WhisperConfig as RewardWhisper
from ttsrl.scorers.embedding import Embedder
from ttsrl.scorers.parakeet import load_parakeet
from ttsrl.scorers.preference import load_head
from ttsrl.scorers.reference import voice
from ttsrl.scorers.registry import load_judge
from ttsrl.scorers.speaker_models import load_speaker_model
from ttsrl.scorers.style import StyleScorer
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.synthesis.synthesiser import Synthesiser

PLANTED = "planted.weight"
Load = Callable[[Path], object]


def copied(name: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copytree(TINY / name, folder, dirs_exist_ok=True))


def synthesise(folder: Path) -> object:
    return Synthesiser(str(folder), str(TINY / "codec"), "llasa")


def judge(folder: Path) -> object:
    return load_judge(JudgeConfig(name="judge", type="ctc", model=str(folder)))


FOLDERS: dict[str, tuple[Callable[[Path], Path], Load, str]] = {
    "codec": (copied("codec"), lambda f: load_codec(str(f)), r"weight"),
    "policy": (copied("policy"), synthesise, "q_proj"),
    "policy's check": (copied("policy"), check_policy_weights, "q_proj"),
    "whisper": (copied("whisper"), lambda f: WhisperScorer(RewardWhisper(model=str(f))), "fc1"),
    "ctc judge": (copied("judge"), judge, "ffn1"),
    "embedder": (copied("judge"), lambda f: Embedder(str(f)), "ffn1"),
    "speaker": (save_tiny_wavlm, lambda f: load_speaker_model(str(f), "cpu", 1), "tdnn"),
    "style": (save_tiny_clap, lambda f: StyleScorer(Style(model=str(f)), "cpu", 1), "query"),
    "parakeet": (
        lambda f: save_tiny_parakeet(f, "tdt"),
        lambda f: load_parakeet(ParakeetCer(model=str(f)).model),
        "decoder",
    ),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_with_a_weight_too_few_too_many_too_long_or_not_finite_is_refused(
    kind: str, tmp_path: Path
) -> None:
    make, load, pattern = FOLDERS[kind]
    folder = make(tmp_path / "model")
    load(folder)
    file = folder / "model.safetensors"
    whole = load_file(file)
    lost = next(name for name in sorted(whole) if re.search(pattern, name))
    save_file({n: t for n, t in whole.items() if n != lost}, file, {"format": "pt"})
    with pytest.raises(BadInput, match=r"lacks \d+ weights?"):
        load(folder)
    save_file(whole | {PLANTED: torch.ones(1)}, file, {"format": "pt"})
    with pytest.raises(BadInput, match=rf"has 1 weights that a .* has not, first \S*{PLANTED}"):
        load(folder)
    save_file(whole | {lost: torch.cat([whole[lost]] * 2)}, file, {"format": "pt"})
    with pytest.raises(BadInput, match=r"is \[\d.* wants \[.* of models of different sizes"):
        load(folder)
    save_file(whole | {lost: whole[lost] * torch.nan}, file, {"format": "pt"})
    with pytest.raises(BadInput, match="weights that are not finite, first in"):
        load(folder)


@pytest.mark.parametrize("third", [False, True], ids=["cosyvoice2", "cosyvoice3"])
@pytest.mark.parametrize("name", ["flow.pt", "hift.pt"])
def test_a_part_of_cosyvoice_likewise(name: str, third: bool, tmp_path: Path) -> None:
    file = write_codec(tmp_path, third=third) / name
    torch.save({"speaker": {"embedding": torch.ones(192)}}, tmp_path / "spk2info.pt")
    whole = torch.load(file)
    load_codec(str(tmp_path), voice="speaker")
    lost = sorted(whole)[-1]
    torch.save({n: t for n, t in whole.items() if n != lost}, file)
    with pytest.raises(BadInput, match=r"lacks 1 weights"):
        load_codec(str(tmp_path), voice="speaker")
    torch.save(whole | {PLANTED: torch.ones(1)}, file)
    with pytest.raises(BadInput, match=f"has 1 weights .* first {PLANTED}"):
        load_codec(str(tmp_path), voice="speaker")


def test_the_language_model_of_cosyvoice2_likewise(tmp_path: Path) -> None:
    llm = write_llm(tmp_path) / "llm.pt"
    torch.save(torch.load(llm) | {PLANTED: torch.ones(1)}, llm)
    with pytest.raises(BadInput, match=f"has not, first {PLANTED}"):
        read_llm(llm)


def test_the_speech_tokenizer_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is a graph, in which names of weights are found by their use."""
    import s3tokenizer

    file = write_voice_models(tmp_path) / "speech_tokenizer_v2.onnx"
    S3Tokenizer(file)
    read = s3tokenizer.onnx2torch
    planted = {PLANTED: torch.ones(1)}
    monkeypatch.setattr(s3tokenizer, "onnx2torch", lambda f: (read(f) or {}) | planted)
    with pytest.raises(BadInput, match=f"has 1 weights .* first {PLANTED}"):
        S3Tokenizer(file)


def test_a_head_of_preference_likewise(tmp_path: Path) -> None:
    facts = dict(encoder="x", encoder_digest="y", pairs=1, same=0, texts=1)
    facts |= dict(accuracy=1.0, low=0.9, high=1.0, l2=1.0)
    (tmp_path / "preference.json").write_text(json.dumps(facts))
    head = {"weights": torch.ones(3), "bias": torch.zeros(1)}
    save_file(head, tmp_path / "head.safetensors")
    load_head(tmp_path)
    for broken in (
        {"weights": head["weights"]},
        head | {PLANTED: torch.ones(1)},
        head | {"weights": torch.full((3,), torch.nan)},
        head | {"weights": torch.ones(3, 2)},
    ):
        save_file(broken, tmp_path / "head.safetensors")
        with pytest.raises(BadInput, match="no preference head at"):
            load_head(tmp_path)


def test_what_pre_training_leaves_on_top_of_an_encoder_is_no_part_of_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
        codevector_dim=16, proj_codevector_dim=16,
    )  # fmt: skip
    Wav2Vec2ForPreTraining(config).save_pretrained(tmp_path / "pretrained")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "pretrained")
    speech = voice(1.0, 16_000)
    assert Embedder(str(tmp_path / "pretrained")).embed([speech], [16_000]).shape == (1, 64)
    # a Whisper whose output layer was saved beside the embedding that it shares
    folder = copied("whisper")(tmp_path / "whisper")
    weights = load_file(folder / "model.safetensors")
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    scorer = WhisperScorer(RewardWhisper(model=str(folder)))
    original = WhisperScorer(RewardWhisper(model=str(TINY / "whisper")))
    heard = [one.transcribe([speech], 16_000, ["en"]) for one in (scorer, original)]
    assert heard[0] == heard[1]
    assert Embedder(str(folder)).embed([speech], [16_000]).shape[0] == 1


def test_a_buffer_that_older_versions_saved_is_computed(tmp_path: Path) -> None:
    folder = copied("policy")(tmp_path / "policy")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    check_policy_weights(folder)
    synthesise(folder)


def test_a_weight_of_another_size_is_told_with_both(tmp_path: Path) -> None:
    network = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=60_000, d_model=16, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=1, decoder_attention_heads=1, encoder_ffn_dim=8,
            decoder_ffn_dim=8,
        )
    ).model.encoder  # fmt: skip
    weights = network.state_dict()
    wide = weights | {"layer_norm.weight": torch.ones(17)}
    with pytest.raises(BadInput, match=r"x\.pt: layer_norm\.weight is \[17\].* wants \[16\]"):
        fill(network, wide, "x.pt")
    fill(network, weights, "x.pt")
