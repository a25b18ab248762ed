"""What this project calls of ctranslate2, which declares no types."""

from typing import Any

from numpy.typing import NDArray

from . import converters as converters
from . import models as models

class StorageView:
    @classmethod
    def from_array(cls, array: NDArray[Any]) -> StorageView: ...
    def __array__(self) -> NDArray[Any]: ...
