"""Every command that the documents name is one that the command line takes."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from ttsrl.cli import app

DOCUMENTS = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
CODE = re.compile(r"^```[a-z]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]


def commands_of(document: Path) -> list[str]:
    """Lines that begin with ttsrl and a command, in code."""
    code = [block or span for block, span in CODE.findall(document.read_text())]
    lines = [line.strip() for part in code for line in part.replace("\\\n", " ").splitlines()]
    return [line for line in lines if re.match(r"ttsrl [a-z]", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_command_line_takes_what_a_document_says(document: Path) -> None:
    for line in commands_of(document):
        name, *arguments = shlex.split(line, comments=True)[1:]
        assert name in COMMANDS, line
        command = COMMANDS[name]
        if "..." in arguments or (not arguments and any(p.required for p in command.params)):
            continue  # a command's bare name, or not the whole of it
        try:
            command.make_context(name, list(arguments))
        except Exception as error:
            pytest.fail(f"{line}: {error}")
