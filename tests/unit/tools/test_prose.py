"""What `make lint` says of the pages' English."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import prose


def errors(folder: Path, text: str, name: str = "page.md") -> list[tuple[int, str]]:
    """(line, the words at fault or the message) of a page."""
    (folder / name).write_text(text)
    checked = prose.prose(folder / name)
    found = [*prose.style_errors(checked), *prose.proselint_errors(checked)]
    return [(line, message.split(":")[0].strip("'")) for line, message in found]


@pytest.mark.parametrize(
    "wrong",
    [
        "is no file",
        "were no\nfiles",
        "5 files a second",
        "nobody",
        "goes on",
        "mended",
        "training never heard",
        "so many",
        "but for",
        "cannot be had",
        "lies in",
        "stands in",
        "of course",
        "the the",
    ],
)
def test_an_expression_of_the_list_is_an_error(tmp_path: Path, wrong: str) -> None:
    [(line, said)] = errors(tmp_path, f"# Page\n\nIt {wrong} here.\n")
    assert line == 3
    assert said in " ".join(wrong.split())


@pytest.mark.parametrize(
    "right",
    [
        "There is no file here; it is no longer there, and is no better.",
        "Start a second machine, for 5 seconds per stage.",
        "It is `goes on`, and [this](so-many.md).",
        "```\nnobody goes on\n```",
        "## Rewards\n\nRewards are measured.",
    ],
)
def test_what_is_right_or_code_passes(tmp_path: Path, right: str) -> None:
    assert errors(tmp_path, right) == []


def test_proselint_reads_the_page_with_the_configuration(tmp_path: Path) -> None:
    [(line, said)] = errors(tmp_path, '# Page\n\nResume "this" ...\n\nIt is very unique.\n')
    assert line == 5
    assert said == "Comparison of an uncomparable"


def test_of_values_only_the_comments_are_read(tmp_path: Path) -> None:
    text = "nobody: 1\n# goes on\nkey: nobody # mend this\n"
    assert errors(tmp_path, text, "values.yaml") == [(2, "goes on"), (3, "mend")]


def test_the_pages_are_those_of_the_project() -> None:
    names = {str(page.relative_to(prose.ROOT)) for page in prose.pages()}
    assert {"README.md", "CONTRIBUTING.md", "docs/rewards.md", "helm/values.yaml"} <= names
    assert not any(name.startswith((".venv", "site")) for name in names)
