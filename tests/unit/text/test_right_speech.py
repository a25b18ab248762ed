"""What is said right and heard right has error rates of 0, however it is written.

A row of tables/LANGUAGE.tsv has a text as users write it, as it is said, and as Whisper writes what
it hears. Two texts of a row of tables/LANGUAGE.wrong.tsv are not the same speech.
"""

from pathlib import Path

import pytest

from ttsrl.text.normalise import cer, wer

TABLES = Path(__file__).parent / "tables"


def rows(kind: str) -> list[tuple[str, ...]]:
    """Language and the columns of each row."""
    return [
        (path.name.split(".")[0], *line.split("\t"))
        for path in sorted(TABLES.glob("*.tsv"))
        if path.name.endswith(".wrong.tsv") == (kind == "wrong")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize(
    ("language", "written", "said", "heard"), rows("right"), ids=lambda text: str(text)[:30]
)
def test_right_speech_has_no_errors(language: str, written: str, said: str, heard: str) -> None:
    for reference, transcript in ((written, said), (written, heard), (said, heard), (said, said)):
        rates = cer(reference, transcript, language), wer(reference, transcript, language)
        assert rates == (0, 0), (reference, transcript)


@pytest.mark.parametrize(
    ("language", "reference", "transcript"), rows("wrong"), ids=lambda text: str(text)[:30]
)
def test_wrong_speech_costs(language: str, reference: str, transcript: str) -> None:
    assert cer(reference, transcript, language) > 0
    assert wer(reference, transcript, language) > 0


@pytest.mark.parametrize(
    "language", ["ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pt", "ru", "vi", "zh"]
)
def test_there_are_forty_rows_or_more(language: str) -> None:
    assert sum(row[0] == language for row in rows("right")) >= 40


NUMBERS = [3, 13, 15, 30, 50, 105, 150, 516, 1050, 1500, 5160, 15_000, 50_000]
FORMS = ["1.5", "1,5", "10.50", "10,50", "-5", "5", "5%", "5 km", "5°", "2+2", "22"]


@pytest.mark.parametrize("language", ["ar", "de", "en", "fi", "fr", "hi", "ja", "pl", "vi", "zh"])
def test_no_number_is_another(language: str) -> None:
    """Fifteen is not fifty, and no sign or decimal mark is silent."""
    written = [str(number) for number in NUMBERS] + FORMS
    for one in written:
        for other in written:
            equal = one == other or {one, other} in ({"1.5", "1,5"}, {"10.50", "10,50"})
            assert equal or cer(one, other, language) > 0, (one, other)
