"""Parakeet as a `.nemo` file: tiny CTC and TDT models, made, saved and heard by NeMo itself.

Runs in the environment of the extra `parakeet`: make test-parakeet
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from nemo.collections.asr.models import EncDecCTCModelBPE, EncDecRNNTBPEModel
from omegaconf import OmegaConf

from ttsrl.reward.components import ParakeetCer
from ttsrl.scorers.parakeet import ParakeetNemo, load_parakeet
from ttsrl.scorers.reference import RATE_HZ, voice

DURATIONS = [0, 1, 2, 3, 4]


def tokenizer(folder: Path) -> tuple[dict[str, str], int]:
    sentences = ["the quick brown fox jumps over the lazy dog", "red tigers run home again"]
    (folder / "text").write_text("\n".join(sentences * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=40,
        hard_vocab_limit=False,
    )
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    names = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size())]
    (folder / "vocab.txt").write_text("\n".join(f"##{name}" for name in names))
    return {"dir": str(folder), "type": "bpe"}, len(names)


def settings(folder: Path) -> tuple[dict, int]:
    spec, size = tokenizer(folder)
    asr = "nemo.collections.asr.modules"
    return {
        "sample_rate": RATE_HZ,
        "tokenizer": spec,
        "preprocessor": {
            "_target_": f"{asr}.AudioToMelSpectrogramPreprocessor",
            "sample_rate": RATE_HZ,
            "features": 80,
            "n_fft": 512,
            "dither": 0.0,
        },
        "encoder": {
            "_target_": f"{asr}.ConformerEncoder",
            "feat_in": 80,
            "n_layers": 1,
            "d_model": 32,
            "n_heads": 2,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 16,
            "conv_kernel_size": 9,
        },
    }, size


def ctc(folder: Path) -> EncDecCTCModelBPE:
    common, size = settings(folder)
    decoder = {
        "_target_": "nemo.collections.asr.modules.ConvASRDecoder",
        "feat_in": 32,
        "num_classes": size,
        "vocabulary": [],
    }
    return EncDecCTCModelBPE(cfg=OmegaConf.create(common | {"decoder": decoder}))


def tdt(folder: Path) -> EncDecRNNTBPEModel:
    common, size = settings(folder)
    asr = "nemo.collections.asr.modules"
    parts = {
        "model_defaults": {
            "enc_hidden": 32,
            "pred_hidden": 32,
            "joint_hidden": 32,
            "tdt_durations": DURATIONS,
            "num_tdt_durations": len(DURATIONS),
        },
        "decoder": {
            "_target_": f"{asr}.RNNTDecoder",
            "blank_as_pad": True,
            "vocab_size": size,
            "prednet": {"pred_hidden": 32, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0},
        },
        "joint": {
            "_target_": f"{asr}.RNNTJoint",
            "num_classes": size,
            "vocabulary": [],
            "num_extra_outputs": len(DURATIONS),
            "fuse_loss_wer": False,
            "jointnet": {
                "joint_hidden": 32,
                "activation": "relu",
                "dropout": 0.0,
                "encoder_hidden": 32,
                "pred_hidden": 32,
            },
        },
        "decoding": {
            "strategy": "greedy_batch",
            "model_type": "tdt",
            "durations": DURATIONS,
            "greedy": {"max_symbols": 5},
        },
        "loss": {
            "loss_name": "tdt",
            "tdt_kwargs": {"durations": DURATIONS, "sigma": 0.02, "omega": 0.1},
        },
    }
    return EncDecRNNTBPEModel(cfg=OmegaConf.create(common | parts))


@pytest.mark.parametrize("make", [ctc, tdt])
def test_a_nemo_file_is_heard_the_same_alone_and_in_a_batch(
    make: Callable[[Path], EncDecCTCModelBPE | EncDecRNNTBPEModel], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.nemo"
    make(tmp_path).save_to(str(file))
    recogniser = load_parakeet(ParakeetCer(model=str(file)).model, batch_size=2)
    assert isinstance(recogniser, ParakeetNemo)
    clips = [voice(s, pitch_hz=f) for s, f in [(1.5, 120), (2.3, 200), (1.5, 260), (0.9, 90)]]
    together = recogniser.transcribe(clips, RATE_HZ, ["en"] * 4)
    assert together == [recogniser.transcribe([c], RATE_HZ, ["en"])[0] for c in clips]
    assert any(together)
    twice_the_rate = [np.repeat(clip, 2) for clip in clips]
    assert len(recogniser.transcribe(twice_the_rate, 2 * RATE_HZ, ["en"] * 4)) == 4
