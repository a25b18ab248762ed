"""The commands as a user meets them: exit codes, messages, help."""

import errno
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import soundfile
import typer
from typer.testing import CliRunner

from ttsrl.cli.app import app
from ttsrl.cli.command import TINY
from ttsrl.errors import BadInput, Failure
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.hold import hold, hold_run

RUN = {
    "name": "r",
    "model": "m",
    "codec": "c",
    "data": {"texts": "texts.jsonl", "held_out_fraction": 0.5},
    "train": {"steps": 3},
    "reward": {"whisper": {"model": "w"}},
    "eval": {"judges": [{"name": "j", "type": "ctc", "model": "j"}]},
}
COMMANDS = [
    *("quickstart", "prepare", "encode", "serve", "train", "merge", "eval", "follow", "compare"),
    *("pull", "say", "convert", "report", "audit", "doctor", "config"),
    *("submit", "status", "logs", "stop", "track", "mirror"),
    *("prefer", "prefer collect", "prefer train", "prefer pairs", "prefer ask", "prefer compare"),
    "prefer count",
    *("job", "job train", "job pytorchjob", "job merge", "job eval-shard", "job eval-reduce"),
    *("job follow", "job merge-wanted", "job leave", "job check", "job prefetch"),
    "job await-models",
]
TTSRL = Path(sys.executable).with_name("ttsrl")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("run.json").write_text(json.dumps(RUN))
    Path("texts.jsonl").write_text(
        "".join(json.dumps({"text": f"{word} dogs"}) + "\n" for word in "abcdefghij")
    )
    return folder


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    code, out, _ = run(*name.split(), "--help")
    assert code == 0
    assert f"Example: ttsrl {name}" in out


def test_these_are_all_commands() -> None:
    def names(group: Any, before: str = "") -> list[str]:
        return (
            [
                each
                for name, command in group.commands.items()
                for each in (before + name, *names(command, f"{before}{name} "))
            ]
            if hasattr(group, "commands")
            else []
        )

    assert sorted(names(typer.main.get_command(app))) == sorted(COMMANDS)


def test_version_is_that_of_the_distribution() -> None:
    assert run("--version") == (0, f"ttsrl {version('ttsrl')}\n", "")
    done = subprocess.run(
        [sys.executable, "-m", "ttsrl", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"ttsrl {version('ttsrl')}\n"


def test_an_example_is_found_where_there_is_no_checkout(here: Path) -> None:
    code, out, err = run("config", "--config", "examples/tiny/run.json")
    assert (code, err) == (0, "")
    assert json.loads(out)["model"] == str(TINY.parent / "policy")
    Path("examples/tiny").mkdir(parents=True)
    Path("examples/tiny/run.json").write_text("{}")  # the user's own comes first
    assert run("config", "--config", "examples/tiny/run.json")[0] == 2


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = "import sys; from ttsrl.cli.app import app; app(['--help'], standalone_mode=False); "
    code += "print([m for m in ('torch', 'pyarrow', 'boto3', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in COMMANDS:
        if " " not in name:
            assert f" {name} " in done.stdout


def test_the_console_script_answers_with_its_exit_code(here: Path) -> None:
    done = subprocess.run([TTSRL, "config", "--config", "no.json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: no such file: no.json; give its path, or start from the example that "
        "`ttsrl config --config examples/tiny/run.json` prints\n"
    )


def test_prepare_writes_the_prompts_into_the_runs_folder(here: Path) -> None:
    code, out, err = run("prepare", "--config", "run.json")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (here / "runs" / "r" / "data").iterdir()) == [
        "held_out.parquet",
        "train.parquet",
    ]
    assert "texts to train on" in out


BAD_LINES: list[tuple[bytes, list[str]]] = [
    (b"{'text': 'a'}", ["not JSON", "{'text': 'a'}", 'write one {"text": "..."} a line']),
    (b'["a"]', ['["a"]', 'write {"text": "..."}']),
    (b'{"txt": "a"}', ['{"txt": "a"}', "name what is to be spoken 'text'"]),
    (b'{"text": null}', ["None", "give each line a non-empty text"]),
    (b'{"text": "  "}', ["'  '", "leave the line out"]),
    (b'{"text": "a\\u0000b"}', ["U+0000", "remove it"]),
    (b'{"text": "caf\xe9"}', ["0xe9", "save the file as UTF-8"]),
    (b'{"text": "a", "language": "eng"}', ["'eng'", "did you mean 'en'"]),
    (b'{"text": "!"}', ["'!'", "leave it out"]),
    (b'{"text": "<|s_0|>"}', ["'<|s_0|>'", "leave it out"]),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_bad_text_is_one_message_and_no_file(here: Path, line: bytes, said: list[str]) -> None:
    with Path("texts.jsonl").open("ab") as file:
        file.write(line + b"\n")
    code, _, err = run("prepare", "--config", "run.json")
    assert code == 2
    assert err.startswith(f"error: {here / 'texts.jsonl'}:11: ")
    for words in said:
        assert words in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


BAD_CALLS: list[tuple[list[str], list[str]]] = [
    (["train"], ["--config"]),
    (["trian"], ["trian", "train"]),
    (["train", "--config", "no.json"], ["no.json", "give its path"]),
    (["train", "--config", "run.json", "--set", "train.stepps=1"], ["stepps", "'steps'"]),
    (["eval", "--config", "run.json", "--set", "seed"], ["no '='", "--set train.steps=100"]),
    (["serve", "--config", "run.json", "--set", "name=A"], ['name = "A"']),
    (["merge", "--config", "texts.jsonl"], ["texts.jsonl:2:1: not JSON"]),
    (
        ["prepare", "--config", "run.json", "--set", "data.texts=no.jsonl"],
        ["no.jsonl", "JSON lines"],
    ),
    (["config"], ["no run given", "--config run.json"]),
    (["config", "--config", "run.json", "--origin", "train.step"], ["train.step", "'steps'"]),
    (["pull", "s3://bucket/r", "--to", "x"], ["'s3://bucket/r'", "s3://bucket/prefix/runs/NAME"]),
    (["pull", "store/runs/r", "--to", "x"], ["no model is published", "ttsrl merge"]),
    (["pull", "store/runs/r", "--to", "x", "--what", "all"], ["'all'", "model", "checkpoint"]),
    (["pull", "store/runs/r", "--to", "x", "--best", "--step", "3"], ["--step 3", "give one of"]),
    (["say", "hello", "--model", "a/b", "--out", "x.wav"], ["no run.json", "--codec FOLDER"]),
    (["say", "hello", "--model", "./no", "--out", "x.wav"], ["--model = ./no", "no such folder"]),
]


@pytest.mark.parametrize(("arguments", "said"), BAD_CALLS)
def test_a_bad_call_is_one_message_with_the_way_out(
    here: Path, arguments: list[str], said: list[str]
) -> None:
    before = sorted(here.rglob("*"))
    code, _, err = run(*arguments)
    assert code == 2
    for words in said:
        assert words in err
    assert "Traceback" not in err
    assert sorted(here.rglob("*")) == before


def test_say_speaks_into_a_wav_file(here: Path) -> None:
    tiny = TINY.parent
    spoken = ["say", "open the door", "--model", str(tiny / "policy"), "--out", "said/a.wav"]
    code, out, err = run(*spoken)
    assert (code, err) == (0, "")
    said = soundfile.info("said/a.wav")
    assert (said.samplerate, said.channels) == (16_000, 1)
    assert out.startswith(f"said/a.wav: {said.duration:.2f} s, ")

    code, out, err = run(*spoken[:4], "--codec", str(tiny / "judge"), "--out", "b.wav")
    assert code == 2
    assert "unknown codec" in err
    assert not Path("b.wav").exists()


def test_config_prints_what_a_run_resolves_to(here: Path) -> None:
    code, out, _ = run("config", "--config", "run.json", "--set", "train.steps=9")
    assert code == 0
    resolved = json.loads(out)
    assert resolved["train"]["steps"] == 9
    assert resolved["rollout"]["group_size"] == 8
    assert resolved["data"]["texts"] == str(here / "texts.jsonl")
    assert run("config", "--config", "run.json", "--origin", "seed")[1] == "default\n"
    code, out, _ = run("config", "--schema")
    assert code == 0
    assert json.loads(out)["title"] == "RunConfig"


@pytest.mark.parametrize("more", [[], ["--set", "train.steps=9"]])
def test_a_second_training_in_a_folder_is_refused_and_changes_nothing(
    here: Path, more: list[str]
) -> None:
    folder = here / "runs" / "r"
    with hold_run(folder):
        (folder / "run.json").write_text("that of the first")
        code, _, err = run("train", "--config", "run.json", *more)
        assert code == 2
        assert f"another command (process {os.getpid()}) trains in {folder}" in err
        assert "--set name=other" in err
        assert sorted(path.name for path in folder.iterdir()) == [".lock", "run.json"]
        assert (folder / "run.json").read_text() == "that of the first"


def test_a_command_beside_a_training_leaves_the_runs_record_alone(here: Path) -> None:
    folder = here / "runs" / "r"
    with hold_run(folder):
        (folder / "run.json").write_text("that of the first")
        code, _, err = run("merge", "--config", "run.json", "--set", f"storage={here / 's'}")
    assert code == 2 and "no checkpoint" in err
    assert (folder / "run.json").read_text() == "that of the first"
    used = json.loads((folder / "logs" / "merge.json").read_text())
    assert used["storage"] == str(here / "s")
    assert run("merge", "--config", "run.json", "--set", f"storage={here / 's'}")[0] == 2
    assert json.loads((folder / "run.json").read_text()) == used


def test_one_command_of_a_name_works_in_a_folder(here: Path) -> None:
    lock = here / "runs" / "r" / "logs" / ".merge.lock"
    with hold(lock, str):
        code, _, err = run("merge", "--config", "run.json")
    assert code == 2
    assert f"another command (process {os.getpid()}) does merge in" in err


def test_pull_brings_the_newest_model_of_a_published_run(here: Path) -> None:
    from ttsrl.storage.run_store import RunStore

    store = RunStore("store", "r")
    for step in (2, 10):
        Path("model").mkdir(exist_ok=True)
        Path("model/config.json").write_text(f"{step}")
        store.storage.publish(Path("model"), store.model(step))
    code, _, err = run("pull", "store/runs/r", "--to", "newest")
    assert (code, err) == (0, "")
    assert Path("newest/config.json").read_text() == "10"
    assert run("pull", "store/runs/r/", "--step", "2", "--to", "second")[0] == 0
    assert Path("second/config.json").read_text() == "2"
    code, _, err = run("pull", "store/runs/r", "--step", "3", "--to", "third")
    assert code == 2
    assert "no model of step 3 is published; there are [2, 10]" in err


def test_report_writes_nothing_into_a_run_in_a_storage_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.records import step_of
    from ttsrl.config.load import dump_run, load_run
    from ttsrl.evaluation.report.page import write_report
    from ttsrl.storage.run_store import RunStore

    monkeypatch.setattr("ttsrl.cli.evaluation.do", lambda *given: write_report(given[3]))
    store, published = RunStore("store", "r"), here / "store" / "runs" / "r"
    store.storage.write_text(store.run_json, dump_run(load_run(TINY, ["train.steps=60"])))
    store.storage.write_text(store.steps_log, step_of(1).model_dump_json() + "\n")
    before = sorted(published.rglob("*"))
    for address in ("store/runs/r", "store/runs/r/", str(published)):
        code, out, err = run("report", address, "--to", "page")
        assert (code, err) == (0, "")
        assert out.strip() == str(here / "page" / "report.html")
        assert "1 of 60 steps" in Path("page/report.html").read_text()
    for to, words in (((), "give --to DIR"), (("--to", "store/runs/r/x"), "outside of it")):
        code, _, err = run("report", "store/runs/r", *to)
        assert code == 2
        assert words in err
    assert sorted(published.rglob("*")) == before
    code, _, err = run("report", "page", "--to", "elsewhere")
    assert code == 2
    assert "leave --to elsewhere out" in err
    assert run("report", "page")[0] == 0


def test_a_job_runs_beside_and_its_failure_is_told(here: Path) -> None:
    code, _, err = run("merge", "--config", "run.json")
    assert code == 2
    assert err.startswith("error: no checkpoint in ")
    assert "ttsrl train" in err
    assert (here / "runs" / "r" / "logs" / "merge.log").is_file()


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (None, 0, ""),
        (BadInput("x is 3"), 2, "error: x is 3\n"),
        (Failure("the disk is full"), 1, "error: the disk is full\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a.wav"),
            1,
            "error: No space left on device: runs/a.wav; free some space and begin again\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a.wav"),
            2,
            "error: Permission denied: /a.wav; give a folder that you may use\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "/aaa.wav"),
            2,
            "error: File name too long: /aaa.wav; give another path\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; the same command resumes\n"),
    ],
)
def test_exit_codes(
    raised: BaseException | None, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        if raised:
            raise raised

    assert exit_code(command) == code
    assert capsys.readouterr().err == said


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    kept = tmp_path / "state" / "ttsrl" / "errors.log"
    for name in ("missing", "another"):
        assert exit_code(lambda name=name: {}[name]) == 1
        said = capsys.readouterr().err
        assert said == f"error: unexpected: KeyError: '{name}'; traceback: {kept}\n"
    assert kept.read_text().count("Traceback") == 2


def test_a_traceback_that_cannot_be_kept_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert exit_code(lambda: {}["missing"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(here: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(
            [TTSRL, "config", "--schema"], stdout=output, stderr=subprocess.PIPE, text=True
        )
    assert done.stderr == ""
