"""Lists of something else than texts are refused, and limits that say nothing are too."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ttsrl.config.data import DataConfig
from ttsrl.data.not_texts import check_texts
from ttsrl.data.texts import Texts, read_texts
from ttsrl.errors import BadInput

AISHELL3 = [
    "SSB00050000.wav\t你 ni3 好 hao3",
    "SSB00050001.wav\t再 zai4 见 jian4",
    "SSB00050002.wav\t谢 xie4 谢 xie5",
]
LISTS = {
    "names of recordings": (AISHELL3, "have values between tabs"),
    "names and spaces": ([t.replace("\t", " ") for t in AISHELL3], "name of a recording"),
    "LJSpeech": (["LJ001-0001|a|a", "LJ001-0002|b|b", "LJ001-0003|c|c"], "between bars"),
    "LibriSpeech": (["84-121123-0000 A", "84-121123-0001 B", "84-121123-0002 C"], "an id"),
    "Kaldi": (["BAC009S0002W0122 a", "BAC009S0002W0123 b", "BAC009S0002W0124 c"], "an id"),
    "VCTK": (["p225_001 a", "p225_002 b", "p225_003 c"], "an id"),
    "numbers": (["0001 one", "0002 two", "0003 three"], "an id"),
    "a numbered list": (["1. one", "2. two", "3. three"], "begin with their number"),
}
TEXTS = {
    "years": ["1984 was a year", "2001 was another", "1776 was one, too"],
    "one bar": ["a | b", "c", "d"],
    "names": ["R2D2 spoke", "R2D2 left", "R2D2 came"],
    "two lines": ["A0001 a", "A0002 b"],
    "numbers in words": ["Room 101 is here", "Flight 370 left", "Unit 731 was"],
    "counted from elsewhere": ["3 birds", "7 dogs", "2 cats"],
    "alike": ["two red birds", "two red dogs", "two red cats"],
}


@pytest.mark.parametrize(("texts", "said"), LISTS.values(), ids=LISTS.keys())
def test_a_list_of_something_else_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(BadInput, match=rf"list\.txt: all 3 texts .*{said}.*give the texts alone"):
        check_texts("list.txt", texts)


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
def test_texts_that_begin_alike_by_chance_are_texts(texts: list[str]) -> None:
    check_texts("list.txt", texts)


def read(tmp_path: Path, rows: Sequence[Mapping[str, object]], **data: object) -> Texts:
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    config = DataConfig.model_validate({"texts": str(file), **data})
    return read_texts(config, accept=lambda text: None)


def test_a_list_given_as_plain_text_or_as_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "content.TXT").write_text("\n".join(AISHELL3))
    with pytest.raises(BadInput, match=r"content\.TXT: all 3 texts have values between tabs"):
        read_texts(DataConfig(texts=str(tmp_path / "content.TXT")), accept=lambda text: None)
    with pytest.raises(BadInput, match="all 3 texts"):
        read(tmp_path, [{"text": line} for line in AISHELL3])


@pytest.mark.parametrize("limit", [{"min_duration_s": 1}, {"max_duration_s": 9}])
def test_a_limit_of_durations_without_durations_is_refused(
    tmp_path: Path, limit: dict[str, float]
) -> None:
    rows: list[Mapping[str, object]] = [
        {"text": "a"},
        {"text": "b"},
        {"text": "c", "duration": 5.0},
    ]
    with pytest.raises(BadInput, match="no text gives the duration of one"):
        read(tmp_path, rows[:2], **limit)
    assert read(tmp_path, rows, **limit).notes == ["not limited: 2 texts without a duration"]
    assert read(tmp_path, rows).notes == []


def test_keys_of_other_tools_are_read_and_those_that_only_look_so_refused(tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "0.wav", "text": "今天天气很好", "lang": "zh", "duration": 2.0},
        {"sentence": "Olá", "language": "pt-BR", "up_votes": 2, "lang": None},
        {"transcription": "hello", "dnsmos": 3.1},
    ]
    found = read(tmp_path, rows, max_duration_s=1.0)
    assert [(t.text, t.language) for t in found.texts] == [("Olá", "pt"), ("hello", "en")]
    assert found.left_out == {"lasts more than 1 s (data.max_duration_s)": 1}
    told = {"instruct": "calm", "ref_audio": "voice.wav", "ref_text": "who speaks"}
    [text] = read(tmp_path, [{"text": "hello", **told}]).texts
    assert (text.style, text.prompt_text, text.prompt_audio) == (
        "calm", "who speaks", tmp_path / "voice.wav",
    )  # fmt: skip
    for row, said in [
        ({"Text": "a"}, "has no key 'text'"),
        ({"text": "a", "Language": "de"}, "'Language' is not read, and looks like 'language'"),
        ({"text": "a", "langauge": "de"}, "'langauge' is not read, and looks like 'language'"),
        ({"text": "a", "duration_ms": 3}, "looks like 'duration_s'"),
        ({"text": "a", "speakers": "x"}, "looks like 'speaker'"),
        ({"sentence": "a", "transcript": "b"}, "may both be the text"),
        ({"text": "a", "lang": "eng"}, "'eng' is not supported; did you mean 'en'"),
        ({"text": "a", "duration": "2"}, 'duration_s = "2" is not a number'),
    ]:
        with pytest.raises(BadInput, match=rf"t\.jsonl:1: .*{said}"):
            read(tmp_path, [row])


def test_tables_and_compressed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('text,language,duration_s\n"ten, or\nso",en,2.5\nvier,de,\n')
    (tmp_path / "t.tsv").write_text('sentence\tlocale\n"Sim", disse\tpt\n')
    found = read_texts(DataConfig(texts=str(tmp_path / "t.csv")), accept=lambda text: None)
    assert [(t.text, t.language) for t in found.texts] == [("ten, or\nso", "en"), ("vier", "de")]
    found = read_texts(DataConfig(texts=str(tmp_path / "t.tsv")), accept=lambda text: None)
    assert [t.text for t in found.texts] == ['"Sim", disse']
