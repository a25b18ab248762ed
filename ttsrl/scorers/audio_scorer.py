"""`http`: the score that another program gives a waveform, by verl-omni's protocol, version 1."""

from __future__ import annotations

import base64
import json
import math
import random
import time
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np

from ttsrl.errors import BadInput, reason_of, shorten
from ttsrl.reward.audio_scorer import AudioScorer
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.remote import NotAnswered, RemoteScorer, Usage, key_of, key_refused

PROTOCOL_VERSION = "1"
FIRST_DELAY_S = 0.5
"""Of verl-omni's client; it doubles with each attempt."""
BUSY = frozenset({408, 429})
OF_THIS_UTTERANCE = frozenset({400, 413, 422})
"""Statuses of a scorer that refuses what it was sent, and would again."""
LONGEST_ANSWER_BYTES = 2**20


class AudioHttpScorer(RemoteScorer):
    """One request per utterance, tried again until it is answered or its deadline is over."""

    def __init__(self, config: AudioScorer) -> None:
        """Raises BadInput where the key is missing; connects to nothing yet."""
        super().__init__("http", config.concurrency)
        self._config = config
        key = key_of(config)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=config.concurrency)
        self._http = httpx.Client(headers=headers, limits=limits)
        self.spec: Mapping[str, Any] = {"version": 1}
        self.example: Mapping[str, Any] = {}

    def ask(self, speech: SpeechSample) -> float:
        """Its score, in its own unit."""
        body = request_of(speech)
        end_s = time.monotonic() + self._config.deadline_s
        attempt = 0
        while True:
            try:
                return score_in(self._post(body, end_s))
            except _Passing as error:
                delay_s = FIRST_DELAY_S * 2.0**attempt * random.uniform(0.5, 1.0)
                delay_s = max(delay_s, error.wait_s)
                too_late = time.monotonic() + delay_s >= end_s
                if attempt == self._config.retries or too_late:
                    raise NotAnswered("unreachable", str(error)) from None
            attempt += 1
            time.sleep(delay_s)

    def _post(self, body: dict[str, Any], end_s: float) -> bytes:
        """The body of an answer with status 200. Raises _Passing, NotAnswered, BadInput."""
        c = self._config
        try:
            status, content, wait_s = self._read(body, end_s)
        except httpx.TimeoutException:
            raise _Passing(f"no answer from {c.url} in {c.deadline_s:g} s") from None
        except httpx.RequestError as error:
            raise _Passing(f"{c.url}: {reason_of(error)}") from None
        self.spend(Usage(requests=1))
        if status == 200:
            return content
        said = " ".join(content.decode(errors="replace").split())
        where = f"{c.url} answers {status}: {said[:200]}"
        if status in BUSY or status >= 500:
            raise _Passing(where, wait_s)
        if status in (401, 403):
            raise key_refused(c, where)
        if status in OF_THIS_UTTERANCE:
            raise BadInput(where)
        raise NotAnswered("unreachable", f"{where}; is url the address that takes the requests?")

    def _read(self, body: dict[str, Any], end_s: float) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that it asks us to wait; all of it before `end_s`."""
        timeout_s = max(0.001, end_s - time.monotonic())
        url = self._config.url
        with self._http.stream("POST", url, json=body, timeout=timeout_s) as answer:
            content = b""
            for chunk in answer.iter_bytes():
                content += chunk
                if time.monotonic() > end_s:
                    raise httpx.ReadTimeout("")
                if len(content) > LONGEST_ANSWER_BYTES:
                    raise NotAnswered("scorer", f"{url} answers more than {len(content)} bytes")
            wait = answer.headers.get("retry-after", "")
            return answer.status_code, content, float(wait) if wait.isdigit() else 0.0


class _Passing(Exception):
    """No answer this time; another attempt may get one."""

    def __init__(self, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(detail)
        self.wait_s = wait_s


def request_of(speech: SpeechSample) -> dict[str, Any]:
    """The body that asks for the score of an utterance."""
    samples = np.ascontiguousarray(speech.waveform, dtype="<f4")
    told = {
        "language": speech.language,
        "style": speech.style,
        "speaker": speech.speaker,
        "label": speech.label,
    }
    return {
        "protocol_version": PROTOCOL_VERSION,
        "waveform_f32_base64": base64.b64encode(samples.tobytes()).decode(),
        "num_samples": len(samples),
        "sample_rate": speech.sample_rate_hz,
        "prompt": speech.text,
        "metadata": {name: value for name, value in told.items() if value is not None},
    }


def score_in(content: bytes) -> float:
    """The score of an answer. Raises NotAnswered for anything but a finite number."""
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        said = shorten(content.decode(errors="replace"))
        raise NotAnswered("scorer", f"answered {said}, which is not JSON") from None
    if not isinstance(body, dict) or "error" in body or "score" not in body:
        raise NotAnswered("scorer", f"answered {shorten(body)}, which has no score")
    score = body["score"]
    try:
        # a bool is an int to Python, and verl-omni's client refuses it, too
        if not isinstance(score, bool) and isinstance(score, int | float) and math.isfinite(score):
            return float(score)
    except OverflowError:
        pass  # an integer that no float holds
    raise NotAnswered("scorer", f"answered the score {shorten(score)}; it has to be a number")
