"""Pairs -> one page that works without a network, and the clips that training will want."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ttsrl.audio.io import flac_uri
from ttsrl.errors import BadInput
from ttsrl.prefer.clips import Pair
from ttsrl.records.listening import ASKED, ComparedPairs, ListeningPair
from ttsrl.records.record import to_text
from ttsrl.storage.atomic import replace_text

PAGE, CLIPS = "prefer.html", "clips"


def write_page(pairs: Sequence[Pair], folder: Path, title: str) -> Path:
    """Write `prefer.html`, which is all that a listener needs, `pairs.json` and `clips/`.

    Returns the page. Nothing on it tells which clip comes from where. Raises BadInput for a folder
    that has a page already: answers belong to its pairs.
    """
    page = folder / PAGE
    if page.exists():
        raise BadInput(f"{page} is there already; give another --out, or remove it")
    (folder / CLIPS).mkdir(parents=True, exist_ok=True)
    for clip in {clip.id: clip for pair in pairs for clip in (pair.a, pair.b)}.values():
        file = folder / CLIPS / f"{clip.id}.flac"
        soundfile.write(str(file), clip.waveform, clip.sample_rate_hz, subtype="PCM_16")
    listed = [ListeningPair(id=p.id, a=p.a.id, b=p.b.id, text=p.a.text) for p in pairs]
    replace_text(folder / ASKED, to_text(ComparedPairs(page=page_id(pairs), pairs=listed)))
    replace_text(page, _render(pairs, title))
    return page


def page_id(pairs: Sequence[Pair]) -> str:
    """The page's name, which every answer carries."""
    return hashlib.sha256(" ".join(pair.id for pair in pairs).encode()).hexdigest()[:12]


def _render(pairs: Sequence[Pair], title: str) -> str:
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined
    )
    shown = [
        {
            "id": pair.id,
            "text": pair.a.text,
            "a": pair.a.id,
            "b": pair.b.id,
            "a_audio": flac_uri(pair.a.waveform, pair.a.sample_rate_hz),
            "b_audio": flac_uri(pair.b.waveform, pair.b.sample_rate_hz),
        }
        for pair in pairs
    ]
    # In a script a text may not end it.
    data = json.dumps({"id": page_id(pairs), "pairs": shown}).replace("<", "\\u003c")
    return environment.get_template("page.html").render(
        title=title,
        css=Markup((here / "page.css").read_text(encoding="utf-8")),
        js=Markup((here / "page.js").read_text(encoding="utf-8")),
        pairs=Markup(data),
    )
