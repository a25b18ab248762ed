from collections.abc import Sequence

from . import StorageView

class WhisperGenerationResult:
    sequences_ids: list[list[int]]

class Whisper:
    def __init__(
        self,
        model_path: str,
        device: str = "cpu",
        *,
        device_index: int = 0,
        compute_type: str = "default",
        intra_threads: int = 0,
    ) -> None: ...
    def encode(self, features: StorageView, to_cpu: bool = False) -> StorageView: ...
    def generate(
        self,
        features: StorageView,
        prompts: list[list[int]],
        *,
        beam_size: int = 5,
        max_length: int = 448,
        suppress_blank: bool = True,
        suppress_tokens: Sequence[int] | None = None,
    ) -> list[WhisperGenerationResult]: ...
