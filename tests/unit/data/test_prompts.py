"""Texts become verl's parquet: what is kept, what is held out, and every way a text can be bad."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.data.split import is_held_out, words
from ttsrl.errors import BadInput
from ttsrl.families.conditions import PromptConfig

GOOD = [
    {"text": f"{first} {second} {third}", "id": f"{first}-{second}-{third}"}
    for first in ("red", "blue", "green")
    for second in ("dogs", "cats", "birds")
    for third in ("run", "sing", "sleep", "walk")
]


def run_config(texts: Path, **data: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "r",
            "model": "m",
            "codec": "c",
            "data": {"texts": str(texts), "held_out_fraction": 0.3, **data},
            "train": {"steps": 1},
            "reward": {"whisper": {"model": "w"}},
            "eval": {"judges": [{"name": "j", "type": "ctc", "model": "j"}]},
        }
    )


def write(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def rows(out: Path, split: str) -> list[dict[str, Any]]:
    return parquet.read_table(out / f"{split}.parquet").to_pylist()


def test_rows_have_verls_columns_and_the_familys_chat(tmp_path: Path) -> None:
    other = {"text": "Olá, mundo!", "language": "pt", "style": "sad", "speaker": "ana", "label": 3}
    lines = [*GOOD, other]
    out = tmp_path / "data"
    prepare(run_config(write(tmp_path / "t.jsonl", lines)), out)
    every = rows(out, "train") + rows(out, "held_out")
    row = next(r for r in every if r["extra_info"]["language"] == "pt")
    assert row["prompt"] == [
        {
            "role": "user",
            "content": "Speak in this style: sad\nConvert the text to speech:"
            "<|TEXT_UNDERSTANDING_START|>Olá, mundo!<|TEXT_UNDERSTANDING_END|>",
        }
    ]
    assert (row["data_source"], row["ability"]) == ("ttsrl", "text-to-speech")
    assert row["reward_model"] == {"style": "rule", "ground_truth": "Olá, mundo!"}
    info = row["extra_info"]
    assert (info["text"], info["style"], info["speaker"]) == ("Olá, mundo!", "sad", "ana")
    assert info["label"] == "3"
    assert info["id"] is None
    english = rows(out, "train")[0]["extra_info"]
    assert (english["language"], english["split"], english["index"]) == ("en", "train", 0)


def test_a_text_in_two_styles_is_two_prompts_on_one_side(tmp_path: Path) -> None:
    lines = [{**line, "id": None, "style": style} for line in GOOD for style in ("sad", "happy")]
    run = run_config(write(tmp_path / "t.jsonl", [*lines, lines[0]]))
    prepared = prepare(run, tmp_path / "told")
    assert prepared.duplicates == 1
    for split in ("train", "held_out"):
        styles = [
            (r["extra_info"]["text"], r["extra_info"]["style"])
            for r in rows(tmp_path / "told", split)
        ]
        assert len(set(styles)) == len(styles) == 2 * len({text for text, _ in styles})
    hidden = run.model_copy(update={"prompt": PromptConfig(style_from=None)})
    assert prepare(hidden, tmp_path / "hidden").duplicates == len(GOOD) + 1
    prompts = [r["prompt"][0]["content"] for r in rows(tmp_path / "hidden", "train")]
    assert not any("style" in prompt for prompt in prompts)


def test_a_style_that_a_family_cannot_be_told_names_its_line(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.jsonl", [*GOOD, {"text": "hello", "style": "sad"}])
    run = run_config(texts).model_copy(update={"family": "qwen2-cosy"})
    with pytest.raises(BadInput, match=r"t.jsonl:37: the text has the style \"sad\", and Qwen2"):
        prepare(run, tmp_path / "data")


def test_the_text_alone_decides_its_side_and_the_files_are_the_same_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    done: list[tuple[int, int]] = []
    prepared = prepare(
        run_config(write(tmp_path / "1.jsonl", GOOD)), first, lambda *at: done.append(at)
    )
    assert done[-1] == (len(GOOD), len(GOOD))
    assert (prepared.train, prepared.held_out) == (
        len(rows(first, "train")),
        len(rows(first, "held_out")),
    )
    assert prepared.train + prepared.held_out == len(GOOD)
    for split, kept in (("train", False), ("held_out", True)):
        for row in rows(first, split):
            assert is_held_out(row["extra_info"]["text"], 0.3, "text") is kept
    prepare(run_config(write(tmp_path / "1.jsonl", GOOD)), second)
    for name in ("train.parquet", "held_out.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    prepare(run_config(write(tmp_path / "1.jsonl", GOOD[::-1])), second)
    assert {r["extra_info"]["text"] for r in rows(second, "held_out")} == {
        r["extra_info"]["text"] for r in rows(first, "held_out")
    }


def test_repeated_texts_and_held_out_word_order_are_left_out_of_training(tmp_path: Path) -> None:
    held_out = next(line["text"] for line in GOOD if is_held_out(line["text"], 0.3, "text"))
    around = [f"yes {held_out.upper()}, {word}" for word in ("please", "now", "today", "again")]
    around = [text for text in around if not is_held_out(text, 0.3, "text")]
    lines = [*GOOD, GOOD[0] | {"id": "again"}, *({"text": text} for text in around)]
    out = tmp_path / "data"
    prepared = prepare(run_config(write(tmp_path / "t.jsonl", lines)), out)
    assert around
    assert prepared.overlapping == len(around)
    assert prepared.duplicates == 1
    for split in ("train", "held_out"):
        ids = [row["extra_info"]["id"] for row in rows(out, split)]
        assert "again" not in ids
        assert ids == [line["id"] for line in GOOD if line["id"] in ids]
    trained = [" ".join(words(r["extra_info"]["text"])) for r in rows(out, "train")]
    assert len(trained) == len(set(trained)) == prepared.train
    for row in rows(out, "held_out"):
        spoken = " ".join(words(row["extra_info"]["text"]))
        assert not [text for text in trained if f" {spoken} " in f" {text} "]


def test_a_hugging_face_data_set_gives_the_same_rows_as_its_jsonl(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    data_set = Dataset.from_list([line | {"other": 1.5} for line in GOOD])
    data_set.save_to_disk(tmp_path / "set")
    prepare(run_config(tmp_path / "set"), tmp_path / "a")
    prepare(run_config(write(tmp_path / "t.jsonl", GOOD)), tmp_path / "b")
    assert rows(tmp_path / "a", "train") == rows(tmp_path / "b", "train")

    DatasetDict({"first": data_set}).save_to_disk(tmp_path / "splits")
    with pytest.raises(BadInput, match=r"splits first.*give one of them: .*splits/first"):
        prepare(run_config(tmp_path / "splits"), tmp_path / "c")
    data_set.rename_column("text", "words").save_to_disk(tmp_path / "unnamed")
    with pytest.raises(BadInput, match="no column 'text' but words"):
        prepare(run_config(tmp_path / "unnamed"), tmp_path / "c")
    data_set.map(lambda row: row | {"text": " "}).save_to_disk(tmp_path / "spaces")
    with pytest.raises(BadInput, match=r"spaces: row 0: .*empty"):
        prepare(run_config(tmp_path / "spaces"), tmp_path / "c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="is not a data set folder"):
        prepare(run_config(tmp_path / "empty"), tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "line",
    [
        {"text": "שלום עולם", "language": "he"},
        {"text": "مَرْحَبًا بِالعَالَم", "language": "ar"},
        {"text": "cafe\u0301 nai\u0308ve", "language": "fr"},
        {"text": "你好，世界", "language": "zh"},
        {"text": "one\u2028two", "id": 7},
        {"text": "extra keys are left unread", "audio": "a.wav"},
    ],
)
def test_every_script_is_welcome(tmp_path: Path, line: dict[str, object]) -> None:
    prepare(run_config(write(tmp_path / "t.jsonl", [line, *GOOD])), tmp_path / "data")
    every = rows(tmp_path / "data", "train") + rows(tmp_path / "data", "held_out")
    assert line["text"] in [row["reward_model"]["ground_truth"] for row in every]


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_no_texts(tmp_path: Path) -> None:
    texts = tmp_path / "t.jsonl"
    lines = "\r\n\r\n".join(json.dumps(line) for line in GOOD)
    texts.write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n\n")
    prepared = prepare(run_config(texts), tmp_path / "data")
    assert prepared.train + prepared.held_out == len(GOOD)


def test_plain_text_and_parquet_give_the_same_rows_as_json_lines(tmp_path: Path) -> None:
    lines = [{"text": line["text"]} for line in GOOD]
    (tmp_path / "t.txt").write_text("\n\n".join(f" {line['text']}\r" for line in lines))
    (tmp_path / "shards" / "data").mkdir(parents=True)
    for number, part in enumerate((lines[:20], lines[20:])):
        table = pa.Table.from_pylist([line | {"other": 1.5} for line in part])
        parquet.write_table(table, tmp_path / "shards" / "data" / f"{number}.parquet")
    prepare(run_config(write(tmp_path / "t.jsonl", lines)), tmp_path / "a")
    prepare(run_config(tmp_path / "t.txt"), tmp_path / "b")
    prepare(run_config(tmp_path / "shards"), tmp_path / "c")
    prepare(run_config(tmp_path / "shards" / "data" / "0.parquet"), tmp_path / "d")
    for split in ("train", "held_out"):
        assert rows(tmp_path / "a", split) == rows(tmp_path / "b", split)
        assert rows(tmp_path / "a", split) == rows(tmp_path / "c", split)
    assert 0 < len(rows(tmp_path / "d", "train")) < len(rows(tmp_path / "a", "train"))
    parquet.write_table(pa.table({"words": ["a"]}), tmp_path / "w.parquet")
    with pytest.raises(BadInput, match=r"w.parquet has no column 'text' but words"):
        prepare(run_config(tmp_path / "w.parquet"), tmp_path / "e")
    (tmp_path / "w.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(BadInput, match=r"w.parquet is not a parquet file: .*copy it again"):
        prepare(run_config(tmp_path / "w.parquet"), tmp_path / "e")
    assert not (tmp_path / "e").exists()


UNWANTED: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({"min_chars": 5}, {"text": "Hi!"}, "has fewer than 5 characters (data.min_chars)"),
    ({"max_chars": 30}, {"text": "word " * 30}, "has more than 30 characters (data.max_chars)"),
    (
        {"only_languages": ["en", "de"]},
        {"text": "bonjour", "language": "fr"},
        "is in language fr (data.only_languages)",
    ),
    ({"exclude_regex": "[0-9]"}, {"text": "number 9"}, "matches data.exclude_regex"),
    (
        {"min_duration_s": 1},
        {"text": "quick", "duration_s": 0.5},
        "lasts less than 1 s (data.min_duration_s)",
    ),
    (
        {"max_duration_s": 30},
        {"text": "slow", "duration_s": 30.5},
        "lasts more than 30 s (data.max_duration_s)",
    ),
]


@pytest.mark.parametrize(("limit", "line", "reason"), UNWANTED)
def test_an_unwanted_text_is_left_out_and_counted_or_refused_on_demand(
    tmp_path: Path, limit: dict[str, object], line: dict[str, object], reason: str
) -> None:
    plain = tmp_path / "plain.jsonl"
    texts = write(tmp_path / "t.jsonl", [line, *GOOD[:12], line, *GOOD[12:]])
    counts = prepare(run_config(texts, **limit), tmp_path / "data")
    assert counts.left_out == {reason: 2}
    assert f"2 whose text {reason}" in str(counts)
    prepare(run_config(write(plain, GOOD)), tmp_path / "plain")
    for split in ("train", "held_out"):
        assert rows(tmp_path / "data", split) == rows(tmp_path / "plain", split)
    with pytest.raises(BadInput) as refused:
        prepare(run_config(texts, **limit, on_filtered="error"), tmp_path / "refused")
    assert f"t.jsonl:1: text {json.dumps(line['text'])[:20]}" in str(refused.value)
    assert reason in str(refused.value)
    everything = run_config(write(plain, [line]), **limit)
    with pytest.raises(BadInput, match=r"no text is left for training .*1 whose text"):
        prepare(everything, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"min_chars": 50, "max_chars": 40}, "min_chars = 50 is more than 40"),
        ({"min_duration_s": 2, "max_duration_s": 1}, "min_duration_s = 2 is more than 1"),
        ({"exclude_regex": "[a-"}, "not a regular expression"),
        ({"prefix": {"min_s": 6}}, "min_s = 6 is more than max_s = 5"),
    ],
)
def test_limits_that_no_text_can_meet_are_refused(data: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        run_config(Path("t.jsonl"), **data)


def test_texts_with_the_same_words_are_one_where_that_is_wanted(tmp_path: Path) -> None:
    again = [{"text": f"{line['text'].upper()}!"} for line in GOOD[:5]]
    texts = write(tmp_path / "t.jsonl", [*GOOD, *again])
    assert prepare(run_config(texts), tmp_path / "a").duplicates == 0
    assert prepare(run_config(texts, duplicates="words"), tmp_path / "b").duplicates == 5
    kept = rows(tmp_path / "b", "train") + rows(tmp_path / "b", "held_out")
    assert {row["extra_info"]["text"] for row in kept} == {line["text"] for line in GOOD}


BAD_LINES: list[tuple[str, bytes, list[str]]] = [
    ("not JSON", b"{'text': 'a'}", ["column 2", "{'text': 'a'}", '{"text": "..."}']),
    ("cut off", b'{"text": "a', ["column 10", "not JSON"]),
    ("a list", b'["a"]', ['["a"]', "not a JSON object"]),
    ("no text", b'{"txt": "a"}', ['{"txt": "a"}', "no key 'text'"]),
    ("null", b'{"text": null}', ["text is None", "give each line"]),
    ("a number", b'{"text": 5}', ["text is 5", "give each line"]),
    ("nothing", b'{"text": ""}', ["''", "empty", "leave the line out"]),
    ("spaces", b'{"text": " \\t\\u00a0"}', ["empty", "leave the line out"]),
    ("too long", b'{"text": "%s"}' % (b"word " * 30), ["more than 100 char", "max_chars", "leave"]),
    ("NUL", b'{"text": "a\\u0000b"}', ["U+0000", "position 1", "remove it"]),
    ("lone surrogate", b'{"text": "a\\ud800"}', ["U+D800", "remove it"]),
    ("not UTF-8", b'{"text": "caf\xe9"}', ["0xe9", "column 14", "save the file as UTF-8"]),
    ("unknown language", b'{"text": "a", "language": "eng"}', ["'eng'", "did you mean 'en'"]),
    ("language is a number", b'{"text": "a", "language": 1}', ["language = 1", "leave it out"]),
    ("no letters", b'{"text": "?!"}', ["'?!'", "leave it out"]),
    ("a marker", b'{"text": "a <|eot_id|> b"}', ["'<|eot_id|>'", "leave it out"]),
    ("id twice", b'{"text": "a", "id": "red-dogs-run"}', ["'red-dogs-run'", ".jsonl:1", "own id"]),
    ("id is a list", b'{"text": "a", "id": []}', ["id = []", "leave it out"]),
    ("duration is a text", b'{"text": "a", "duration_s": "2"}', ['duration_s = "2"', "seconds"]),
    ("style is empty", b'{"text": "a", "style": ""}', ['style = ""', "leave it out"]),
]


@pytest.mark.parametrize(
    ("line", "said"), [pytest.param(line, said, id=name) for name, line, said in BAD_LINES]
)
def test_a_bad_line_is_named_with_its_value_and_the_way_out_and_nothing_is_written(
    tmp_path: Path, line: bytes, said: list[str]
) -> None:
    texts = write(tmp_path / "t.jsonl", GOOD)
    texts.write_bytes(texts.read_bytes() + line + b"\n")
    with pytest.raises(BadInput) as error:
        prepare(run_config(texts, max_chars=100, on_filtered="error"), tmp_path / "data")
    for words_said in [f"t.jsonl:{len(GOOD) + 1}: ", *said]:
        assert words_said in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [None, b"", b"\n \n"])
def test_data_without_texts(tmp_path: Path, content: bytes | None) -> None:
    texts = tmp_path / "t.jsonl"
    if content is not None:
        texts.write_bytes(content)
    with pytest.raises(BadInput, match=r"t\.jsonl.*(holds no text; write|give JSON lines)"):
        prepare(run_config(texts), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("fraction", "side"), [(1e-9, "evaluation"), (1 - 1e-9, "training")])
def test_a_side_without_texts(tmp_path: Path, fraction: float, side: str) -> None:
    texts = write(tmp_path / "t.jsonl", GOOD)
    with pytest.raises(BadInput, match=f"no text is left for {side}.*another fraction"):
        prepare(run_config(texts, held_out_fraction=fraction), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_failed_second_run_leaves_the_first_ones_files(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.jsonl", GOOD)
    prepare(run_config(texts), tmp_path / "data")
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    texts.write_bytes(texts.read_bytes() + b"oops\n")
    with pytest.raises(BadInput):
        prepare(run_config(texts), tmp_path / "data")
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before


@pytest.mark.parametrize(
    ("component", "field", "own"),
    [
        ({"type": "style"}, "style", "text"),
        ({"type": "speaker", "voices": "v"}, "speaker", "voice"),
    ],
)
def test_texts_must_name_what_the_reward_compares_speech_to(
    tmp_path: Path, component: dict[str, str], field: str, own: str
) -> None:
    lines = [{**line, field: "x"} for line in GOOD]

    def prepare_with(lines: Sequence[Mapping[str, object]], component: dict[str, str]) -> None:
        run = run_config(write(tmp_path / "t.jsonl", lines)).model_dump()
        run["reward"]["components"] = [component]
        prepare(RunConfig.model_validate(run), tmp_path / "data")

    prepare_with(lines, component)
    del lines[-1][field]
    with pytest.raises(BadInput, match=rf"names no {field}.*set the component's '{own}'"):
        prepare_with(lines, component)
    prepare_with(lines, {**component, own: "x"})


def test_labels_are_those_of_the_reward_s_classifier(tmp_path: Path) -> None:
    model = tmp_path / "emotions"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"id2label": {"0": "sad", "1": "Happy"}}))

    def prepare_with(own: Sequence[str | None], **component: object) -> None:
        lines = [{**line, "label": label} for line, label in zip(GOOD, own, strict=True)]
        run = run_config(write(tmp_path / "t.jsonl", lines)).model_dump()
        run["reward"]["components"] = [{"type": "classifier", "model": str(model), **component}]
        prepare(RunConfig.model_validate(run), tmp_path / "data")

    own = ["happy", *["sad"] * (len(GOOD) - 1)]
    prepare_with(own)
    prepare_with([None] * len(GOOD), labels=["sad"])
    with pytest.raises(BadInput, match=r"names no label.*set the component's 'labels'"):
        prepare_with([None, *own[1:]])
    with pytest.raises(BadInput, match=r"no label 'hapy'.*did you mean 'Happy'.*sad, Happy"):
        prepare_with([*own[:-1], "hapy"])
    with pytest.raises(BadInput, match=r"no label 'calm'"):
        prepare_with(own, labels=["calm"])


def test_a_text_in_a_language_that_the_policy_does_not_speak_is_refused(tmp_path: Path) -> None:
    lines = [*GOOD, {"text": "Olá, mundo!", "language": "pt"}]
    run = run_config(write(tmp_path / "t.jsonl", lines))
    prepare(run, tmp_path / "llasa")  # of which fine-tunes speak any
    cosy = run.model_copy(update={"family": "cosyvoice2"})
    with pytest.raises(BadInput, match=r"'pt', and CosyVoice2 speaks en, ja, ko, yue, zh"):
        prepare(cosy, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    prepare(cosy.model_copy(update={"languages": ["en", "pt"]}), tmp_path / "data")
    assert "Olá, mundo!" in [r["extra_info"]["text"] for s in ("train", "held_out")
                             for r in rows(tmp_path / "data", s)]  # fmt: skip
