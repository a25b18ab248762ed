"""Every command that the documents name is one that the command line takes."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from support.pages import commands, kubernetes_commands
from ttsrl.cli.app import app

DOCUMENTS = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]


def commands_of(document: Path) -> list[str]:
    """Those that begin with ttsrl and a command."""
    return [line for line in commands([document.read_text()]) if re.match(r"ttsrl [a-z]", line)]


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


def test_the_test_of_the_cluster_types_what_the_pages_about_kubernetes_say() -> None:
    """It takes most of an hour and needs a cluster: what it lacks is told here first."""
    tree = ast.parse(Path("tests/cluster/test_pages.py").read_text())
    typed = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert [command for command in kubernetes_commands() if command not in typed] == []
