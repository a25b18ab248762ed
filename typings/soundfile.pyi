"""What this project calls of soundfile, which declares no types."""

from os import PathLike
from types import TracebackType
from typing import BinaryIO, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

_File = str | PathLike[str] | BinaryIO

class SoundFileError(Exception): ...

class LibsndfileError(SoundFileError):
    code: int

class _SoundFileInfo:
    samplerate: int
    channels: int
    frames: int
    duration: float
    format: str
    subtype: str

class SoundFile:
    samplerate: int
    channels: int
    frames: int
    format: str
    subtype: str
    def __init__(self, file: _File, mode: Literal["r", "w"] = "r") -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def seekable(self) -> bool: ...
    def seek(self, frames: int) -> int: ...
    def read(self, *, out: NDArray[np.float32]) -> NDArray[np.float32]: ...

@overload
def read(
    file: _File, frames: int = -1, *, dtype: Literal["float64"] = "float64", always_2d: bool = False
) -> tuple[NDArray[np.float64], int]: ...
@overload
def read(
    file: _File, frames: int = -1, *, dtype: Literal["float32"], always_2d: bool = False
) -> tuple[NDArray[np.float32], int]: ...
def write(
    file: _File,
    data: ArrayLike,
    samplerate: int,
    subtype: str | None = None,
    *,
    format: str | None = None,
) -> None: ...
def info(file: _File) -> _SoundFileInfo: ...
