"""Answers -> a head that scores speech, and what it is worth on texts that it has not heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.io import read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import local_folder
from ttsrl.prefer.answers import Answer, check_answers, read_answers
from ttsrl.prefer.page import CLIPS
from ttsrl.scorers.embedding import Embedder
from ttsrl.scorers.preference import CHANCE, Facts, Head
from ttsrl.storage.atomic import new_folder

FOLDS = 5
L2 = [10.0**k for k in range(-2, 6)]
"""Strengths that are tried: features are scaled to deviation 1."""
PREFERRED = {"a": 1.0, "same": 0.5, "b": 0.0}

Floats = NDArray[np.float64]


def train(
    folder: Path, files: Sequence[Path], encoder: str, out: Path, device: str = "cpu"
) -> Head:
    """Learn from the answers in `files` to the page in `folder`; write the head into `out`.

    Raises BadInput where the answers are too few or no answers, a clip is not there, or `out` is
    taken; then nothing is written.
    """
    if out.exists():
        raise BadInput(f"{out} is there already; give another --out, or remove it")
    answers = read_answers(files)
    check_answers(answers)
    ids = sorted({clip for answer in answers for clip in (answer.a, answer.b)})
    recordings = [_recording(folder, clip) for clip in ids]
    embedder = Embedder(encoder, device)
    waveforms, rates_hz = zip(*map(_heard, recordings), strict=True)
    embedded_CD = embedder.embed(waveforms, rates_hz)
    row = {clip: n for n, clip in enumerate(ids)}
    comparisons = Comparisons(
        embedded_CD[[row[answer.a] for answer in answers]],
        embedded_CD[[row[answer.b] for answer in answers]],
        np.array([PREFERRED[answer.choice] for answer in answers]),
        _numbered(answers),
    )
    head = _head(comparisons, encoder)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as folder_of_head:
        head.save(folder_of_head)
        (folder_of_head / "README.md").write_text(card(head.facts), encoding="utf-8")
    return head


class Comparisons:
    """Embeddings of both sides [N, D], what share goes to side A [N], the text's number [N]."""

    def __init__(self, a_ND: Floats, b_ND: Floats, to_a_N: Floats, text_N: NDArray[Any]) -> None:
        self.a_ND, self.b_ND, self.to_a_N, self.text_N = a_ND, b_ND, to_a_N, text_N

    def __getitem__(self, chosen: NDArray[Any]) -> Comparisons:
        parts = (self.a_ND, self.b_ND, self.to_a_N, self.text_N)
        return Comparisons(*(part[chosen] for part in parts))

    def splits(self, folds: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """(training, held out) by text: a clip and its text are never on both sides."""
        from sklearn.model_selection import GroupKFold

        split = GroupKFold(folds, shuffle=True, random_state=0).split(self.a_ND, groups=self.text_N)
        return list(split)


def fit(comparisons: Comparisons, l2: float) -> tuple[Floats, float]:
    """Weights [D] and bias that maximise Bradley and Terry's likelihood less l2 |w|^2 / 2.

    A pair that is the same to its listener counts half for either side. The average clip gets 0.
    """
    from sklearn.linear_model import LogisticRegression

    c = comparisons
    clips_CD = np.concatenate([c.a_ND, c.b_ND])
    scale_D = clips_CD.std(axis=0) + 1e-8
    difference_ND = (c.a_ND - c.b_ND) / scale_D
    # Both orders of each pair: a fold may hold one side's choices only.
    samples = np.concatenate([difference_ND, -difference_ND])
    shares = np.concatenate([c.to_a_N, 1 - c.to_a_N])
    model = LogisticRegression(C=1 / l2, fit_intercept=False, max_iter=1_000)
    model.fit(
        np.concatenate([samples, samples]),
        np.concatenate([np.ones(len(samples)), np.zeros(len(samples))]),
        sample_weight=np.concatenate([shares, 1 - shares]) / 2,
    )
    weights_D = model.coef_[0] / scale_D
    return weights_D, float(-(clips_CD @ weights_D).mean())


def log_odds(comparisons: Comparisons, weights_D: Floats) -> Floats:
    """[N], that side A is preferred."""
    return (comparisons.a_ND - comparisons.b_ND) @ weights_D


def best_l2(comparisons: Comparisons) -> float:
    """The strength with the smallest cross-entropy on held-out texts."""
    losses = np.zeros(len(L2))
    for training, held_out in comparisons.splits(FOLDS):
        for n, l2 in enumerate(L2):
            weights_D, _ = fit(comparisons[training], l2)
            odds_N = log_odds(comparisons[held_out], weights_D)
            to_a_N = comparisons[held_out].to_a_N
            losses[n] += (np.logaddexp(0, odds_N) - to_a_N * odds_N).sum()
    return L2[int(losses.argmin())]


def right(comparisons: Comparisons) -> NDArray[np.bool_]:
    """Of each decided pair whether a head that knows none of its text decides as the listener did.

    Its strength of regularisation is chosen without the text too.
    """
    found: list[NDArray[np.bool_]] = []
    for training, held_out in comparisons.splits(FOLDS):
        weights_D, _ = fit(comparisons[training], best_l2(comparisons[training]))
        to_a_N = comparisons[held_out].to_a_N
        decided_N = to_a_N != 0.5
        odds_N = log_odds(comparisons[held_out], weights_D)
        found.append(((odds_N > 0) == (to_a_N == 1))[decided_N])
    return np.concatenate(found)


def card(facts: Facts) -> str:
    """README.md of a head's folder."""
    worth = (
        "better than chance"
        if facts.better_than_chance
        else "**no better than chance: do not use it as a reward**"
    )
    return f"""# Speech preference head

Held-out accuracy **{facts.accuracy:.1%}** (95 % interval {facts.low:.1%} to {facts.high:.1%}),
chance {CHANCE:.0%}: {worth}. It is over {facts.pairs} decided pairs of {facts.texts} texts, each
by a head that had not learned from its text ({FOLDS} folds; Wilson's interval, pairs taken for
independent). {facts.same} further pairs were the same to their listener.

A linear function of frozen embeddings of `{facts.encoder}` (digest `{facts.encoder_digest[:12]}`;
mean and deviation over time of the mean over its layers), fitted by the Bradley-Terry likelihood
with L2 regularisation of strength {facts.l2:g}. Its score is the log-odds that speech is preferred
to the average of the clips that it learned from. It knows what these listeners liked of these
clips, and nothing else: not words, not other voices.

    {{"type": "preference", "model": "THIS FOLDER"}}
"""


def _head(comparisons: Comparisons, encoder: str) -> Head:
    from scipy.stats import binomtest

    right_N = right(comparisons)
    interval = binomtest(int(right_N.sum()), len(right_N)).proportion_ci(0.95, method="wilson")
    l2 = best_l2(comparisons)
    weights_D, bias = fit(comparisons, l2)
    decided = comparisons.to_a_N != 0.5
    where = Path(encoder)
    facts = Facts(
        encoder=str(where.absolute()) if where.is_dir() else encoder,
        encoder_digest=folder_digest(local_folder(encoder)),
        pairs=len(right_N),
        same=int((~decided).sum()),
        texts=len(set(comparisons.text_N[decided].tolist())),
        accuracy=float(right_N.mean()),
        low=float(interval.low),
        high=float(interval.high),
        l2=l2,
    )
    return Head(weights_D, bias, facts)


def _numbered(answers: Sequence[Answer]) -> NDArray[np.int64]:
    numbers = {text: n for n, text in enumerate(sorted({a.text for a in answers}))}
    return np.array([numbers[answer.text] for answer in answers])


def _heard(file: Path) -> tuple[Waveform, int]:
    try:
        return read_recording(file)
    except BadInput as error:
        raise BadInput(f"{file}: {error}; write the page again") from None


def _recording(folder: Path, clip: str) -> Path:
    file = folder / CLIPS / f"{clip}.flac"
    if not file.is_file():
        raise BadInput(
            f"the answers are about clip {clip}, and {file} is not there; give the folder that "
            "their page was written to"
        )
    return file
