"""What is said right and heard right has error rates of 0, however it is written.

A row of tables/LANGUAGE.tsv has a text as users write it, as it is said, and as Whisper writes what
it hears. Two texts of a row of tables/LANGUAGE.wrong.tsv are not the same speech.
"""

from itertools import combinations
from pathlib import Path

import pytest

from ttsrl.text.normalise import cer, wer

TABLES = Path(__file__).parent / "tables"


def rows(language: str, ending: str = ".tsv") -> list[list[str]]:
    """The columns of each row of a table."""
    lines = (TABLES / f"{language}{ending}").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


def languages(ending: str) -> list[str]:
    """Those that have such a table."""
    names = (path.name.split(".", 1) for path in sorted(TABLES.glob("*.tsv")))
    return [language for language, end in names if f".{end}" == ending]


@pytest.mark.parametrize("language", languages(".tsv"))
def test_right_speech_has_no_errors(language: str) -> None:
    pairs = [
        pair
        for written, said, heard in rows(language)
        for pair in ((written, said), (written, heard), (said, heard), (said, said))
    ]
    wrong = {(a, b): (cer(a, b, language), wer(a, b, language)) for a, b in pairs}
    assert {pair: rates for pair, rates in wrong.items() if rates != (0, 0)} == {}


@pytest.mark.parametrize("language", languages(".wrong.tsv"))
def test_wrong_speech_costs(language: str) -> None:
    pairs = rows(language, ".wrong.tsv")
    assert len(pairs) > 5
    for_nothing = [(a, b) for a, b in pairs if cer(a, b, language) == 0 or wer(a, b, language) == 0]
    assert for_nothing == []


@pytest.mark.parametrize(
    "language", ["ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru", "vi", "zh"]
)
def test_there_are_forty_rows_or_more(language: str) -> None:
    assert len(rows(language)) >= 40


NUMBERS = [3, 13, 15, 30, 50, 105, 150, 500, 516, 1050, 1500, 5000, 5160, 15_000, 50_000, 500_000]
FORMS = ["1.5", "1,5", "10.50", "10,50", "-5", "5", "5%", "5 km", "5°", "2+2", "22"]


@pytest.mark.parametrize(
    "language", ["ar", "de", "en", "fi", "fr", "hi", "ja", "lt", "pl", "vi", "zh"]
)
def test_no_number_is_another(language: str) -> None:
    """Fifteen is not fifty, and no sign or decimal mark is silent."""
    written = [str(number) for number in NUMBERS] + FORMS
    for one, other in combinations(written, 2):
        equal = {one, other} in ({"1.5", "1,5"}, {"10.50", "10,50"})
        assert equal or cer(one, other, language) > 0, (one, other)
