"""How independent of the reward a judge is, and on which judge a verdict rests.

A judge may be the model that gives the reward (`same`), descend from the same model or training
data (`kin`), descend from others (`unlike`), or tell nothing about it (`unknown`). See
`ttsrl.reward.lineage` for what descends from what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from ttsrl.config.evaluation import JudgeConfig
from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.download import cached
from ttsrl.models.packaged import PACKAGED
from ttsrl.records.evaluation import EvaluationReport, Kinship, ReportJudge, most_independent
from ttsrl.reward.components import AsrCer, Http, Llm, ParakeetCer, PinyinWer
from ttsrl.reward.lineage import (
    NAMES,
    OF_COMPONENT,
    OF_MODEL_TYPE,
    OF_RECOGNISER,
    WHISPER,
    lineages_of_name,
    lineages_of_words,
)

AN_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def verdict_judge(run: RunConfig, judges: Sequence[JudgeConfig] = ()) -> JudgeConfig:
    """The judge on which the verdict of a run rests: the first of those most unlike the reward.

    `judges`: those of a suite; none: `eval.judges`. A finished evaluation knows its own
    (`EvaluationReport.verdict_judge`), also where the models are not. Raises BadInput.
    """
    judges = judges or run.eval.judges
    return judges[most_independent([kinship_of(run, judge) for judge in judges])]


def kinship_of(run: RunConfig, judge: JudgeConfig) -> Kinship:
    """How a judge is related to what gives the reward. Raises BadInput."""
    if judge.used_in_reward:
        return "same"
    rewarding, own = reward_lineages(run), judge_lineages(judge)
    if own & rewarding:
        return "kin"
    return "unlike" if own or not rewarding else "unknown"


def judge_lineages(judge: JudgeConfig) -> frozenset[str]:
    """What a judge descends from; nothing where nothing tells. Raises BadInput."""
    key, design = f"judge {judge.name!r}", OF_RECOGNISER.get(judge.type)
    return _lineages(key, judge.model, judge.lineage, design)


def reward_lineages(run: RunConfig) -> frozenset[str]:
    """What the recognisers of the reward descend from; nothing where it has none.

    Raises BadInput.
    """
    return frozenset().union(*_rewarding(run))


def report_judge(run: RunConfig, judge: JudgeConfig) -> ReportJudge:
    """A judge as a report names it. Raises BadInput."""
    known = {"kinship": kinship_of(run, judge), "lineage": sorted(judge_lineages(judge))}
    return ReportJudge.model_validate(judge.model_dump() | known)


def as_said_now(run: RunConfig, report: EvaluationReport) -> EvaluationReport:
    """A report with the judges' kinship as the run says it now, where the run or only it says.

    An evaluation is not repeated because its run learnt to say what a judge descends from.
    """
    suites = {suite.name: suite.judges_in(run.eval.judges) for suite in run.eval.suites}
    configured = {judge.name: judge for judge in suites.get(report.suite, run.eval.judges)}

    def told(known: ReportJudge) -> ReportJudge:
        judge = configured.get(known.name)
        if judge is None or (known.kinship is not None and not judge.lineage):
            return known
        return report_judge(run, judge)

    return report.model_copy(update={"judges": [told(judge) for judge in report.judges]})


def verdict_note(run: RunConfig, judges: Sequence[JudgeConfig] = ()) -> str:
    """A line: the judge on which the verdict rests and, where it is not unlike the reward, why not
    and what to do. Raises BadInput."""
    judge, rewarding = verdict_judge(run, judges), " and ".join(sorted(reward_lineages(run)))
    if not rewarding:
        return f"the verdict rests on judge {judge.name!r}; the reward has no recogniser"
    own = " and ".join(sorted(judge_lineages(judge)))
    match kinship_of(run, judge):
        case "unlike":
            return (
                f"the verdict rests on judge {judge.name!r} (lineage {own}), unlike the reward's "
                f"recogniser ({rewarding})"
            )
        case "unknown":
            return (
                f"warning: the verdict rests on judge {judge.name!r}, and nothing here tells "
                f"whether {judge.model} descends from the same model or training data as the "
                f"reward's recogniser ({rewarding}); set its lineage: {', '.join(NAMES)}, or a "
                "word of your own for one that is none of these"
            )
        case _:
            return (
                f"warning: no judge is unlike the reward's recogniser ({rewarding}): judge "
                f"{judge.name!r} (lineage {own}) is kin to it and may hear an improvement that "
                "others do not; add a judge of another lineage (docs/evaluation.md)"
            )


def verdict_notes(run: RunConfig) -> list[str]:
    """What is to be known before a run starts: of its own judges, and of each suite whose verdict
    rests on no unlike judge. Raises BadInput."""
    notes = [verdict_note(run)]
    for suite in run.eval.suites:
        judges = suite.judges_in(run.eval.judges)
        if kinship_of(run, verdict_judge(run, judges)) != "unlike":
            notes.append(f"suite {suite.name!r}: {verdict_note(run, judges)}")
    return notes


def _rewarding(run: RunConfig) -> Iterator[frozenset[str]]:
    reward = run.reward
    if reward.whisper is not None:
        named = reward.whisper.model, reward.whisper.lineage
        yield _lineages("reward.whisper", *named, WHISPER)
    for n, c in enumerate(reward.components):
        key = f"reward.components[{n}]"
        if isinstance(c, (Llm, Http)):
            yield _lineages(key, c.served_model, c.lineage, None)
        elif isinstance(c, (PinyinWer, ParakeetCer)):
            yield _lineages(key, c.model, c.lineage, OF_COMPONENT[c.type])
        elif isinstance(c, AsrCer):
            yield _lineages(key, c.model, c.lineage, OF_RECOGNISER.get(c.recogniser))


def _lineages(key: str, model: str, said: Sequence[str], design: str | None) -> frozenset[str]:
    """What the run says, else the model's card, its names and its design. Raises BadInput."""
    named = {name: lineages_of_name(name) for name in _names(model)}
    if not said:
        built = design or OF_MODEL_TYPE.get(str(_config(model).get("model_type")))
        carded = lineages_of_words(_of_card(model, "lineage"))
        return (carded or lineages_of_words([built] if built else [])).union(*named.values())
    told = lineages_of_words(said)
    for name, proven in named.items():
        if lacking := sorted(proven - told):
            raise BadInput(
                f"{key} has lineage {', '.join(said)}, and {model} is {name}, of lineage "
                f"{' and '.join(lacking)}; add that, or leave lineage out"
            )
    return told


def _names(model: str) -> Iterator[str]:
    """Ids and package names that stand for a model, and those that its folder gives."""
    repository, _ = split_revision(model)
    if model in PACKAGED or (AN_ID.fullmatch(repository) and not Path(model).exists()):
        yield repository
    origin = _config(model).get("_name_or_path")
    for name in [str(origin), *_of_card(model, "base_model")]:
        if AN_ID.fullmatch(name):
            yield name


def _config(model: str) -> dict[str, Any]:
    """Its config.json; empty where there is none on this machine, or one that is unreadable."""
    folder = _folder(model)
    try:
        config = json.loads((folder / "config.json").read_bytes()) if folder else None
    except (OSError, ValueError):
        config = None
    return cast("dict[str, Any]", config) if isinstance(config, dict) else {}


def _of_card(model: str, key: str) -> list[str]:
    """The words behind a key of its model card, README.md; none where there is none."""
    from huggingface_hub.repocard import metadata_load

    card = folder / "README.md" if (folder := _folder(model)) else None
    try:
        facts = metadata_load(card) if card and card.is_file() else None
    except Exception:  # YAML's errors, of many classes, in a file that is text for people
        facts = None
    words: object = (facts or {}).get(key)
    words = cast("list[object]", words) if isinstance(words, list) else [words]
    return [word for word in words if isinstance(word, str)]


def _folder(model: str) -> Path | None:
    """Where it lies on this machine; nothing is downloaded for this."""
    if (path := Path(model)).exists():
        return path if path.is_dir() else None
    return cached(model) if AN_ID.fullmatch(split_revision(model)[0]) else None
