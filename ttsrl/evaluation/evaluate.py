"""Speak the texts of a suite with a model, let every judge listen, write down what they heard.

The same texts, seeds and judges for every model, so that two evaluations are comparable text by
text. Into the output folder go rows.jsonl (one line an utterance), wav/ (a few texts, chosen by a
hash) and, last, report.json: a folder without it is not finished. A part of the texts is spoken and
heard exactly as within the whole: parts are made of whole batches.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.schema import RunConfig
from ttsrl.data.asked_styles import asked_style
from ttsrl.evaluation.asked import Voices, conditions_of, synthesiser_of
from ttsrl.evaluation.conditions import conditions_in
from ttsrl.evaluation.listeners import Listeners, load_listeners
from ttsrl.evaluation.protocol import identify
from ttsrl.evaluation.style_judges import StyleListener
from ttsrl.evaluation.suites import Suite, SuiteText
from ttsrl.evaluation.summary import summarise
from ttsrl.models.kinship import report_judge
from ttsrl.records.evaluation import (
    GREEDY,
    REPORT,
    ROWS,
    SAMPLED,
    EvaluationIdentity,
    EvaluationReport,
    EvaluationRow,
    ReportJudge,
    most_independent,
)
from ttsrl.records.record import append_lines, read_file, to_text, write_lines
from ttsrl.records.sampling import Sampling
from ttsrl.storage.atomic import replace_text
from ttsrl.synthesis.synthesiser import SynthesisedSpeech, Synthesiser, write_wav

TEXTS_WITH_WAV = 8


@dataclass(frozen=True)
class Pass:
    """One time through the texts."""

    mode: str
    """`sampled` or `greedy`."""
    seed: int


@dataclass(frozen=True)
class EvalShard:
    """Every `of`-th batch of the texts, from batch `index` on; the whole is part 0 of 1."""

    index: int = 0
    of: int = 1


WHOLE = EvalShard()


def evaluate(
    run: RunConfig,
    model: str,
    suite: Suite,
    out: Path,
    *,
    name: str | None = None,
    device: str = "cpu",
    listeners: Listeners | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Evaluate the model of a folder (or a Hugging Face id); returns the report.

    An evaluation of the same model, texts and settings that is already in `out` is not repeated.
    `name` is what the report calls the model where its folder is a passing one; `listeners` are the
    suite's, where they are loaded already. `on_progress` gets (utterances done, utterances in all).
    Raises BadInput.
    """
    identity = identify(run, model, suite)
    if (finished := _finished(out, identity)) is not None:
        return finished
    (out / REPORT).unlink(missing_ok=True)
    rows, synthesis_s = speak_and_hear(
        run, model, suite, out, device=device, listeners=listeners, on_progress=on_progress
    )
    judges = report_judges(run, suite)
    called = name or model
    return write_report(
        run, out, identity, called, suite.name, suite.sampling, judges, rows, synthesis_s
    )


def speak_and_hear(
    run: RunConfig,
    model: str,
    suite: Suite,
    out: Path,
    part: EvalShard = WHOLE,
    *,
    device: str = "cpu",
    listeners: Listeners | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[EvaluationRow], float]:
    """Write rows.jsonl and wav/ of a part; returns the rows, and the seconds of synthesis."""
    (out / "wav").mkdir(parents=True, exist_ok=True)
    passes, texts = passes_of(run), suite.texts
    size = run.eval.batch_size
    batches = [
        (begin, texts[begin : begin + size])
        for begin in range(part.index * size, len(texts), part.of * size)
    ]
    if not batches:  # more parts than batches
        write_lines(out / ROWS, [])
        return [], 0.0
    total = sum(len(batch) for _, batch in batches) * len(passes)
    listeners = listeners or load_listeners(run, suite, device)
    synthesiser = synthesiser_of(run, model, device)
    voices = Voices(suite, synthesiser)
    with_wav = texts_with_wav(texts)
    rows: list[EvaluationRow] = []
    synthesis_s = 0.0
    write_lines(out / ROWS, [])
    for this in passes:
        keeps_wav = with_wav if this in (passes[0], passes[-1]) else set[int]()
        for begin, batch in batches:
            start_s = time.perf_counter()
            speeches = _speak(run, suite.sampling, synthesiser, voices, this, begin, batch)
            synthesis_s += time.perf_counter() - start_s
            rows_of = _rows(this, batch, speeches, listeners, keeps_wav)
            found = _with_styles(run, rows_of, batch, speeches, listeners.styles)
            for row, speech in zip(found, speeches, strict=True):
                if row.wav is not None:
                    write_wav(out / row.wav, speech.waveform, speech.sample_rate_hz)
            append_lines(out / ROWS, found)
            rows += found
            if on_progress:
                on_progress(len(rows), total)
    for told in filter(None, (one.told_usage() for one in listeners.quality)):
        print(told, flush=True)
    return rows, synthesis_s


def write_report(
    run: RunConfig,
    out: Path,
    identity: EvaluationIdentity,
    model: str,
    suite: str,
    sampling: Sampling,
    judges: list[ReportJudge],
    rows: Sequence[EvaluationRow],
    synthesis_s: float,
) -> EvaluationReport:
    """Write report.json from all rows, in their order; returns it."""
    names = [judge.name for judge in judges]
    verdict = names[most_independent([judge.relation for judge in judges])]
    by_mode = {this.mode: [row for row in rows if row.mode == this.mode] for this in passes_of(run)}
    report = EvaluationReport(
        identity=identity,
        model=model,
        suite=suite,
        texts=len({row.index for row in rows}),
        seeds=run.eval.seeds,
        sampling=sampling,
        judges=judges,
        quality={one.type: one.used_in_reward for one in run.eval.quality},
        styles={one.name: one.used_in_reward for one in run.eval.styles},
        tokens_per_s=sum(row.tokens for row in rows) / synthesis_s,
        modes={
            mode: summarise(of_mode, names).model_copy(
                update={"conditions": [*conditions_in(of_mode, verdict)]}
            )
            for mode, of_mode in by_mode.items()
        },
    )
    replace_text(out / REPORT, to_text(report))
    return report


def report_judges(run: RunConfig, suite: Suite) -> list[ReportJudge]:
    """The judges of a suite as a report names them. Raises BadInput."""
    return [report_judge(run, judge) for judge in suite.judges]


def passes_of(run: RunConfig) -> list[Pass]:
    """The times through the texts, in their order."""
    sampled = [Pass(SAMPLED, seed) for seed in run.eval.seeds]
    return [*sampled, Pass(GREEDY, 0)] if run.eval.greedy else sampled


def texts_with_wav(texts: Sequence[SuiteText]) -> set[int]:
    """Indices of the texts whose speech is kept: a function of the texts, so the same each time."""
    ranked = sorted(texts, key=lambda text: hashlib.sha256(text.text.encode()).digest())
    return {text.index for text in ranked[:TEXTS_WITH_WAV]}


def _speak(
    run: RunConfig,
    sampling: Sampling,
    synthesiser: Synthesiser,
    voices: Voices,
    this: Pass,
    begin: int,
    batch: Sequence[SuiteText],
) -> list[SynthesisedSpeech]:
    [speeches] = synthesiser.batches(
        [text.text for text in batch],
        temperature=sampling.temperature if this.mode == SAMPLED else 0.0,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=this.seed,
        max_tokens=sampling.max_speech_tokens,
        batch_size=run.eval.batch_size,
        first=begin,
        voices=voices.of(batch),
        conditions=[conditions_of(run, text) for text in batch],
    )
    return speeches


def _rows(
    this: Pass,
    texts: Sequence[SuiteText],
    speeches: Sequence[SynthesisedSpeech],
    listeners: Listeners,
    keeps_wav: Collection[int],
) -> list[EvaluationRow]:
    """One row per text; `keeps_wav` has the indices of the texts whose speech is kept."""
    languages = [text.language for text in texts]
    verdicts = {judge.name: judge.listen(speeches, languages) for judge in listeners.judges}
    similarity = listeners.similarity
    to_voices = similarity.to_voices(speeches, texts) if similarity else [None] * len(texts)
    opinions = {one.name: one.of(speeches, languages) for one in listeners.quality}
    return [
        EvaluationRow(
            index=text.index,
            text=text.text,
            language=text.language,
            id=text.id,
            voice=text.voice,
            mode=this.mode,
            seed=this.seed,
            tokens=len(speech.speech_tokens),
            finished=speech.finished,
            duration_s=speech.duration_s,
            judges={name: heard[k] for name, heard in verdicts.items()},
            similarity=to_voice and to_voice.cosine,
            nearest_voice=to_voice and to_voice.nearest,
            quality={name: scores[k] for name, scores in opinions.items()},
            wav=f"wav/{text.index:05d}-{this.mode}.wav" if text.index in keeps_wav else None,
        )
        for k, (text, speech, to_voice) in enumerate(zip(texts, speeches, to_voices, strict=True))
    ]


def _with_styles(
    run: RunConfig,
    rows: Sequence[EvaluationRow],
    texts: Sequence[SuiteText],
    speeches: Sequence[SynthesisedSpeech],
    listeners: Sequence[StyleListener],
) -> list[EvaluationRow]:
    """The rows with the style that was asked for, and which each judge of styles hears."""
    asked = [asked_style(run, text) for text in texts]
    verdicts = {one.name: one.of(speeches, texts, asked) for one in listeners}
    return [
        row.model_copy(
            update={
                "style": asked[k],
                "styles": {name: found for name, of in verdicts.items() if (found := of[k])},
            }
        )
        for k, row in enumerate(rows)
    ]


def _finished(out: Path, identity: EvaluationIdentity) -> EvaluationReport | None:
    report = read_file(EvaluationReport, out / REPORT)
    return report if report is not None and report.identity == identity else None
