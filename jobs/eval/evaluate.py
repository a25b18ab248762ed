"""Speak the held-out texts with a model, let every judge listen, write down what they heard.

The same texts, seeds and judges for every model, so that two evaluations are comparable text by
text. Into the output folder go rows.jsonl (one line an utterance), wav/ (a few texts, chosen by a
hash) and, last, report.json: a folder without it is not finished. A part of the texts is spoken and
heard exactly as within the whole: parts are made of whole batches.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

from jobs.eval.judge import Judge
from jobs.eval.summary import summarise
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput
from ttsrl.hub import folder_digest, local_folder
from ttsrl.synthesis import Speech, Synthesiser, write_wav

TEXTS_WITH_WAV = 8


@dataclass(frozen=True)
class Text:
    """A held-out text; `index` is its place in the evaluation."""

    index: int
    text: str
    language: str
    id: str | None


@dataclass(frozen=True)
class Pass:
    """One time through the texts."""

    mode: str
    """`sampled` or `greedy`."""
    seed: int
    temperature: float


@dataclass(frozen=True)
class Part:
    """Every `of`-th batch of the texts, from batch `index` on; the whole is part 0 of 1."""

    index: int = 0
    of: int = 1


WHOLE = Part()


def evaluate(
    run: RunConfig,
    model: str,
    held_out: Path,
    out: Path,
    *,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate the model of a folder (or a Hugging Face id); returns what report.json holds.

    `held_out` is the parquet file of `ttsrl.prompts`; its first `eval.max_texts` rows are spoken.
    An evaluation of the same model, texts and settings that is already in `out` is not repeated.
    `on_progress` gets (utterances done, utterances in all). Raises BadInput.
    """
    texts = read_texts(held_out, run.data.language, run.eval.max_texts)
    identity = identify(run, model, texts)
    if (finished := _finished(out, identity)) is not None:
        return finished
    (out / "report.json").unlink(missing_ok=True)
    rows, synthesis_s = speak_and_hear(
        run, model, texts, out, device=device, on_progress=on_progress
    )
    return write_report(run, out, identity, model, rows, synthesis_s)


def speak_and_hear(
    run: RunConfig,
    model: str,
    texts: Sequence[Text],
    out: Path,
    part: Part = WHOLE,
    *,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[dict[str, Any]], float]:
    """Write rows.jsonl and wav/ of a part; returns the rows, and the seconds of synthesis."""
    (out / "wav").mkdir(parents=True, exist_ok=True)
    passes = passes_of(run)
    size = run.eval.batch_size
    batches = [
        (begin, texts[begin : begin + size])
        for begin in range(part.index * size, len(texts), part.of * size)
    ]
    if not batches:  # more parts than batches
        (out / "rows.jsonl").touch()
        return [], 0.0
    total = sum(len(batch) for _, batch in batches) * len(passes)
    synthesiser = Synthesiser(model, run.codec, run.family, device)
    judges = [Judge(config, device, size) for config in run.eval.judges]
    with_wav = texts_with_wav(texts)
    rows: list[dict[str, Any]] = []
    synthesis_s = 0.0
    with (out / "rows.jsonl").open("w", encoding="utf-8") as file:
        for this in passes:
            for begin, batch in batches:
                start_s = time.perf_counter()
                speeches = _speak(run, synthesiser, this, begin, batch)
                synthesis_s += time.perf_counter() - start_s
                for row, speech in zip(_rows(this, batch, speeches, judges), speeches, strict=True):
                    if row["index"] in with_wav and this in (passes[0], passes[-1]):
                        row["wav"] = f"wav/{row['index']:05d}-{this.mode}.wav"
                        write_wav(out / row["wav"], speech.waveform, speech.sample_rate_hz)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    rows.append(row)
                if on_progress:
                    on_progress(len(rows), total)
    return rows, synthesis_s


def write_report(
    run: RunConfig,
    out: Path,
    identity: Mapping[str, str],
    model: str,
    rows: Sequence[dict[str, Any]],
    synthesis_s: float,
) -> dict[str, Any]:
    """Write report.json from all rows, in their order; returns what it holds."""
    judges = [judge.name for judge in run.eval.judges]
    report = {
        "identity": identity,
        "model": model,
        "texts": len({row["index"] for row in rows}),
        "seeds": run.eval.seeds,
        "temperature": run.rollout.temperature,
        "judges": [judge.model_dump() for judge in run.eval.judges],
        "tokens_per_s": sum(row["tokens"] for row in rows) / synthesis_s,
        "modes": {
            mode: summarise([r for r in rows if r["mode"] == mode], judges)
            for mode in ("sampled", "greedy")
        },
    }
    temporary = out / "report.json.tmp"
    temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding="utf-8")
    temporary.replace(out / "report.json")
    return report


def passes_of(run: RunConfig) -> list[Pass]:
    """The times through the texts, in their order."""
    sampled = [Pass("sampled", seed, run.rollout.temperature) for seed in run.eval.seeds]
    return [*sampled, Pass("greedy", 0, 0.0)]


def read_texts(held_out: Path, language: str, max_texts: int) -> list[Text]:
    """The first `max_texts` texts of a held-out parquet file. Raises BadInput."""
    if not held_out.is_file():
        raise BadInput(f"no held-out texts at {held_out}; prepare the run's data first")
    try:
        table = parquet.read_table(held_out, columns=["reward_model", "extra_info"])
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{held_out} is no parquet file of prompts: {error}") from error
    rows = table.slice(0, max_texts).to_pylist()
    if not rows:
        raise BadInput(f"{held_out} holds no text; give more texts or a larger held-out share")
    return [
        Text(
            index,
            row["reward_model"]["ground_truth"],
            row["extra_info"].get("language") or language,
            row["extra_info"].get("id"),
        )
        for index, row in enumerate(rows)
    ]


def texts_with_wav(texts: Sequence[Text]) -> set[int]:
    """Indices of the texts whose speech is kept: a function of the texts, so the same each time."""
    ranked = sorted(texts, key=lambda text: hashlib.sha256(text.text.encode()).digest())
    return {text.index for text in ranked[:TEXTS_WITH_WAV]}


def _speak(
    run: RunConfig, synthesiser: Synthesiser, this: Pass, begin: int, batch: Sequence[Text]
) -> list[Speech]:
    [speeches] = synthesiser.batches(
        [text.text for text in batch],
        temperature=this.temperature,
        top_p=run.rollout.top_p,
        top_k=run.rollout.top_k,
        seed=this.seed,
        max_tokens=run.rollout.max_speech_tokens,
        batch_size=run.eval.batch_size,
        first=begin,
    )
    return speeches


def _rows(
    this: Pass, texts: Sequence[Text], speeches: Sequence[Speech], judges: Sequence[Judge]
) -> list[dict[str, Any]]:
    languages = [text.language for text in texts]
    verdicts = {judge.name: judge.listen(speeches, languages) for judge in judges}
    return [
        {
            **asdict(text),
            "mode": this.mode,
            "seed": this.seed,
            "tokens": len(speech.speech_tokens),
            "finished": speech.finished,
            "duration_s": speech.duration_s,
            "judges": {name: asdict(heard[k]) for name, heard in verdicts.items()},
            "wav": None,
        }
        for k, (text, speech) in enumerate(zip(texts, speeches, strict=True))
    ]


def identify(run: RunConfig, model: str, texts: Sequence[Text]) -> dict[str, str]:
    """What an evaluation's numbers depend on; equal `protocol` makes two models comparable."""
    return {"model": folder_digest(local_folder(model)), "protocol": protocol_of(run, texts)}


def protocol_of(run: RunConfig, texts: Sequence[Text]) -> str:
    """Digest of all but the model: texts, codec, sampling, judges."""
    protocol = {
        "family": run.family,
        "codec": folder_digest(local_folder(run.codec)),
        "rollout": run.rollout.model_dump(
            include={"temperature", "top_p", "top_k", "max_speech_tokens"}
        ),
        "eval": run.eval.model_dump(exclude={"bootstrap_samples"}),
        "judges": [folder_digest(local_folder(judge.model)) for judge in run.eval.judges],
        "texts": [asdict(text) for text in texts],
    }
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()


def _finished(out: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    path = out / "report.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return report if report.get("identity") == identity else None
