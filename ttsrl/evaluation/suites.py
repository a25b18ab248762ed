"""Suites: what an evaluation speaks, and who listens. The held-out texts are one of them.

Everything that a list names is looked at before a model is loaded: a missing recording found after
an hour of synthesis would be one hour too late.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pyarrow import parquet

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.config.evaluation import HELD_OUT, JudgeConfig, SuiteConfig
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import check_spoken, prepare
from ttsrl.data.references import reference_in
from ttsrl.errors import BadInput, did_you_mean, reason_of
from ttsrl.evaluation.lists import ListedText, read_list
from ttsrl.evaluation.sampling import sampling_of
from ttsrl.families.conditions import VoiceReference
from ttsrl.families.registry import family_class
from ttsrl.records.evaluation import PromptRecording
from ttsrl.records.sampling import Sampling


@dataclass(frozen=True)
class SuiteText:
    """A text to speak; `index` is its place in the evaluation."""

    index: int
    text: str
    language: str
    id: str | None
    voice: PromptRecording | None = None
    style: str | None = None
    label: str | None = None
    reference: VoiceReference | None = None
    """Of a held-out text: its voice as the prompt has it."""


@dataclass(frozen=True)
class Suite:
    """Texts, and how they are judged."""

    name: str
    texts: list[SuiteText]
    judges: list[JudgeConfig]
    sampling: Sampling
    wer: Literal["ttsrl", "benchmark"] = "ttsrl"
    """Which word error rate: `text.normalise.wer`, or `text.benchmark_wer.benchmark_wer`."""
    speaker_model: str | None = None
    folder: Path = Path()
    """Where the recordings lie that `PromptRecording.audio` names."""


def read_suite(run: RunConfig, name: str, held_out: Path) -> Suite:
    """The suite of that name; `held_out` is where the held-out texts lie. Raises BadInput."""
    if name == HELD_OUT:
        return held_out_suite(run, held_out)
    found = [suite for suite in run.eval.suites if suite.name == name]
    if not found:
        known = [HELD_OUT, *(suite.name for suite in run.eval.suites)]
        raise BadInput(f"the run has no suite {name!r} in eval.suites{did_you_mean(name, known)}")
    return listed_suite(run, found[0])


def read_or_prepare(run: RunConfig, suite: str, data: Path) -> Suite:
    """A suite; the held-out texts are the same on every machine, as their split is a hash."""
    held_out = data / "held_out.parquet"
    if suite == HELD_OUT and not held_out.is_file():
        prepare(run, data)
    return read_suite(run, suite, held_out)


def held_out_suite(run: RunConfig, held_out: Path) -> Suite:
    """The first `eval.max_texts` texts of a held-out parquet file. Raises BadInput."""
    if not held_out.is_file():
        raise BadInput(f"no held-out texts at {held_out}; prepare the run's data first")
    try:
        table = parquet.read_table(held_out, columns=["extra_info"])
        rows = table.slice(0, run.eval.max_texts).to_pylist()
    except Exception as error:  # of many classes, in damaged bytes
        raise BadInput(
            f"{held_out} is not a parquet file of prompts: {reason_of(error)}; prepare the run's "
            "data again"
        ) from None
    if not rows:
        raise BadInput(f"{held_out} holds no text; give more texts or a larger held-out share")
    texts = [
        SuiteText(
            index,
            row["extra_info"]["text"],
            row["extra_info"].get("language") or run.data.language,
            row["extra_info"].get("id"),
            style=row["extra_info"].get("style"),
            label=row["extra_info"].get("label"),
            reference=reference_in(row["extra_info"]),
            voice=_voice_in(row["extra_info"]),
        )
        for index, row in enumerate(rows)
    ]
    speaker_model = run.eval.speaker_model
    if speaker_model is not None and all(text.voice is None for text in texts):
        raise BadInput(
            "eval.speaker_model is set, and no held-out text has a recording to compare to; leave "
            "it out, or give the texts references with prompt_audio"
        )
    return Suite(HELD_OUT, texts, run.eval.judges, sampling_of(run), speaker_model=speaker_model)


def _voice_in(extra_info: Mapping[str, Any]) -> PromptRecording | None:
    """The recording of a held-out text's reference, where there is one."""
    found = extra_info.get("reference")
    if not found or not found["audio"]:
        return None
    return PromptRecording(text=found["text"], audio=found["audio"], sha256=found["sha256"])


def listed_suite(run: RunConfig, config: SuiteConfig) -> Suite:
    """The texts of a list, each with its recording where the suite wants it. Raises BadInput."""
    lines = list(islice(read_list(config), config.max_texts))
    if not lines:
        raise BadInput(f"suite {config.name!r}: {config.path} holds no text")
    folder = Path(config.path)
    folder = folder.parent if folder.is_file() else folder
    digests: dict[Path, str] = {}
    texts = [
        SuiteText(
            index,
            _checked(run, config, line),
            line.language,
            line.id,
            _voice(config, line, folder, digests) if config.prompt_audio else None,
            line.style,
            line.label,
        )
        for index, line in enumerate(lines)
    ]
    if config.speaker_model is not None and all(text.voice is None for text in texts):
        raise BadInput(
            f"suite {config.name!r} has a speaker_model, and no text with a recording to compare "
            "to; leave one of them out, or set prompt_audio"
        )
    return Suite(
        config.name,
        texts,
        config.judges_in(run.eval.judges),
        sampling_of(run, config),
        "ttsrl" if config.type == "jsonl" else "benchmark",
        config.speaker_model,
        folder,
    )


def _checked(run: RunConfig, config: SuiteConfig, line: ListedText) -> str:
    try:
        conditions = run.prompt.conditions(
            style=line.style, label=line.label, language=line.language
        )
        check_spoken(run, line.text, line.language, conditions)
        if config.prompt_audio and line.prompt_text:
            family_class(run.family).check_transcript(line.prompt_text)
        return line.text
    except BadInput as error:
        raise BadInput(f"{line.place}: {error}") from None


def _voice(
    config: SuiteConfig, line: ListedText, folder: Path, digests: dict[Path, str]
) -> PromptRecording | None:
    if line.prompt_audio is None:
        return None
    if not line.prompt_text:
        raise BadInput(
            f"{line.place}: a recording without its text: a model needs to be told what is said in "
            f"it; add it, or set prompt_audio of suite {config.name!r} to false"
        )
    if line.prompt_audio not in digests:
        try:
            read_voice(line.prompt_audio)
        except BadInput as error:
            raise BadInput(f"{line.place}: {error}") from None
        digests[line.prompt_audio] = hashlib.sha256(line.prompt_audio.read_bytes()).hexdigest()
    audio = line.prompt_audio
    if audio.is_relative_to(folder):
        audio = audio.relative_to(folder)
    return PromptRecording(
        text=line.prompt_text, audio=audio.as_posix(), sha256=digests[line.prompt_audio]
    )
