"""Clients of other projects' reward servers, unchanged, against the real service."""

from __future__ import annotations

import io
import json

import httpx
import numpy as np
import pytest
import soundfile
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from support.paths import TINY
from support.reward_server import RewardServer, score, utterances
from ttsrl.codecs.registry import load_codec
from ttsrl.wire import Ok, Utterance

MODEL = "token2wav_asr"
ROWS = 5


@pytest.fixture
def client(reward_service: RewardServer) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(reward_service.url.removeprefix("http://"))


@pytest.fixture(scope="module")
def items() -> list[Utterance]:
    """Of different lengths."""
    items = utterances(ROWS, seed=4)
    assert len({len(item.speech_tokens) for item in items}) > 1
    return items


def inputs(items: list[Utterance], *, binary: bool = True) -> list[triton.InferInput]:
    """As CosyVoice's client sends one utterance, for several: padded to the longest."""
    width = max(len(item.speech_tokens) for item in items)
    tokens = np.full((len(items), width), 999, dtype=np.int32)
    for row, item in zip(tokens, items, strict=True):
        row[: len(item.speech_tokens)] = item.speech_tokens
    lengths = np.array([[len(item.speech_tokens)] for item in items], dtype=np.int32)
    texts = np.array([[item.text.encode()] for item in items], dtype=object)
    tensors = {"TOKENS": (tokens, "INT32"), "TOKEN_LENS": (lengths, "INT32")}
    tensors["GT_TEXT"] = (texts, "BYTES")
    given: list[triton.InferInput] = []
    for name, (data, datatype) in tensors.items():
        given.append(triton.InferInput(name, list(data.shape), datatype))
        given[-1].set_data_from_numpy(data, binary_data=binary)
    return given


def expected(server: RewardServer, items: list[Utterance]) -> tuple[list[float], list[str]]:
    outcomes = [outcome for outcome in score(server, items) if isinstance(outcome, Ok)]
    return [outcome.reward for outcome in outcomes], [o.transcript or "" for o in outcomes]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_tritonclient_scores_rows_of_unequal_lengths(
    reward_service: RewardServer,
    client: triton.InferenceServerClient,
    items: list[Utterance],
    binary_in: bool,
    binary_out: bool | None,
) -> None:
    outputs = None
    if binary_out is not None:
        outputs = [
            triton.InferRequestedOutput(name, binary_data=binary_out)
            for name in ("TRANSCRIPTS", "REWARDS")
        ]
    result = client.infer(MODEL, inputs(items, binary=binary_in), outputs=outputs, request_id="7")
    rewards, transcripts = expected(reward_service, items)
    given = result.as_numpy("REWARDS")
    assert given is not None
    assert given.shape == (ROWS, 1)
    assert given[:, 0].tolist() == pytest.approx(rewards, abs=1e-5)
    heard = result.as_numpy("TRANSCRIPTS")
    assert heard is not None
    assert [t.decode() if isinstance(t, bytes) else t for t in heard[:, 0]] == transcripts
    assert result.get_response()["id"] == "7"


def test_tritonclient_finds_the_server_and_its_model_ready(
    client: triton.InferenceServerClient,
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "ttsrl"
    metadata = client.get_model_metadata(MODEL)
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["TOKENS", "TOKEN_LENS", "GT_TEXT"]
    assert [tensor["datatype"] for tensor in metadata["outputs"]] == ["FP32", "BYTES"]
    assert client.get_model_config(MODEL)["max_batch_size"] >= ROWS


def test_the_json_body_of_cosyvoices_reward_function_gets_its_reward_first(
    reward_service: RewardServer, items: list[Utterance]
) -> None:
    item = items[0]
    length = len(item.speech_tokens)
    body = {
        "inputs": [
            {"name": "TOKENS", "shape": [1, length], "datatype": "INT32"}
            | {"data": [item.speech_tokens]},
            {"name": "TOKEN_LENS", "shape": [1, 1], "datatype": "INT32", "data": [[length]]},
            {"name": "GT_TEXT", "shape": [1, 1], "datatype": "BYTES", "data": [item.text]},
        ]
    }
    url = f"{reward_service.url}/v2/models/{MODEL}/infer"
    answer = httpx.post(url, json=body, params={"request_id": "0"}, timeout=300)
    assert answer.status_code == 200
    (reward,), _ = expected(reward_service, [item])
    assert answer.json()["outputs"][0]["data"] == [pytest.approx(reward, abs=1e-5)]


def test_bad_speech_has_reward_0_and_what_cannot_be_measured_is_an_error_that_names_its_row(
    client: triton.InferenceServerClient, items: list[Utterance]
) -> None:
    mute = items[0].model_copy(update={"speech_tokens": []})
    result = client.infer(MODEL, inputs([items[0], mute]))
    rewards = result.as_numpy("REWARDS")
    assert rewards is not None
    assert rewards[0, 0] > 0
    assert rewards[1, 0] == 0
    unspeakable = items[0].model_copy(update={"text": "!?"})
    with pytest.raises(InferenceServerException, match="row 1: rejected") as refused:
        client.infer(MODEL, inputs([items[0], unspeakable]))
    assert refused.value.status() == "400"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"TOKENS": {"datatype": "FP32"}}, "TOKENS has datatype 'FP32'; send INT32"),
        ({"TOKENS": {"shape": [2, 3]}}, "TOKENS has shape [2, 3] and 3 elements"),
        ({"TOKENS": {"shape": [2**40, 2**40]}}, "send one or two sizes"),
        ({"TOKENS": {"data": [[1, 2, 2**31]]}}, "not a 32-bit integer"),
        ({"TOKENS": {"data": [[1, 2, True]]}}, "not a 32-bit integer"),
        ({"TOKENS": {"data": "abc"}}, "neither"),
        ({"TOKENS": {"name": ["TOKENS"]}}, "the model takes TOKENS, TOKEN_LENS, GT_TEXT"),
        ({"TOKENS": {"parameters": {"binary_data_size": 12}}}, "0 are there"),
        ({"TOKEN_LENS": {"data": [[4]]}}, "TOKEN_LENS of row 0 is 4, of 3 tokens"),
        ({"TOKEN_LENS": {"data": [[-1]]}}, "TOKEN_LENS of row 0 is -1, of 3 tokens"),
        ({"TOKEN_LENS": {"shape": [1, 2], "data": [1, 2]}}, "it is [1, 1]"),
        ({"GT_TEXT": {"data": [""]}}, "row 0: String should have at least 1 character"),
        ({"GT_TEXT": {"data": ["\ud800"]}}, "row 0"),
        ({"GT_TEXT": {"name": "TEXT"}}, "input 'TEXT'"),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_a_request_that_breaks_the_protocol_is_told_what_is_wrong(
    reward_service: RewardServer, change: dict[str, dict[str, object]], problem: str
) -> None:
    tensors = [
        {"name": "TOKENS", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3]},
        {"name": "TOKEN_LENS", "shape": [1, 1], "datatype": "INT32", "data": [3]},
        {"name": "GT_TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["hello"]},
    ]
    body = {"inputs": [tensor | change.get(str(tensor["name"]), {}) for tensor in tensors]}
    answer = httpx.post(f"{reward_service.url}/v2/models/{MODEL}/infer", content=json.dumps(body))
    assert answer.status_code == 400
    assert problem in answer.json()["error"]


@pytest.fixture(scope="module")
def wav(items: list[Utterance]) -> bytes:
    """The first utterance as the codec decodes it."""
    folder = TINY / "codec"
    codec = load_codec(str(folder))
    file = io.BytesIO()
    waveform = codec.decode([items[0].speech_tokens])[0]
    soundfile.write(file, waveform, codec.sample_rate_hz, format="WAV", subtype="FLOAT")
    return file.getvalue()


def score_wav(server: RewardServer, data: bytes, text: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/score_wav",
        content=data,
        params={"text": text},
        headers={"content-type": "audio/wav"},
        timeout=300,
    )


def test_score_wav_measures_a_wav_as_it_measures_the_tokens_it_was_decoded_from(
    reward_service: RewardServer, items: list[Utterance], wav: bytes
) -> None:
    body = {"tokens": items[0].speech_tokens, "text": items[0].text}
    by_tokens = httpx.post(f"{reward_service.url}/score", json=body, timeout=300).json()
    by_wav = score_wav(reward_service, wav, items[0].text)
    assert by_wav.status_code == 200
    assert by_wav.json() == {
        "nll": pytest.approx(by_tokens["nll"], abs=1e-4),
        "transcript": by_tokens["transcript"],
    }


def test_score_wav_hears_stereo_at_another_rate_and_tells_two_recordings_apart(
    reward_service: RewardServer, items: list[Utterance], wav: bytes
) -> None:
    waveform, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    file = io.BytesIO()
    held = np.repeat(waveform, 3)
    soundfile.write(file, np.stack([held, held], axis=1), 3 * rate_hz, format="FLAC")
    first = score_wav(reward_service, wav, items[0].text).json()
    second = score_wav(reward_service, file.getvalue(), items[0].text).json()
    assert second["transcript"] == first["transcript"]
    assert second["nll"] != first["nll"]


def test_score_wav_refuses_what_is_no_speech(
    reward_service: RewardServer, items: list[Utterance], wav: bytes
) -> None:
    text = items[0].text
    assert "give WAV, FLAC" in score_wav(reward_service, b"RIFF", text).json()["detail"]
    assert score_wav(reward_service, b"", text).status_code == 400
    assert score_wav(reward_service, wav[:44], text).status_code == 400
    assert score_wav(reward_service, wav, "").status_code == 400
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(16_000), 16_000, format="WAV")
    answer = score_wav(reward_service, silence.getvalue(), text)
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("gated, silence")
