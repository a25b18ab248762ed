"""Speak the held-out texts with a model, let every judge listen, write down what they heard.

The same texts, seeds and judges for every model, so that two evaluations are comparable text by
text. Into the output folder go rows.jsonl (one line an utterance), wav/ (a few texts, chosen by a
hash) and, last, report.json: a folder without it is not finished.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
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
    identity = _identity(run, model, texts)
    if (finished := _finished(out, identity)) is not None:
        return finished

    synthesiser = Synthesiser(model, run.codec, run.family, device)
    judges = [Judge(config, device, run.eval.batch_size) for config in run.eval.judges]
    passes = [Pass("sampled", seed, run.rollout.temperature) for seed in run.eval.seeds]
    passes.append(Pass("greedy", 0, 0.0))
    (out / "wav").mkdir(parents=True, exist_ok=True)
    (out / "report.json").unlink(missing_ok=True)
    with_wav = texts_with_wav(texts)
    rows: list[dict[str, Any]] = []
    synthesis_s = 0.0
    with (out / "rows.jsonl").open("w", encoding="utf-8") as file:
        for this in passes:
            batches = synthesiser.batches(
                [text.text for text in texts],
                temperature=this.temperature,
                top_p=run.rollout.top_p,
                top_k=run.rollout.top_k,
                seed=this.seed,
                max_tokens=run.rollout.max_speech_tokens,
                batch_size=run.eval.batch_size,
            )
            begin = 0
            start_s = time.perf_counter()
            for speeches in batches:
                synthesis_s += time.perf_counter() - start_s
                batch = texts[begin : begin + len(speeches)]
                begin += len(speeches)
                for row, speech in zip(_rows(this, batch, speeches, judges), speeches, strict=True):
                    if row["index"] in with_wav and this in (passes[0], passes[-1]):
                        row["wav"] = f"wav/{row['index']:05d}-{this.mode}.wav"
                        write_wav(out / row["wav"], speech.waveform, speech.sample_rate_hz)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    rows.append(row)
                if on_progress:
                    on_progress(len(rows), len(texts) * len(passes))
                start_s = time.perf_counter()

    report = {
        "identity": identity,
        "model": model,
        "texts": len(texts),
        "seeds": run.eval.seeds,
        "temperature": run.rollout.temperature,
        "judges": [judge.model_dump() for judge in run.eval.judges],
        "tokens_per_s": sum(row["tokens"] for row in rows) / synthesis_s,
        "modes": {
            mode: summarise([r for r in rows if r["mode"] == mode], [j.name for j in judges])
            for mode in ("sampled", "greedy")
        },
    }
    temporary = out / "report.json.tmp"
    temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding="utf-8")
    temporary.replace(out / "report.json")
    return report


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


def _identity(run: RunConfig, model: str, texts: Sequence[Text]) -> dict[str, str]:
    """What an evaluation's numbers depend on; equal `protocol` makes two models comparable."""
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
    return {
        "model": folder_digest(local_folder(model)),
        "protocol": hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest(),
    }


def _finished(out: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    path = out / "report.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return report if report.get("identity") == identity else None
