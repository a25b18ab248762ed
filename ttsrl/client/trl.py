"""The reward service for TRL: reward functions of its GRPOTrainer, and a tokenizer that fits.

tokenizer = AutoTokenizer.from_pretrained("HKUSTAudio/Llasa-1B")
family = adapt(tokenizer, "llasa")
trainer = GRPOTrainer(
    model="HKUSTAudio/Llasa-1B",
    processing_class=tokenizer,
    reward_funcs=AsyncSpeechReward("http://reward:8000", family),
    train_dataset=Dataset.from_list([row(family, text) for text in texts]),
)

TRL awaits an asynchronous reward function beside its others; `SpeechReward` is the same for callers
that wait. What could not be measured is None, which TRL leaves out of its group's mean and gives
advantage 0 (1.16 does; a version that sums None as 0 would punish an outage).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ttsrl.client.reward_client import RewardClient
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.conditions import Conditions
from ttsrl.families.registry import load_family
from ttsrl.wire import Failed, Gated, Ok, Outcome, Utterance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COLUMNS = ("text", "language", "style", "speaker", "label")
"""Of a data set, as the fields of an `Utterance`."""


def adapt(tokenizer: PreTrainedTokenizerBase, family: str = "llasa") -> Family:
    """Have `tokenizer` render the family's prompt and know its end token, as TRL asks it to.

    TRL stops a completion at the tokenizer's end token and at no other.
    """
    adapted = load_family(family, tokenizer)
    tokenizer.chat_template = adapted.chat_template
    end = tokenizer.convert_ids_to_tokens(adapted.stop_token_ids[0])
    tokenizer.eos_token = end
    if tokenizer.pad_token is None:
        tokenizer.pad_token = end
    return adapted


def row(
    family: Family, text: str, language: str = "en", style: str | None = None
) -> dict[str, Any]:
    """A row of TRL's data set: the prompt, and the text that `SpeechReward` compares with."""
    conditions = Conditions(style, language)
    carried = {"text": text, "language": language, **({"style": style} if style else {})}
    return {"prompt": family.chat(text, conditions), **carried}


class _ServedReward:
    """Completions -> rewards in [0, 1], gated speech 0, and None where the measurement failed.

    The data set has the columns `text` and, if it is not English, `language`; `style`, `speaker`
    and `label` where the service's scorers want them. Components and outcomes are logged beside
    the reward.
    """

    def __init__(
        self,
        url: str,
        family: Family,
        *,
        token_file: str | None = None,
        deadline_s: float = 120.0,
    ) -> None:
        """`deadline_s` is the longest wait for a batch, retries included."""
        self.__name__ = "speech_reward"
        self.url = url
        self.family = family
        self.token_file = token_file
        self.deadline_s = deadline_s

    async def _rewards(
        self,
        *,
        completion_ids: Sequence[Sequence[int]],
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        utterances = [self._utterance(ids, n, columns) for n, ids in enumerate(completion_ids)]
        client = RewardClient(self.url, token_file=self.token_file, deadline_s=self.deadline_s)
        async with client:
            outcomes = await client.score(utterances)
        if log_metric:
            for name, value in summary(outcomes).items():
                log_metric(name, value)
        if log_extra:
            heard = [(o.transcript or "") if isinstance(o, Ok) else "" for o in outcomes]
            log_extra("transcript", heard)
        return [None if isinstance(outcome, Failed) else outcome.reward for outcome in outcomes]

    def _utterance(
        self, completion_ids: Sequence[int], n: int, columns: Mapping[str, Any]
    ) -> Utterance:
        if "text" not in columns:
            raise BadInput(
                "the data set has no column 'text', what each completion should say; make its rows "
                "with ttsrl.client.trl.row"
            )
        speech_tokens, finished = self.family.speech_tokens(completion_ids)
        values = {name: columns[name][n] for name in COLUMNS if columns.get(name)}
        given = {name: value for name, value in values.items() if value is not None}
        return Utterance(**given, speech_tokens=speech_tokens, finished=finished)


class SpeechReward(_ServedReward):
    """A reward function that returns when all is measured."""

    def __call__(self, **columns: Any) -> list[float | None]:
        """As TRL calls it: one completion's token ids and one value of each column per rollout."""
        return asyncio.run(self._rewards(**columns))


class AsyncSpeechReward(_ServedReward):
    """The same as a coroutine, which leaves the event loop to TRL's other reward functions."""

    async def __call__(self, **columns: Any) -> list[float | None]:
        """As `SpeechReward.__call__`."""
        return await self._rewards(**columns)


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Means of the raw values, and the share of what is gated and what failed, by reason."""
    measured = [outcome for outcome in outcomes if isinstance(outcome, Ok)]
    means = {
        f"speech/{name}": fmean(outcome.raw[name] for outcome in measured)
        for name in (measured[0].raw if measured else ())
    }
    reasons = Counter(
        f"speech/gated/{o.reason}" if isinstance(o, Gated) else f"speech/failed/{o.kind}"
        for o in outcomes
        if not isinstance(o, Ok)
    )
    return means | {name: count / len(outcomes) for name, count in sorted(reasons.items())}
