"""Configuration of another project's audio scorer: verl-omni's protocol, version 1."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ttsrl.facts import InReward
from ttsrl.reward.remote import RemoteProgram


class AudioScorer(RemoteProgram):
    """A program that takes a waveform and its text, and answers with one score.

    Each utterance is one request. Outages, time-outs and the statuses 408, 429 and 5xx are tried
    again, as verl-omni's own client does.
    """

    url: Annotated[str, InReward("not")]
    """Address that takes the requests, such as http://scorer:18080/score."""
    served_model: str = Field(min_length=1)
    """What measures there, with its version. The protocol does not tell it, so it is written down
    here: another one is another reward."""
    deadline_s: Annotated[float, InReward("not")] = Field(default=30.0, gt=0)
    """Longest wait for one score, further attempts included."""
