"""Which judges are kin to the reward: published names, folders of models, and what a user says."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

from support.records import report_of
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.kinship import (
    as_said_now,
    kinship_of,
    report_judge,
    verdict_judge,
    verdict_note,
)
from ttsrl.records.evaluation import Kinship
from ttsrl.reward.lineage import OF_MODEL_TYPE, lineages_of_name

TINY = "examples/tiny/run.json"
RECIPES = sorted(Path("examples/recipes").glob("*.json"))
CTC: dict[str, str] = {"name": "j", "type": "ctc", "model": "facebook/hubert-large-ls960-ft"}
WHISPER: dict[str, str] = {"name": "w", "type": "whisper", "model": "openai/whisper-small"}
SPHINX: dict[str, str] = {"name": "s", "type": "pocketsphinx", "model": "pocketsphinx"}


def run_with(
    *judges: dict[str, Any], whisper: str = "openai/whisper-large-v3", **more: str
) -> RunConfig:
    settings = [f"reward.whisper.model={whisper}", f"eval.judges={json.dumps(judges)}"]
    return load_run(TINY, [*settings, *(f"{key}={value}" for key, value in more.items())])


def kinships(run: RunConfig) -> list[Kinship]:
    return [kinship_of(run, judge) for judge in run.eval.judges]


@pytest.mark.parametrize(
    ("name", "lineages"),
    [
        ("openai/whisper-tiny.en", {"whisper"}),
        ("distil-whisper/distil-large-v3", {"whisper"}),
        ("nyrahealth/CrisperWhisper", {"whisper"}),
        ("efficient-speech/lite-whisper-large-v3", {"whisper"}),
        ("Systran/faster-whisper-base", {"whisper"}),
        ("Qwen/Qwen2-Audio-7B-Instruct", {"whisper"}),
        ("facebook/wav2vec2-large-960h-lv60-self", {"wav2vec2"}),
        ("facebook/hubert-xlarge-ls960-ft", {"wav2vec2"}),
        ("patrickvonplaten/wavlm-libri-clean-100h-base-plus", {"wav2vec2"}),
        ("facebook/data2vec-audio-base-960h", {"wav2vec2"}),
        ("facebook/mms-1b-all", {"wav2vec2"}),
        ("nvidia/parakeet-ctc-1.1b", {"nemo"}),
        ("nvidia/parakeet-tdt-0.6b-v3", {"nemo", "whisper"}),
        ("nvidia/canary-1b-v2", {"nemo", "whisper"}),
        ("nvidia/stt_en_fastconformer_ctc_large", {"nemo"}),
        ("csukuangfj/sherpa-onnx-paraformer-zh-2023-09-14", {"funasr"}),
        ("csukuangfj/sherpa-onnx-sense-voice-zh-en-ja-ko-yue-2024-07-17", {"funasr"}),
        ("FunAudioLLM/SenseVoiceSmall", {"funasr"}),
        ("pocketsphinx", {"cmusphinx"}),
        ("UsefulSensors/moonshine-base", {"moonshine", "whisper"}),
        ("moonshine_voice", {"moonshine", "whisper"}),
        ("acme/asr-2", set()),
    ],
)
def test_published_recognisers_by_their_names(name: str, lineages: set[str]) -> None:
    assert lineages_of_name(name) == lineages


def test_every_ctc_architecture_of_transformers_is_in_the_table() -> None:
    assert set(MODEL_FOR_CTC_MAPPING_NAMES) <= set(OF_MODEL_TYPE)


def test_the_verdict_rests_on_the_first_judge_that_is_unlike_the_reward() -> None:
    run = run_with(
        WHISPER,
        WHISPER | {"name": "same", "model": "openai/whisper-large-v3", "used_in_reward": True},
        CTC | {"name": "unknown", "model": "acme/asr-2"},
        SPHINX,
        CTC,
    )
    assert kinships(run) == ["kin", "same", "unknown", "unlike", "unlike"]
    assert verdict_judge(run).name == "s"
    assert verdict_judge(run, run.eval.judges[:3]).name == "unknown"
    assert verdict_judge(run, run.eval.judges[:2]).name == "w"
    assert verdict_note(run).startswith("the verdict rests on judge 's' (lineage cmusphinx)")
    assert "set its lineage: whisper, wav2vec2" in verdict_note(run, run.eval.judges[:3])
    assert "no judge is unlike" in verdict_note(run, run.eval.judges[:2])


def test_an_audio_llm_that_rewards_is_kin_to_what_its_encoder_comes_from() -> None:
    asked = {"type": "llm", "url": "http://audio-llm:8000/v1", "max_cer": None}

    def kinships_under(**component: Any) -> list[Kinship]:
        components = json.dumps([{"type": "parakeet_cer"}, asked | component])
        return kinships(run_with(WHISPER, SPHINX, **{"reward.components": components}))

    assert kinships_under(served_model="Qwen/Qwen2-Audio-7B-Instruct") == ["kin", "unlike"]
    assert kinships_under(served_model="ours") == ["unlike", "unlike"]
    assert kinships_under(served_model="ours", lineage=["whisper"]) == ["kin", "unlike"]
    with pytest.raises(BadInput, match=r"components\[1\] has lineage kaldi, .* of lineage whisper"):
        kinships_under(served_model="Qwen/Qwen2-Audio-7B-Instruct", lineage=["kaldi"])


def test_a_scorer_over_http_is_what_its_user_says() -> None:
    scorer = {"type": "http", "url": "http://scorer:8000", "served_model": "scorer 1.2"}

    def kinships_under(**component: Any) -> list[Kinship]:
        components = json.dumps([{"type": "parakeet_cer"}, scorer | component])
        return kinships(run_with(WHISPER, SPHINX, **{"reward.components": components}))

    assert kinships_under() == ["unlike", "unlike"]
    assert kinships_under(lineage=["cmusphinx"]) == ["unlike", "kin"]


def test_a_revision_changes_nothing() -> None:
    run = run_with(
        CTC | {"model": "distil-whisper/distil-x@main"},
        whisper="openai/whisper-large-v3@06f233fe06e710322aca913c1bc4249a0d71fce1",
    )
    assert kinships(run) == ["kin"]


def test_moonshine_is_kin_to_whisper_which_wrote_its_transcripts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "moonshine"}')
    ours = {"name": "m", "type": "moonshine", "model": str(tmp_path)}
    assert kinships(run_with(ours, SPHINX)) == ["kin", "unlike"]
    # one that somebody has trained from nothing, on recordings of their own
    assert kinships(run_with(ours | {"lineage": ["ours"]})) == ["unlike"]


def test_a_judge_that_is_a_second_recogniser_of_the_reward_is_refused() -> None:
    second = {"type": "asr_cer", "recogniser": "pocketsphinx", "model": "pocketsphinx"}
    components = {"reward.components": json.dumps([{"type": "cer"}, second])}
    with pytest.raises(BadInput, match="'s' is pocketsphinx, the model that gives the rew"):
        run_with(SPHINX, **components)
    run = run_with(SPHINX | {"used_in_reward": True}, CTC, **components)
    assert kinships(run) == ["same", "unlike"]


def test_every_recogniser_of_the_reward_counts() -> None:
    both = [{"type": "cer"}, {"type": "parakeet_cer", "model": "nvidia/parakeet-ctc-0.6b"}]
    parakeet = CTC | {"name": "p", "model": "nvidia/parakeet-ctc-1.1b"}
    paraformer = {"name": "f", "type": "paraformer", "model": "org/x"}
    components = {"reward.components": json.dumps(both)}
    run = run_with(WHISPER, parakeet, paraformer, CTC, **components)
    assert kinships(run) == ["kin", "kin", "unlike", "unlike"]
    second = [{"type": "cer"}, {"type": "asr_cer", "recogniser": "ctc", "model": "acme/asr-2"}]
    run = run_with(CTC, SPHINX, **{"reward.components": json.dumps(second)})
    assert kinships(run) == ["unlike", "unlike"]
    second[1] |= {"recogniser": "pocketsphinx", "model": "pocketsphinx"}
    run = run_with(WHISPER, CTC, **{"reward.components": json.dumps(second)})
    assert kinships(run) == ["kin", "unlike"]
    sensevoice = {"reward.components": json.dumps([{"type": "pinyin_wer"}])}
    run = run_with(WHISPER, parakeet, paraformer, CTC, **sensevoice)
    assert kinships(run) == ["unlike", "unlike", "kin", "unlike"]
    granary = [both[0] | {}, both[1] | {"model": "nvidia/parakeet-tdt-0.6b-v3"}]
    run = run_with(parakeet, WHISPER, **{"reward.components": json.dumps(granary[1:])})
    assert kinships(run) == ["kin", "kin"]


def test_a_reward_without_a_recogniser_has_no_kin() -> None:
    run = run_with(
        CTC | {"model": "acme/asr-2"}, **{"reward.components": json.dumps([{"type": "rate"}])}
    )
    assert kinships(run) == ["unlike"]
    assert "has no recogniser" in verdict_note(run)


def tiny_hubert(folder: Path) -> Path:
    config = transformers.HubertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        conv_dim=(8,),
        conv_kernel=(10,),
        conv_stride=(5,),
        num_conv_pos_embedding_groups=1,
    )
    transformers.HubertForCTC(config).save_pretrained(folder)
    return folder


def test_folders_are_known_by_their_design_and_by_the_names_they_give(tmp_path: Path) -> None:
    hubert = tiny_hubert(tmp_path / "hubert")
    card, config, broken, own = (tmp_path / n for n in ("card", "config", "broken", "own"))
    for folder in (card, config, broken, own):
        folder.mkdir()
    (own / "README.md").write_text("---\nlineage: [ours, 3]\n---\n")
    (own / "config.json").write_text('{"model_type": "whisper"}')
    (card / "README.md").write_text("---\nbase_model: openai/whisper-small\n---\nOurs.\n")
    (config / "config.json").write_text('{"_name_or_path": "distil-whisper/distil-small.en"}')
    (broken / "config.json").write_text("{")
    (broken / "README.md").write_text("---\n: [\n---\n")
    judges = [
        CTC | {"name": folder.name, "model": str(folder)}
        for folder in (hubert, card, config, broken, own, tmp_path / "absent")
    ]
    assert kinships(run_with(*judges)) == [
        *("unlike", "kin", "kin", "unknown", "unlike", "unknown")
    ]


def test_a_path_is_not_a_name(tmp_path: Path) -> None:
    """What a folder is called says nothing: an own recogniser may lie in .../whisper-free."""
    for name in ("whisper-free", "wav2vec2"):
        (tmp_path / name).mkdir()
        run = run_with(CTC | {"model": str(tmp_path / name)})
        assert kinships(run) == ["unknown"]


def test_what_the_user_says_decides_where_the_model_does_not_tell() -> None:
    own = CTC | {"model": "acme/asr-2"}
    for lineage, kinship in (
        (["ours"], "unlike"),
        (["ours", "whisper"], "kin"),
        (["distil-whisper"], "kin"),
        (["hubert"], "unlike"),
    ):
        assert kinships(run_with(own | {"lineage": lineage})) == [kinship], lineage
    run = run_with(
        own | {"lineage": ["ours"]},
        whisper="/models/trained-here",
        **{"reward.whisper.lineage": '["ours"]'},
    )
    assert kinships(run) == ["kin"]


def test_what_the_user_says_may_not_contradict_a_name() -> None:
    run = run_with(WHISPER | {"lineage": ["ours"]})
    with pytest.raises(BadInput, match=r"judge 'w' has lineage ours, and openai/whisper-small is"):
        kinships(run)
    assert kinships(run_with(WHISPER | {"lineage": ["ours", "whisper"]})) == ["kin"]
    for word, told in (("wisper", "nearly 'whisper'"), ("My Own", "not a name of a lineage")):
        with pytest.raises(BadInput, match=told):
            run_with(CTC | {"lineage": [word]})


def test_the_tiny_judge_is_kin_of_the_tiny_whisper() -> None:
    """Both learnt mostly from recordings of the policy's voice, as their cards say."""
    run = load_run(TINY)
    assert kinships(run) == ["kin", "same"]
    assert "kin to it" in verdict_note(run)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_judged_by_an_unlike_judge(recipe: Path) -> None:
    run = load_run(recipe)
    assert kinship_of(run, verdict_judge(run)) == "unlike"


def test_a_report_keeps_what_was_known_until_the_run_says_more() -> None:
    own = CTC | {"model": "acme/asr-2"}
    run = run_with(own, WHISPER)
    told = [report_judge(run, judge) for judge in run.eval.judges]
    report = report_of({"sampled": {"j": 0.1, "w": 0.1}}, judges=told)
    assert [judge.kinship for judge in report.judges] == ["unknown", "kin"]
    assert as_said_now(run, report) == report
    said = as_said_now(run_with(own | {"lineage": ["ours"]}, WHISPER), report)
    assert [judge.kinship for judge in said.judges] == ["unlike", "kin"]
    old = report_of({"sampled": {"j": 0.1, "w": 0.1}})
    assert [judge.kinship for judge in as_said_now(run, old).judges] == ["unknown", "kin"]
