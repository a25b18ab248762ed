"""codec/words.json: the speech tokens of each word, so that nobody needs flite to say it right."""

from __future__ import annotations

import functools
import json

from examples.tiny.domain import HERE
from examples.tiny.speech import policy_recordings, silence
from ttsrl.codecs.tiny import TinyCodec

PATH = HERE / "codec" / "words.json"
PAUSE = "<pause>"


def write_word_tokens() -> None:
    """Encode the policy's recordings and a short silence with the codec."""
    codec = TinyCodec.load(str(PATH.parent))
    sounds = {PAUSE: silence(), **policy_recordings()}
    rows = [f'  "{word}": {json.dumps(codec.encode([sound])[0])}' for word, sound in sounds.items()]
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    word_tokens.cache_clear()


@functools.cache
def word_tokens() -> dict[str, list[int]]:
    """Speech tokens of each word, and of PAUSE."""
    return json.loads(PATH.read_text())


def say(words: list[str]) -> list[int]:
    """Speech tokens of the words said right, then a pause."""
    return [token for word in [*words, PAUSE] for token in word_tokens()[word]]
