"""Whisper's encoder and greedy decoding by CTranslate2; the NLL stays with torch.

CTranslate2's own `align` is not a substitute: its softmax leaves out the end token.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ctranslate2
import numpy as np
import torch
from torch import Tensor

from ttsrl.errors import BadInput, reason_of
from ttsrl.models.files import folder_digest
from ttsrl.scorers.whisper.forcing import Forcing
from ttsrl.scorers.whisper.log_mel import LogMel
from ttsrl.scorers.whisper.network import Network
from ttsrl.scorers.whisper.reading import GrowingTranscript, Reading, ReadingJob
from ttsrl.storage.atomic import new_folder

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    from ttsrl.scorers.whisper.tokens import WhisperTokens


CONVERSION_VERSION = 2
"""Raise it whenever `_convert` writes something else: users' caches then get new folders."""


class WhisperCTranslate2:
    """The same readings as `WhisperTorch`'s, in float32 on a CPU and float16 on a GPU."""

    def __init__(
        self,
        folder: Path,
        model: WhisperForConditionalGeneration,
        tokens: WhisperTokens,
        features: WhisperFeatureExtractor,
        batch_size: int,
    ) -> None:
        self.tokens = tokens
        self.batch_size = batch_size
        self.network = Network(model, encoder=False)  # CTranslate2 has its own
        self.forcing = Forcing(self.network, tokens)
        self.log_mel = LogMel(features, torch.device("cpu"))
        device = self.network.device
        self.whisper = ctranslate2.models.Whisper(
            str(_converted(folder, tokens)),
            device=device.type,
            device_index=device.index or 0,
            compute_type="float16" if device.type == "cuda" else "float32",
            intra_threads=torch.get_num_threads(),
        )

    @torch.inference_mode()
    def read(self, jobs: Sequence[ReadingJob]) -> Iterator[tuple[int, Reading]]:
        """See `ttsrl.scorers.whisper.reading.ReadingEngine`."""
        order = sorted(range(len(jobs)), key=lambda n: (len(jobs[n].target), jobs[n].target))
        for first in range(0, len(order), self.batch_size):
            indices = order[first : first + self.batch_size]
            yield from self._read(indices, [jobs[n] for n in indices])

    def warm_up(self) -> None:
        """Nothing is slower the first time."""

    def _read(self, indices: list[int], jobs: list[ReadingJob]) -> Iterator[tuple[int, Reading]]:
        mel_BMF = self.log_mel([job.waveform for job in jobs])
        states = self.whisper.encode(_view(mel_BMF), to_cpu=True)
        states_BSD = torch.from_numpy(np.array(states, dtype=np.float32)).to(self.network.device)
        audio = self.network.new_cache(len(jobs), self.network.positions)
        self.network.project(states_BSD, audio)
        prompts = self.forcing.prompts([job.prompt for job in jobs], audio)
        others = [job.target_prompt or p for job, p in zip(jobs, prompts, strict=True)]
        targets = [job.target for job in jobs]
        forced = self.forcing.force(others, targets, audio)
        rows = [
            GrowingTranscript(n, prompt, target, self.tokens.max_new(len(prompt)))
            for n, prompt, target in zip(indices, prompts, targets, strict=True)
        ]
        known = forced.rows(list(self.tokens.languages))
        for row, other, (nll, best, opening) in zip(rows, others, known, strict=True):
            row.nll, row.opening = nll, opening
            if other == row.prompt:
                row.take(row.reference, best[: max(1, len(row.reference))], self.tokens.end)
        unknown = [k for k, row in enumerate(rows) if not row.done]
        if unknown:
            decoded = self._greedy(states_BSD[unknown], [prompts[k] for k in unknown])
            for k, written in zip(unknown, decoded, strict=True):
                rows[k].written = written
        self._force_again(rows, jobs, others, audio)
        yield from ((row.index, row.reading()) for row in rows)

    def _force_again(
        self,
        rows: Sequence[GrowingTranscript],
        jobs: Sequence[ReadingJob],
        prompts: Sequence[list[int]],
        audio: Tensor,
    ) -> None:
        """The likelihood of the texts that are spelled otherwise now that the transcripts are
        known."""
        targets = [job.final_target(row.written) for row, job in zip(rows, jobs, strict=True)]
        places = [k for k, job in enumerate(jobs) if targets[k] != job.target]
        if not places:
            return
        forced = self.forcing.force(
            [prompts[k] for k in places], [targets[k] for k in places], audio[places]
        )
        for k, nll in zip(places, forced.nll_B.tolist(), strict=True):
            rows[k].nll = nll

    def _greedy(self, states_BSD: Tensor, prompts_B: Sequence[list[int]]) -> list[list[int]]:
        """Greedy continuation of each prompt, all of one length, without the end token."""
        results = self.whisper.generate(
            _view(states_BSD),
            list(prompts_B),
            beam_size=1,
            # It writes at most half of max_length.
            max_length=2 * self.tokens.max_new(len(prompts_B[0])),
            suppress_blank=bool(self.tokens.never_first),
            suppress_tokens=self.tokens.never,
        )
        return [result.sequences_ids[0] for result in results]


def _view(tensor: Tensor) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(tensor.float().cpu().numpy()))


def _converted(folder: Path, tokens: WhisperTokens) -> Path:
    """The CTranslate2 form of a Hugging Face folder, made once and kept in the user's cache.

    A model.bin that lies in the folder too is not taken: it may be of other weights.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ttsrl/ctranslate2"
    converted = cache / f"{CONVERSION_VERSION}-{folder_digest(folder)}"
    if not converted.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with new_folder(converted) as scratch:
                _convert(folder, scratch, tokens)
        except OSError:
            if not converted.is_dir():  # else another process was first
                raise
    return converted


def _convert(folder: Path, target: Path, tokens: WhisperTokens) -> None:
    converter = ctranslate2.converters.TransformersConverter(str(folder))
    try:
        converter.convert(str(target), force=True)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise BadInput(
            f"CTranslate2 does not convert the Whisper at {folder}: {reason_of(error)}; use "
            "reward.whisper.engine 'torch', or another copy of the model"
        ) from error
    # Where transformers finds no tokenizer, it makes one up, and CTranslate2 would take its ids.
    (target / "vocabulary.json").write_text(json.dumps(tokens.in_order()))
