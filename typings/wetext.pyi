"""What this project calls of wetext, which declares no types."""

from typing import Literal

class Normalizer:
    def __init__(
        self,
        *,
        lang: str,
        operator: Literal["tn", "itn"],
        traditional_to_simple: bool = False,
        remove_erhua: bool = False,
    ) -> None: ...
    def normalize(self, text: str) -> str: ...
