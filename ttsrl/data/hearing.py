"""What the recognisers of a run can hear: texts beyond it would be punished however well they are
said.

Whisper takes 30 s of speech, and writes at most 224 tokens: half a minute of English, but 80
characters of Burmese, whose letters are three bytes and as many tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ttsrl.config.schema import RunConfig
from ttsrl.data.fit import folder_of_small_files
from ttsrl.errors import BadInput, reason_of
from ttsrl.scorers.whisper.tokens import WhisperTokens
from ttsrl.text.languages import UNSPACED
from ttsrl.text.speaking import speaking_s

WINDOW_S = 30.0
"""What Whisper takes at once."""


@dataclass(frozen=True)
class Hearing:
    """One Whisper of a run."""

    key: str
    """Where the run names it."""
    tokens: WhisperTokens

    def too_much(self, text: str, language: str) -> tuple[str, float] | None:
        """(why it cannot hear a text, how much the text has of that), or None.

        Raises BadInput for a language that it does not know.
        """
        longest = self.tokens.max_new(len(self.tokens.prompt(language)))
        if (seconds := speaking_s(text)) > WINDOW_S:
            return f"takes longer to say than the {WINDOW_S:g} s that {self.key} takes", seconds
        lead = "" if language in UNSPACED else " "
        count = len(self.tokens.encode(f"{lead}{text.strip()}"))
        if count > longest:
            return f"has more than the {longest} tokens that {self.key} can write", count
        return None


@dataclass(frozen=True)
class Hearings:
    """All of them that are here."""

    here: list[Hearing]
    missing: dict[str, str]
    """Key -> why its tokens cannot be counted on this machine."""

    @classmethod
    def of(cls, run: RunConfig) -> Hearings:
        """Load the tokens of every Whisper that rewards or judges; no weights are loaded."""
        here: list[Hearing] = []
        missing: dict[str, str] = {}
        seen: dict[str, WhisperTokens] = {}
        for key, model in _whispers(run):
            try:
                if model not in seen:
                    seen[model] = _tokens(model)
                here.append(Hearing(key, seen[model]))
            except BadInput as error:
                missing[key] = str(error)
        return cls(here, missing)

    def notes(self) -> list[str]:
        """What is to be said of those that are not here."""
        return [
            f"not checked: whether {key} can hold the texts ({why})"
            for key, why in self.missing.items()
        ]

    def too_much(self, text: str, language: str) -> tuple[str, float] | None:
        """The first reason why a text cannot be heard; see `Hearing.too_much`."""
        found = (hearing.too_much(text, language) for hearing in self.here)
        return next(filter(None, found), None)


def _whispers(run: RunConfig) -> Iterator[tuple[str, str]]:
    """(key, model), the same model once."""
    seen: set[str] = set()
    named = [(f"judge {judge.name}", judge.model, judge.type) for judge in run.eval.judges]
    if run.reward.whisper is not None and run.reward.listening:
        named.insert(0, ("reward.whisper", run.reward.whisper.model, "whisper"))
    for key, model, kind in named:
        if kind == "whisper" and model not in seen:
            seen.add(model)
            yield key, model


def _tokens(model: str) -> WhisperTokens:
    from transformers import WhisperConfig

    folder = folder_of_small_files(model)
    try:
        config = WhisperConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise BadInput(f"{model} has no configuration of a Whisper: {reason_of(error)}") from None
    return WhisperTokens(folder, config)
