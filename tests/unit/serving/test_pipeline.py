"""The reward pipeline over the tiny stack: real codec, real Whisper, real speech."""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from support.outcomes import failed, gated, ok
from support.paths import ROOT
from support.whisper_engine import torch_engine, whisper_of
from ttsrl.audio.waveform import Waveform
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.reward.components import Cer, Nll, compose
from ttsrl.scorers.base import Raw, SpeechSample
from ttsrl.serving.pipeline import Pipeline
from ttsrl.serving.recording import recorded
from ttsrl.serving.scorer_thread import ScorerThread
from ttsrl.wire import Failed, Gated, Ok, Outcome, Utterance

TEXTS = ["four red tigers run home", "black birds sing today"]


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return load_run(ROOT / "examples/tiny/run.json", ["reward.cache_size=0"])


@pytest.fixture(scope="module")
def pipeline(run: RunConfig) -> Pipeline:
    return Pipeline(run)


@pytest.fixture(scope="module")
def clean() -> list[Utterance]:
    """Utterances that say their texts, joined from the tokens of recorded words."""
    tokens_of = json.loads((ROOT / "examples/tiny/codec/words.json").read_text())
    return [
        Utterance(
            text=text,
            speech_tokens=[t for word in [*text.split(), "<pause>"] for t in tokens_of[word]],
        )
        for text in TEXTS
    ]


def change(utterance: Utterance, **fields: object) -> Utterance:
    return utterance.model_copy(update=fields)


def test_clean_speech_is_heard_right_and_rewarded(
    pipeline: Pipeline, clean: list[Utterance]
) -> None:
    for utterance, outcome in zip(clean, pipeline.score(clean), strict=True):
        assert isinstance(outcome, Ok)
        assert outcome.transcript == utterance.text
        assert outcome.raw["cer"] == 0
        assert outcome.reward > 0.9
        assert outcome.duration_s == len(utterance.speech_tokens) / pipeline.codec.tokens_per_s


def test_speech_of_another_text_is_hardly_rewarded(
    pipeline: Pipeline, clean: list[Utterance]
) -> None:
    swapped = [change(u, text=v.text) for u, v in zip(clean, clean[::-1], strict=True)]
    for right, wrong in zip(clean, pipeline.score(swapped), strict=True):
        assert isinstance(wrong, Ok)
        assert wrong.transcript == right.text
        assert wrong.reward < 0.1


def test_an_outcome_carries_raw_scores_utilities_and_their_composition(
    pipeline: Pipeline, clean: list[Utterance], run: RunConfig
) -> None:
    outcome = ok(pipeline.score([change(clean[0], text="four green tigers run home")])[0])
    assert outcome.raw["cer"] > 0
    components = {c.type: c for c in run.reward.components if isinstance(c, Cer | Nll)}
    assert len(components) == len(run.reward.components)
    assert outcome.utilities == {t: c.utility(outcome.raw[t]) for t, c in components.items()}
    weights = {t: c.weight for t, c in components.items()}
    assert outcome.reward == compose(outcome.utilities, weights)


def test_bad_speech_is_gated_with_its_reason(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = clean[0]
    bad = {
        "no_tokens": change(good, speech_tokens=[]),
        "token_outside_codebook": change(good, speech_tokens=[*good.speech_tokens, 1000]),
        "no_end_token": change(good, finished=False),
        "too_short": change(good, text="one two three " * 20, speech_tokens=good.speech_tokens[:3]),
        "too_long": change(good, text="jump", speech_tokens=good.speech_tokens * 2),
    }
    outcomes = pipeline.score([*bad.values(), good])
    assert [gated(o).reason for o in outcomes[:-1]] == list(bad)
    assert [gated(o).reward for o in outcomes[:-1]] == [0] * len(bad)
    assert isinstance(outcomes[-1], Ok)
    monkeypatch.setattr(
        pipeline.codec, "decode", lambda tokens: [np.zeros(20_000, np.float32) for _ in tokens]
    )
    assert gated(pipeline.score([good])[0]).reason == "silence"


def test_a_hum_is_no_speech_whatever_a_recogniser_hears(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    t = np.arange(2 * 16_000) / 16_000
    hum = (0.3 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    monkeypatch.setattr(pipeline.codec, "decode", lambda tokens: [hum for _ in tokens])
    [outcome] = map(gated, pipeline.score(clean[:1]))
    assert (outcome.reason, outcome.duration_s) == ("no_speech", 2.0)
    assert "0.00 s of speech found" in outcome.detail


def test_a_broken_detector_of_voices_is_no_statement_about_the_speech(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = pipeline.scorers["voice_activity"]
    nothing = {"speech_s": math.nan, "faint_speech_s": math.nan}
    with monkeypatch.context() as patch:
        patch.setattr(detector, "score", lambda speeches: [nothing for _ in speeches])
        assert [failed(o).kind for o in pipeline.score(clean)] == ["nan", "nan"]
        patch.setattr(detector, "score", None)
        [first, _] = map(failed, pipeline.score(clean))
    assert first.kind == "scorer" and first.detail.startswith("voice_activity: ")
    assert all(isinstance(o, Ok) for o in pipeline.score(clean))


def test_without_its_gate_the_detector_is_not_even_loaded(
    run: RunConfig, clean: list[Utterance]
) -> None:
    gates = run.reward.gates.model_copy(update={"min_speech_s": 0.0})
    reward = run.reward.model_copy(update={"gates": gates})
    pipeline = Pipeline(run.model_copy(update={"reward": reward}))
    assert not pipeline.scorers
    assert all("speech_s" not in ok(o).raw for o in pipeline.score(clean))


def test_repetition_is_gated(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = change(clean[0], speech_tokens=[5] * len(clean[0].speech_tokens))
    assert gated(pipeline.score([stuck])[0]).reason == "repeated_tokens"
    looped = "four red tigers run " * 20
    assert pipeline.whisper is not None
    monkeypatch.setattr(pipeline.whisper.tokens, "decode", lambda ids: looped)
    assert gated(pipeline.score(clean[:1])[0]).reason == "repeated_words"


def test_what_is_gated_by_its_tokens_is_never_decoded(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.codec, "decode", None)
    endless = change(clean[0], speech_tokens=[1] * 60_000)
    assert gated(pipeline.score([endless])[0]).reason == "too_long"


def test_a_waveform_longer_than_its_tokens_say_is_gated_too(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = pipeline.codec.decode
    monkeypatch.setattr(
        pipeline.codec, "decode", lambda tokens: [np.tile(w, 2) for w in decode(tokens)]
    )
    outcome = gated(pipeline.score(clean[:1])[0])
    assert outcome.reason == "too_long"
    assert outcome.duration_s == 2 * len(clean[0].speech_tokens) / pipeline.codec.tokens_per_s


def test_an_empty_transcript_is_never_rewarded(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_of(pipeline).tokens, "decode", lambda ids: "")
    for outcome in map(gated, pipeline.score(clean)):
        assert (outcome.reason, outcome.reward) == ("empty_transcript", 0)
        assert outcome.duration_s > 0


def company(pipeline: Pipeline, clean: list[Utterance]) -> list[Utterance]:
    """Good, wrong, cut, gated and unmeasurable utterances."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 1000, n).tolist() for n in (9, 14, 14, 30)]
    return [
        *clean,
        *(change(clean[0], speech_tokens=tokens) for tokens in noise),
        *(change(u, text="six old dogs swim") for u in clean),
        *(change(u, speech_tokens=u.speech_tokens[:12]) for u in clean),
        change(clean[0], speech_tokens=[]),
        change(clean[0], text="..."),
        change(clean[0], language="xx"),
    ]


def test_outcomes_do_not_depend_on_company_or_order(
    pipeline: Pipeline, clean: list[Utterance]
) -> None:
    utterances = company(pipeline, clean)
    together = pipeline.score(utterances)
    kinds = [type(o) for o in together]
    assert set(kinds[3:7]) <= {Ok, Gated}  # in some noise no word is heard
    assert kinds[:3] + kinds[7:] == [Ok] * 6 + [Gated, Failed, Failed]
    order = np.random.default_rng(1).permutation(len(utterances))
    shuffled = pipeline.score([utterances[n] for n in order])
    for n, outcome in zip(order, shuffled, strict=True):
        assert_same(outcome, together[n], 0)  # batches of one shape: bit for bit
    for utterance, outcome in zip(utterances, together, strict=True):
        assert_same(pipeline.score([utterance])[0], outcome, 1e-5)


def assert_same(one: Outcome, other: Outcome, tolerance: float) -> None:
    if not isinstance(one, Ok):
        assert one == other
        return
    other = ok(other)
    assert one.transcript == other.transcript
    assert one.raw == pytest.approx(other.raw, abs=tolerance, rel=0)
    assert one.reward == pytest.approx(other.reward, abs=tolerance, rel=0)


def test_equal_utterances_are_measured_once(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = pipeline.codec.decode
    monkeypatch.setattr(pipeline.codec, "decode", lambda t: decoded.extend(t) or decode(t))
    utterances = [*clean * 3, change(clean[0], id="other name")]
    outcomes = pipeline.score(utterances)
    assert len(decoded) == 2
    assert outcomes[0] == outcomes[2] == outcomes[4] == outcomes[6] != outcomes[1]
    pipeline.score([clean[0], change(clean[0], text="jump"), change(clean[0], finished=False)])
    assert len(decoded) == 4


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_more_utterances_than_a_batch(
    run: RunConfig, clean: list[Utterance], pipeline: Pipeline, batch_size: int
) -> None:
    reward = run.reward.model_copy(update={"batch_size": batch_size})
    small = Pipeline(run.model_copy(update={"reward": reward}))
    utterances = company(pipeline, clean)
    outcomes = small.score(utterances)
    for one, other in zip(outcomes, pipeline.score(utterances), strict=True):
        assert_same(one, other, 1e-5)
    for one, other in zip(small.score(utterances[::-1])[::-1], outcomes, strict=True):
        assert_same(one, other, 0)  # the same batches, bit for bit


@pytest.mark.parametrize("culprits", [{0}, {5}, {2, 3}])
def test_one_that_breaks_the_codec_fails_alone(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch, culprits: set[int]
) -> None:
    utterances = company(pipeline, clean)[:10]
    expected = pipeline.score(utterances)
    poison = [utterances[n].speech_tokens for n in culprits]
    decode = pipeline.codec.decode

    def broken(tokens: Sequence[Sequence[int]]) -> list[Waveform]:
        if any(list(t) in poison for t in tokens):
            raise RuntimeError("device on fire")
        return decode(tokens)

    monkeypatch.setattr(pipeline.codec, "decode", broken)
    for n, outcome in enumerate(pipeline.score(utterances)):
        if utterances[n].speech_tokens in poison:
            assert outcome == Failed(kind="decode", detail="RuntimeError: device on fire")
        else:
            assert_same(outcome, expected[n], 1e-5)


def test_one_that_breaks_whisper_fails_alone(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    score = whisper_of(pipeline).score

    def broken(
        waveforms: Sequence[Waveform], rate_hz: int, texts: Sequence[str], languages: Sequence[str]
    ) -> list[Raw]:
        if "black birds sing today" in texts:
            raise RuntimeError("out of memory")
        return score(waveforms, rate_hz, texts, languages)

    monkeypatch.setattr(whisper_of(pipeline), "score", broken)
    good, bad = pipeline.score(clean)
    assert isinstance(good, Ok)
    assert bad == Failed(kind="scorer", detail="whisper: RuntimeError: out of memory")


def test_what_is_no_number_fails_and_is_never_a_reward(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = pipeline.codec.decode

    def half_nan(tokens: Sequence[Sequence[int]]) -> list[Waveform]:
        waveforms = decode(tokens)
        waveforms[0][100] = np.nan
        return waveforms

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.codec, "decode", half_nan)
        kinds = sorted(getattr(o, "kind", "ok") for o in pipeline.score(clean))
        assert kinds == ["nan", "ok"]
    bias = torch_engine(whisper_of(pipeline)).network.decoder_norm.bias
    kept = bias.clone()
    bias.fill_(np.nan)
    assert [failed(o).kind for o in pipeline.score(clean)] == ["nan", "nan"]
    bias.copy_(kept)
    assert all(isinstance(o, Ok) for o in pipeline.score(clean))


def test_unmeasurable_texts_are_rejected_with_the_reason(
    pipeline: Pipeline, clean: list[Utterance]
) -> None:
    texts = {"text": "!!!"}, {"language": "english"}, {"text": "red <|endoftext|> birds sing"}, {}
    outcomes = pipeline.score([change(clean[0], **fields) for fields in texts])
    assert [getattr(o, "kind", "ok") for o in outcomes] == [*["rejected"] * 3, "ok"]
    for outcome, reason in zip(outcomes, ["heard", "did you mean 'en'", "control"], strict=False):
        assert reason in failed(outcome).detail


def test_the_specification_s_hash_follows_what_decides_a_reward(
    run: RunConfig, pipeline: Pipeline
) -> None:
    def changed(**reward: object) -> RunConfig:
        return run.model_copy(update={"reward": run.reward.model_copy(update=reward)})

    assert Pipeline(run).spec_hash == pipeline.spec_hash
    assert Pipeline(changed(batch_size=7, url="http://elsewhere")).spec_hash == pipeline.spec_hash
    assert run.reward.whisper is not None
    channel_io = run.reward.whisper.model_copy(update={"mode": "channel-io"})
    gates = run.reward.gates.model_copy(update={"slack_s": 2.0})
    heavier = [run.reward.components[0].model_copy(update={"weight": 0.7})]
    others = {
        Pipeline(changed(whisper=channel_io)).spec_hash,
        Pipeline(changed(gates=gates)).spec_hash,
        Pipeline(changed(components=heavier)).spec_hash,
    }
    assert len(others | {pipeline.spec_hash}) == 4


def test_stages_are_timed_and_the_pipeline_tests_itself(
    run: RunConfig, clean: list[Utterance]
) -> None:
    seconds = []
    pipeline = Pipeline(run, on_stage=lambda name, s: seconds.append((name, s)))
    pipeline.warm_up()
    pipeline.self_test()
    assert not seconds
    pipeline.score(clean)
    assert [name for name, _ in seconds] == [
        *("gates", "decode", "gates", "voice_activity", "whisper")
    ]
    assert all(s > 0 for _, s in seconds)


def test_self_test_finds_a_codec_that_hears_its_neighbours(
    run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(run)
    decode = pipeline.codec.decode
    monkeypatch.setattr(pipeline.codec, "decode", lambda t: [w / len(t) for w in decode(t)])
    with pytest.raises(RuntimeError, match="differently in a batch"):
        pipeline.self_test()


class Loudness:
    """A scorer beside Whisper's, as small as one can be."""

    spec: Mapping[str, Any] = {"version": 1}
    example: Mapping[str, Any] = {}

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        return [{"loudness": float(np.abs(s.waveform).max())} for s in speeches]


@pytest.fixture
def with_loudness(run: RunConfig) -> Pipeline:
    pipeline = Pipeline(run)
    pipeline.scorers["loudness"] = Loudness()
    pipeline.threads["loudness"] = ScorerThread("loudness")
    return pipeline


def test_every_scorer_s_raw_values_are_in_the_outcome(
    with_loudness: Pipeline, clean: list[Utterance], pipeline: Pipeline
) -> None:
    with_loudness.self_test()
    scored = map(ok, pipeline.score(clean)), map(ok, with_loudness.score(clean))
    for plain, outcome in zip(*scored, strict=True):
        voice = {"speech_s", "faint_speech_s", "no_speech"}
        assert set(outcome.raw) == {"cer", "wer", "nll", "loudness", *voice}
        assert 0 < outcome.raw["loudness"] <= 1
        assert outcome.reward == plain.reward  # no component asks for it


@pytest.mark.parametrize(
    ("value", "kind"), [(float("nan"), "nan"), (RuntimeError("no memory"), "scorer")]
)
def test_a_scorer_that_breaks_fails_its_utterance_and_is_never_a_reward(
    with_loudness: Pipeline,
    clean: list[Utterance],
    monkeypatch: pytest.MonkeyPatch,
    value: float | Exception,
    kind: str,
) -> None:
    def broken(speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        found = {s.text: 0.5 for s in speeches}
        if clean[1].text in found:
            if isinstance(value, Exception):
                raise value
            found[clean[1].text] = value
        return [{"loudness": found[s.text]} for s in speeches]

    monkeypatch.setattr(with_loudness.scorers["loudness"], "score", broken)
    good, bad = with_loudness.score(clean)
    assert isinstance(good, Ok)
    assert isinstance(bad, Failed) and bad.kind == kind and "loudness" in bad.detail


def test_a_scorer_that_hangs_meets_its_deadline_and_the_next_batch_is_measured(
    run: RunConfig, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = run.reward.model_copy(update={"scorer_deadline_s": 5.0})
    pipeline = Pipeline(run.model_copy(update={"reward": reward}))
    pipeline.scorers["loudness"] = Loudness()
    pipeline.threads["loudness"] = ScorerThread("loudness")
    assert all(isinstance(o, Ok) for o in pipeline.score(clean))
    texts = [u.text for u in clean]
    heard = whisper_of(pipeline).score(
        pipeline.codec.decode([u.speech_tokens for u in clean]), 16_000, texts, ["en"] * 2
    )

    hangs, released = threading.Event(), threading.Event()

    def hang(speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        hangs.set()
        assert released.wait(60)
        return Loudness().score(speeches)

    seconds = []
    pipeline.on_stage = lambda name, s: seconds.append(name)
    monkeypatch.setattr(pipeline, "reward", reward.model_copy(update={"scorer_deadline_s": 0.5}))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.scorers["loudness"], "score", hang)
        # in no time, so that a busy machine does not make it late too
        patch.setattr(whisper_of(pipeline), "score", lambda *_: heard)
        outcomes = pipeline.score(clean)
        assert hangs.is_set()
        released.set()
    assert [failed(o).kind for o in outcomes] == ["deadline"] * 2
    assert "loudness took longer than 0.5 s" in failed(outcomes[0]).detail
    assert "whisper" in seconds and "loudness" not in seconds  # nobody waited for the slow one
    monkeypatch.setattr(pipeline, "reward", reward)
    assert all(isinstance(o, Ok) for o in pipeline.score(clean))


def test_the_self_test_names_a_scorer_that_hears_its_neighbours(
    with_loudness: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def neighbourly(speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        return [{"loudness": len(speeches) / 10} for _ in speeches]

    monkeypatch.setattr(with_loudness.scorers["loudness"], "score", neighbourly)
    with pytest.raises(RuntimeError, match=r"loudness measures loudness = 0\.1 alone and 0\.3"):
        with_loudness.self_test()


def test_style_speaker_and_label_tell_utterances_apart(
    pipeline: Pipeline, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = pipeline.codec.decode
    monkeypatch.setattr(pipeline.codec, "decode", lambda t: decoded.extend(t) or decode(t))
    wanted = ({"style": "sad"}, {"speaker": "anna"}, {"label": "sad"})
    pipeline.score([clean[0], *(change(clean[0], **fields) for fields in wanted)])
    assert len(decoded) == 4


def test_a_rollout_that_comes_again_costs_nothing(
    run: RunConfig, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = run.reward.model_copy(update={"cache_size": 2})
    pipeline = Pipeline(run.model_copy(update={"reward": reward}))
    decoded = []
    decode = pipeline.codec.decode
    monkeypatch.setattr(pipeline.codec, "decode", lambda t: decoded.extend(t) or decode(t))
    first = pipeline.score(clean)
    assert pipeline.score(clean) == first
    assert len(decoded) == 2
    pipeline.score([change(clean[0], text="jump")])  # a third one: clean[0] is forgotten
    pipeline.score(clean[1:])
    assert len(decoded) == 3
    pipeline.score(clean[:1])
    assert len(decoded) == 4


def test_the_same_samples_at_another_rate_are_another_utterance(
    run: RunConfig, pipeline: Pipeline, clean: list[Utterance]
) -> None:
    (waveform,) = pipeline.codec.decode([clean[0].speech_tokens])
    rate_hz = pipeline.codec.sample_rate_hz
    items = [
        recorded(waveform, rate, text=clean[0].text, language="en")
        for rate in (rate_hz, 2 * rate_hz)
    ]
    first, second = pipeline.score(items)
    assert isinstance(first, Ok)
    assert not isinstance(second, Failed)
    assert first.duration_s == pytest.approx(2 * second.duration_s, rel=0.01)


def test_what_failed_is_measured_again(
    run: RunConfig, clean: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = run.reward.model_copy(update={"cache_size": 100})
    pipeline = Pipeline(run.model_copy(update={"reward": reward}))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.codec, "decode", None)
        assert all(isinstance(o, Failed) for o in pipeline.score(clean))
    assert all(isinstance(o, Ok) for o in pipeline.score(clean))


def test_more_components_are_measured_composed_and_part_of_the_specification(
    run: RunConfig, pipeline: Pipeline, clean: list[Utterance]
) -> None:
    def with_components(composition: str, *components: dict[str, Any]) -> Pipeline:
        reward = run.reward.model_dump() | {"components": components, "composition": composition}
        return Pipeline(RunConfig.model_validate(run.model_dump() | {"reward": reward}))

    cer, rate = {"type": "cer", "weight": 1.0}, {"type": "rate", "weight": 3.0}
    linear = with_components("linear", cer, rate, {"type": "pitch_spread", "weight": 0})
    linear.self_test()
    for outcome in map(ok, linear.score(clean)):
        assert set(outcome.utilities) == {"cer", "rate", "pitch_spread"}
        assert {"nll", "energy_spread", "voiced_share", "pauses"} < set(outcome.raw)
        expected = (outcome.utilities["cer"] + 3 * outcome.utilities["rate"]) / 4
        assert outcome.reward == pytest.approx(expected)
    guard = {"type": "rate", "weight": 0, "low": 90.0, "high": 99.0, "floor": 0.1}
    guarded = with_components("linear", cer, guard)
    assert [gated(o).reason for o in guarded.score(clean)] == ["below_floor"] * 2
    product = with_components("product", cer, rate)
    hashes = {p.spec_hash for p in (pipeline, linear, guarded, product)}
    assert len(hashes) == 4
