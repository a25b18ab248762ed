"""Runs in a pod: asks the reward service for scores as the trainer does, and says what came of it.

`touch /tmp/calm` leaves one utterance at a time, `touch /tmp/stop` ends it. Its log is one line of
JSON. Some utterances come again and again: every replica has to give them the same scores.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import httpx

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.load import load_run
from ttsrl.wire import Failed, Ok, Outcome, ScoreRequest, ServiceSpec, Utterance

CALM, STOP, STARTED = Path("/tmp/calm"), Path("/tmp/stop"), Path("/tmp/started")
KNOWN = 8
SECONDS_OF_SPEECH = 1.5


def utterance(spec: ServiceSpec, seed: str) -> Utterance:
    random = Random(seed)
    count = int(SECONDS_OF_SPEECH * spec.tokens_per_s)
    tokens = [random.randrange(spec.codebook_size) for _ in range(count)]
    return Utterance(text="three blue robots", speech_tokens=tokens)


def differ(one: Outcome, other: Outcome) -> bool:
    """Whether two scores of one utterance are more apart than float32 explains."""
    if isinstance(one, Ok) and isinstance(other, Ok):
        return abs(one.reward - other.reward) > 1e-5
    return one != other


async def main(at_once: int) -> None:
    run = load_run("/etc/ttsrl/run.json")
    outcomes, wrong, asked_once = Counter[str](), 0, Counter[str]()
    async with RewardClient.of(run.reward) as client:
        spec = await client.wait_ready(timeout_s=120)
        known = [utterance(spec, f"known {n}") for n in range(KNOWN)]
        scores = await client.score(known)

        async def ask(number: int) -> None:
            nonlocal wrong
            turn = 0
            while not STOP.exists():
                if number and CALM.exists():
                    await asyncio.sleep(0.2)
                    continue
                turn += 1
                again = turn % 10 == 0
                which = (number + turn) % KNOWN
                asked = known[which] if again else utterance(spec, f"{number} {turn}")
                [outcome] = await client.score([asked])
                failed = isinstance(outcome, Failed)
                outcomes[f"failed: {outcome.kind}" if failed else "scored"] += 1
                wrong += again and not failed and differ(outcome, scores[which])

        async def ask_once() -> None:
            """As somebody who never asks again: what a client repeats would be seen here."""
            token = Path(run.reward.token_file or "").read_text().strip()
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            body = ScoreRequest(utterances=known[:1]).model_dump_json()
            while not STOP.exists():
                async with httpx.AsyncClient(timeout=120) as http:
                    url = f"{run.reward.url}/v1/score"
                    try:
                        answer = await http.post(url, content=body, headers=headers)
                        asked_once[str(answer.status_code)] += 1
                    except httpx.HTTPError as error:
                        asked_once[repr(error)] += 1
                await asyncio.sleep(0.05)

        STARTED.touch()
        await asyncio.gather(ask_once(), *(ask(number) for number in range(at_once)))
    print(json.dumps({"outcomes": outcomes, "wrong": wrong, "asked_once": asked_once}), flush=True)


asyncio.run(main(int(sys.argv[1])))
