"""SenseVoice and Parakeet as components: tiny networks in the real formats, the real programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import ParakeetFeatureExtractor, ParakeetForTDT
from transformers.models.parakeet.modeling_parakeet import ParakeetEncoderModelOutput

from support.tiny_scorers import LETTERS, save_tiny_parakeet, save_tiny_sensevoice
from ttsrl.audio.equal_lengths import equal_lengths
from ttsrl.config.evaluation import JudgeConfig
from ttsrl.errors import BadInput
from ttsrl.reward.components import ParakeetCer, PinyinWer
from ttsrl.reward.config import RewardConfig, WhisperConfig
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.parakeet import load_parakeet
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.registry import load_judge, load_scorers
from ttsrl.scorers.sensevoice import SenseVoice
from ttsrl.text.normalise import cer, pinyin_wer


def clips() -> list[np.ndarray]:
    made = [(1.5, 120), (2.3, 200), (1.5, 260), (0.9, 90)]
    return [voice(s, pitch_hz=f) for s, f in made]


@pytest.fixture(scope="module")
def sensevoice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_sensevoice(tmp_path_factory.mktemp("sensevoice"))


PARAFORMER = ["<blank>", "<s>", "</s>", "你", "好", "hel@@", "lo", "<unk>"]


@pytest.fixture(scope="module")
def paraformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paraformer's inputs, outputs and metadata; it says 你 where it is loud and 好 elsewhere."""
    folder = tmp_path_factory.mktemp("paraformer")
    size, features = len(PARAFORMER), 560
    weight = np.zeros((features, size), np.float32)
    weight[:, 3], weight[:, 4] = 1 / features, -1 / features
    nodes = [
        helper.make_node("MatMul", ["speech", "weight"], ["logits"]),
        helper.make_node("Cast", ["speech_lengths"], ["token_num"], to=TensorProto.INT64),
    ]
    inputs = [helper.make_tensor_value_info("speech", TensorProto.FLOAT, ["N", "T", features])]
    inputs += [helper.make_tensor_value_info("speech_lengths", TensorProto.INT32, ["N"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "T", size])]
    outputs += [helper.make_tensor_value_info("token_num", TensorProto.INT64, ["N"])]
    graph = helper.make_graph(
        nodes, "paraformer", inputs, outputs, [numpy_helper.from_array(weight, "weight")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = {"model_type": "paraformer", "vocab_size": str(size)}
    metadata |= {"lfr_window_size": "7", "lfr_window_shift": "6"}
    metadata |= {"neg_mean": ",".join(["-12"] * features), "inv_stddev": ",".join(["1"] * features)}
    helper.set_model_props(model, metadata)
    onnx.save(model, folder / "model.int8.onnx")
    lines = [f"{token} {n}" for n, token in enumerate(PARAFORMER)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_paraformer_is_a_judge_that_hears_the_same_alone_and_in_a_batch(paraformer: Path) -> None:
    config = JudgeConfig(name="zh", type="paraformer", model=str(paraformer))
    recogniser = load_judge(config, batch_size=2)
    quiet = np.zeros(8_000, "f")
    waveforms = [voice(1.0), np.concatenate([voice(1.0), quiet, quiet]), voice(1.0), quiet]
    together = recogniser.transcribe(waveforms, RATE_HZ, ["zh"] * 4)
    assert together[0] == together[2] and "你好" in together[0]
    assert len(together[1]) > len(together[0]) and set(together[3]) == {"好"}
    assert together == [recogniser.transcribe([w], RATE_HZ, ["zh"])[0] for w in waveforms]


@pytest.fixture(scope="module", params=["ctc", "tdt"])
def parakeet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_parakeet(tmp_path_factory.mktemp(request.param), request.param)


def test_sensevoice_hears_the_same_alone_and_in_a_batch(sensevoice: Path) -> None:
    recogniser = SenseVoice(str(sensevoice), "zh", batch_size=2)
    quiet = np.zeros(8_000, "f")
    waveforms = [voice(1.0), np.concatenate([voice(1.0), quiet, quiet]), voice(1.0), quiet]
    together = recogniser.transcribe(waveforms, RATE_HZ, ["zh"] * 4)
    assert together[0] == together[2] and "好你好你好你" in together[0]  # syllables, and gaps
    assert together[1].startswith(together[0][:6]) and together[1].endswith("好")
    assert together[3] == "好"
    assert together == [recogniser.transcribe([w], RATE_HZ, ["zh"])[0] for w in waveforms]


def test_pinyin_wer_is_a_component_measured_by_sensevoice(sensevoice: Path) -> None:
    component = PinyinWer(model=str(sensevoice))
    reward = RewardConfig(whisper=WhisperConfig(model="w"), components=[component])
    scorer = load_scorers(reward)["pinyin_wer"]
    check_scorer("pinyin_wer", scorer)
    quiet = SpeechSample(np.zeros(RATE_HZ, "f"), RATE_HZ, "号", "zh")
    assert scorer.score([quiet]) == [{"pinyin_wer": 1.0}]  # 号 is hao4, and 好 was heard: hao3
    toneless = component.model_copy(update={"tones": False})
    scorer = load_scorers(reward.model_copy(update={"components": [toneless]}))["pinyin_wer"]
    assert scorer.score([quiet]) == [{"pinyin_wer": 0.0}]
    with pytest.raises(BadInput, match=r"pinyin is for Mandarin .* 'en'"):
        scorer.score([SpeechSample(np.zeros(RATE_HZ, "f"), RATE_HZ, "hello", "en")])


@pytest.mark.parametrize("missing", ["tokens.txt", "model.onnx"])
def test_a_folder_that_is_no_sensevoice_is_refused(
    sensevoice: Path, tmp_path: Path, missing: str
) -> None:
    for file in sensevoice.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BadInput, match=missing):
        SenseVoice(str(tmp_path), "zh")


@pytest.mark.parametrize(
    ("reference", "heard", "with_tones", "without"),
    [
        ("他在银行里。", "她在银航里", 0.0, 0.0),  # other characters, the same sounds
        ("买", "卖", 1.0, 0.0),  # mai3 against mai4
        ("25个", "二十五个", 0.0, 0.0),  # WeText reads numbers out
        ("一个", "移个", 0.0, 0.0),  # sandhi: yi1 before a fourth tone is yi2
        ("我会说English", "我会说english", 0.0, 0.0),
        ("你好", "", 1.0, 1.0),
        ("你好", "你好啊啊啊", 1.5, 1.5),
    ],
)
def test_pinyin_wer_counts_syllables(
    reference: str, heard: str, with_tones: float, without: float
) -> None:
    assert pinyin_wer(reference, heard, "zh", tones=True) == with_tones
    assert pinyin_wer(reference, heard, "zh", tones=False) == without


def test_a_text_without_syllables_has_no_pinyin_wer() -> None:
    with pytest.raises(BadInput, match="can be heard in Mandarin"):
        pinyin_wer("。。。", "你", "zh", tones=True)


# CosyVoice, examples/grpo/cosyvoice2; mair-hub, rl-tutorial/cosyvoice_llm.
@pytest.mark.parametrize(
    ("wer", "tone_marked", "toneless"),
    [
        (0, 1, 1),
        (0.05, 0.851, 0.874),
        (0.1, 0.709, 0.684),
        (0.2, 0.463, 0.342),
        (0.5, 0.095, 0.014),
    ],
)
def test_both_recipes_have_their_own_utility(
    wer: float, tone_marked: float, toneless: float
) -> None:
    assert PinyinWer().utility(wer) == pytest.approx(tone_marked, abs=5e-4)
    assert PinyinWer(tones=False).utility(wer) == pytest.approx(toneless, abs=5e-4)


def test_parakeet_hears_the_same_alone_and_in_a_batch(parakeet: Path) -> None:
    recogniser = load_parakeet(str(parakeet), batch_size=2)
    together = recogniser.transcribe(clips(), RATE_HZ, ["en"] * 4)
    assert together == [recogniser.transcribe([c], RATE_HZ, ["en"])[0] for c in clips()]
    assert len(set(together)) > 1 and all(text == text.strip() for text in together)


def test_parakeet_cer_is_a_component_measured_by_either_kind(parakeet: Path) -> None:
    component = ParakeetCer(model=str(parakeet))
    reward = RewardConfig(whisper=WhisperConfig(model="w"), components=[component])
    scorer = load_scorers(reward)["parakeet_cer"]
    check_scorer("parakeet_cer", scorer)
    heard = load_parakeet(str(parakeet)).transcribe(clips(), RATE_HZ, ["en"] * 4)
    found = scorer.score([SpeechSample(c, RATE_HZ, "a bad cafe", "en") for c in clips()])
    assert found == [{"parakeet_cer": cer("a bad cafe", text, "en")} for text in heard]
    assert component.utility(0.1) == 1 - math.tanh(0.3)


def test_tdt_decodes_greedily(tmp_path: Path) -> None:
    folder = save_tiny_parakeet(tmp_path, "tdt")
    model: Any = ParakeetForTDT.from_pretrained(folder).eval()
    extractor = ParakeetFeatureExtractor.from_pretrained(folder)
    blank, written = len(LETTERS) - 1, [""] * len(clips())
    for n, clip in enumerate(clips()):
        inputs = extractor([clip], sampling_rate=RATE_HZ, return_tensors="pt")
        with torch.no_grad():
            frames = model.get_audio_features(**inputs).pooler_output
            ids, frame = [blank], 0
            # The definition of greedy TDT: the likeliest token, then the likeliest step forward.
            while frame < frames.shape[1] and len(ids) < 10 * frames.shape[1]:
                said = torch.tensor([[blank, *(i for i in ids if i != blank)]])
                encoded = ParakeetEncoderModelOutput(pooler_output=frames[:, frame : frame + 1])
                logits = model(encoder_outputs=encoded, decoder_input_ids=said).logits
                logits = logits.reshape(-1, logits.shape[-1])[-1]
                token = int(logits[: len(LETTERS)].argmax())
                step = int(logits[len(LETTERS) :].argmax())
                frame += max(step, token == blank)
                ids.append(token)
        written[n] = "".join(LETTERS[i] for i in ids if 1 < i < blank)
    heard = load_parakeet(str(folder)).transcribe(clips(), RATE_HZ, ["en"] * 4)
    assert [h.replace(" ", "") for h in heard] == [w.replace("▁", "") for w in written]
    assert any(written)


def test_other_models_and_nemo_without_its_extra_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2"}))
    with pytest.raises(BadInput, match="is 'wav2vec2'; give a parakeet_ctc"):
        load_parakeet(str(tmp_path))
    with pytest.raises(BadInput, match="no such file"):
        load_parakeet(str(tmp_path / "x.nemo"))
    (tmp_path / "x.nemo").write_bytes(b"")
    with pytest.raises(BadInput, match="uv sync --extra reward --extra parakeet"):
        load_parakeet(str(tmp_path / "x.nemo"))


def test_batches_of_equal_length_hold_every_index_once() -> None:
    waveforms = [np.zeros(n, "f") for n in (3, 5, 3, 3, 5)]
    assert list(equal_lengths(waveforms, 2)) == [[0, 2], [3], [1, 4]]
