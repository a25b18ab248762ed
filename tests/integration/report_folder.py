"""Writes the folder of a finished run, with invented numbers and the tiny codec's speech."""

import math
import random
from pathlib import Path
from typing import Any

from support.records import step_of
from ttsrl.codecs.registry import load_codec
from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.summary import summarise
from ttsrl.records.during import CHANGE, ChangeEstimate, ChangeFromBase, MetricChange
from ttsrl.records.evaluation import (
    MODES,
    REPORT,
    ROWS,
    EvaluationIdentity,
    EvaluationReport,
    EvaluationRow,
    ReportJudge,
    Verdict,
)
from ttsrl.records.record import Record, to_text, write_lines
from ttsrl.records.rollout import RolloutSample
from ttsrl.records.sampling import Sampling
from ttsrl.records.step import Lane, TimelineEvent
from ttsrl.synthesis.synthesiser import write_wav
from ttsrl.text.normalise import cer, wer

TINY = Path("examples/tiny")
TEXTS = [
    "four blue dogs run south",
    "seven green birds sing",
    "one red horse jumps",
    "three cold tigers sleep",
    "nine black wolves swim home",
]
TEXTS_WITH_WAV = 3
RATE_OF_ERROR = {"before": 0.5, "after": 0.1}


def write_run_folder(folder: Path, *, steps: int = 30, texts: int = 60) -> Path:
    """`folder` as training and both evaluations leave it; the same each time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(dump_run(load_run(TINY / "run.json")))
    draw = random.Random(0)
    for side in ("before", "after"):
        _write_evaluation(folder / "eval" / side, side, texts, draw)
    _write_training(folder / "train", steps, draw)
    return folder


def write_changes(folder: Path, judge: str, changes: dict[int, tuple[float, float, float]]) -> None:
    """Step -> a judge's change of CER from a base of 30 %, with its interval."""
    for step, (value, low, high) in changes.items():
        out = folder / "during" / f"step_{step:06d}"
        out.mkdir(parents=True)
        moved = MetricChange(
            before=ChangeEstimate(value=0.3, low=0.2, high=0.4),
            after=ChangeEstimate(value=0.3 + value, low=0.2, high=0.4),
            difference=ChangeEstimate(value=value, low=low, high=high),
            texts=64,
        )
        metrics: dict[str, dict[str, MetricChange | None]] = {
            f"cer/{judge}": {"sampled": moved},
            "cer/deaf": {"sampled": None},
        }
        (out / CHANGE).write_text(to_text(ChangeFromBase(step=step, metrics=metrics)))


def _write_evaluation(folder: Path, side: str, texts: int, draw: random.Random) -> None:
    codec = load_codec(str(TINY / "codec"))
    (folder / "wav").mkdir(parents=True)
    rows: list[EvaluationRow] = []
    for mode in ("sampled", "greedy"):
        for index in range(texts):
            text = TEXTS[index % len(TEXTS)] if index < len(TEXTS) else f"text {index} now"
            tokens = [draw.randrange(codec.codebook_size) for _ in range(draw.randint(12, 22))]
            judges = {name: _hear(text, side, draw) for name in ("judge", "whisper")}
            row = EvaluationRow(
                index=index,
                text=text,
                language="en",
                id=None,
                mode=mode,
                seed=0,
                tokens=len(tokens),
                finished=side == "after" or draw.random() < 0.9,
                duration_s=len(tokens) / codec.tokens_per_s,
                judges=judges,
                similarity=draw.random() if index else None,
                wav=f"wav/{index:05d}-{mode}.wav" if index < TEXTS_WITH_WAV else None,
            )
            if row.wav is not None:
                write_wav(folder / row.wav, codec.decode([tokens])[0], codec.sample_rate_hz)
            rows.append(row)
    write_lines(folder / ROWS, rows)
    report = EvaluationReport(
        identity=EvaluationIdentity(model=side, protocol="same"),
        model="policy",
        suite="held_out",
        judges=[
            ReportJudge(name="judge", type="ctc", model="judge", kinship="unlike"),
            ReportJudge(
                name="whisper",
                type="whisper",
                model="whisper",
                used_in_reward=True,
                kinship="same",
            ),
        ],
        texts=texts,
        seeds=[0],
        sampling=Sampling(temperature=1.0, max_speech_tokens=37),
        tokens_per_s=100.0,
        modes={
            mode: summarise([row for row in rows if row.mode == mode], ["judge", "whisper"])
            for mode in MODES
        },
    )
    (folder / REPORT).write_text(to_text(report))


def _hear(text: str, side: str, draw: random.Random) -> Verdict:
    wrong = ["two", "white", "cats"]
    heard = " ".join(
        draw.choice(wrong) if draw.random() < RATE_OF_ERROR[side] else word for word in text.split()
    )
    return Verdict(transcript=heard, cer=cer(text, heard, "en"), wer=wer(text, heard, "en"))


def _write_training(folder: Path, steps: int, draw: random.Random) -> None:
    folder.mkdir()
    lines: dict[str, list[Record]] = {"steps": [], "rollouts": [], "timeline": []}
    for step in range(1, steps + 1):
        progress = 1 - math.exp(-step / 10)
        cer_value = 0.35 - 0.27 * progress + draw.gauss(0, 0.012)
        nll = 1.4 - 0.9 * progress + draw.gauss(0, 0.04)
        seconds = {
            "generate": 1.4 - 0.2 * progress,
            "wait_for_scores": 0.3 - 0.1 * progress,
            "old_log_prob": 0.4,
            "advantage": 0.02,
            "update": 1.6 - 0.4 * progress,
            "sync_weights": 0.05,
        } | ({"save": 0.9} if step % 10 == 0 else {})
        lines["steps"].append(
            step_of(
                step,
                reward=0.45 + 0.4 * progress + draw.gauss(0, 0.01),
                reward_std=0.22 - 0.1 * progress,
                raw={"cer": cer_value, "nll": nll},
                utilities={"cer": 1 - math.tanh(3 * cer_value), "nll": math.exp(-nll / 3)},
                length_tokens=19 + 3 * progress,
                duration_s=1.55 + 0.25 * progress,
                end_token_rate=0.95 + 0.05 * progress,
                gated_share=0.02 * (1 - progress),
                gated_reasons={"no_end_token": 4, "silent": 1} if step < 4 else {},
                distinct_share=0.92 - 0.5 * progress,
                entropy=0.28 - 0.18 * progress,
                grad_norm=0.9 - 0.3 * progress + draw.gauss(0, 0.05),
                learning_rate=4e-4 * (0.6 + 0.4 * math.cos(math.pi * step / steps)),
                seconds=sum(seconds.values()),
                seconds_by_stage=seconds,
            )
        )
        lines["rollouts"] += _rollouts(step, draw)
        lines["timeline"] += _timeline(step, seconds)
    for name, rows in lines.items():
        write_lines(folder / f"{name}.jsonl", rows)


def _rollouts(step: int, draw: random.Random) -> list[RolloutSample]:
    text = TEXTS[step % len(TEXTS)]

    def row(kind: str, **more: Any) -> RolloutSample:
        tokens = [draw.randrange(1000) for _ in range(15)]
        usual = {"speech_tokens": tokens, "duration_s": 1.2, "reward": 0.0}
        return RolloutSample.model_validate(
            {"step": step, "text": text, "kind": kind} | usual | more
        )

    def measured(kind: str, reward: float, transcript: str) -> RolloutSample:
        return row(
            kind,
            reward=reward,
            transcript=transcript,
            raw={"cer": 1 - reward, "nll": 0.8},
            utilities={"cer": reward, "nll": 0.77},
        )

    rows = [
        measured("best", 0.97, text),
        measured("typical", 0.7, text.replace("e", "a")),
        measured("worst", 0.02, "two cats"),
    ]
    if step == 2:
        rows.append(row("gated", reason="empty", speech_tokens=[], duration_s=0.0))
        rows.append(row("gated", reason="token_outside_codebook", speech_tokens=[3, -1, 7]))
    return rows


def _timeline(step: int, seconds: dict[str, float]) -> list[TimelineEvent]:
    generated = seconds["generate"]
    scored = generated + seconds["wait_for_scores"]
    events: list[tuple[Lane, str, float, float]] = [
        ("generate", "generate", 0.05, generated),
        ("score", "score", 0.5, scored),
    ]
    for name in ("old_log_prob", "advantage", "update", "save", "sync_weights"):
        if name in seconds:
            events.append(("train", name, scored, scored + seconds[name]))
            scored += seconds[name]
    return [
        TimelineEvent(step=step, lane=lane, name=name, start_s=start, end_s=end)
        for lane, name, start, end in events
    ]
