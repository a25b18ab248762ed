"""What is kept in storage for a tracker: its state, and the files of those that write files."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from ttsrl.records.record import parse
from ttsrl.records.tracking import Told, TrackerState
from ttsrl.storage.run_store import RunStore

STATE_EVERY_S = 1.0
FILES_EVERY_S = 60.0


class Kept:
    """Of one tracker of one run."""

    def __init__(self, store: RunStore, tracker: str, folder: Path, *, files: bool) -> None:
        """`files`: what the tracker writes into `folder` is kept, too."""
        self._storage = store.storage
        self._key = f"{store.trackers}/{tracker}"
        self._folder, self._files = folder, files
        self._sent: dict[Path, tuple[int, int]] = {}
        self._state_s = self._files_s = 0.0
        self._saved: Told | None = None

    def load(self) -> TrackerState:
        """The state that earlier starts left; a new one is saved before it is used.

        Files that another machine wrote come here where this one has none.
        """
        key = f"{self._key}/state.json"
        text = self._storage.read_text(key)
        if text is None:
            self.begin_anew(0)
        else:
            self.state = parse(TrackerState, text, self._storage.address(key))
            if self._files and not self._folder.exists():
                self._storage.read_files(f"{self._key}/files", self._folder)
        self._saved = self.state.told
        return self.state

    def begin_anew(self, rollbacks: int) -> None:
        """Another run of the tracker takes the place of the one before, after so many rollbacks."""
        self.state = TrackerState(id=secrets.token_hex(4), told=Told(), rollbacks=rollbacks)
        self._storage.write_text(f"{self._key}/state.json", self.state.model_dump_json())
        self._saved = self.state.told

    def save(self, told: Told, *, now: bool = False) -> None:
        """Keep what the tracker has, every so often or `now`."""
        clock = time.monotonic()
        if told != self._saved and (now or clock - self._state_s >= STATE_EVERY_S):
            self._state_s = clock
            state = self.state.model_copy(update={"told": told})
            self._storage.write_text(f"{self._key}/state.json", state.model_dump_json())
            self._saved = told
        if self._files and (now or clock - self._files_s >= FILES_EVERY_S):
            self._files_s = clock
            self._send_files()

    def _send_files(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            now = path.stat()
            version = now.st_size, now.st_mtime_ns
            if self._sent.get(path) != version:
                name = path.relative_to(self._folder).as_posix()
                self._storage.write_file(f"{self._key}/files/{name}", path)
                self._sent[path] = version
