"""Every kind of audio file is read whole, or refused with what is wrong with it."""

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.audio_files import FFMPEG, RATE_HZ, SNDFILE, audio_file
from ttsrl.audio.io import Segment, duration_of, read_channels, read_mono, read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

KINDS = [*SNDFILE, *FFMPEG]
NEVER_CUT = {"live.webm"}
"""Kinds that say nothing of their length."""


@pytest.fixture(scope="module")
def speech() -> Waveform:
    """Whole steps of 16 bits."""
    return np.round(voice(3.0, RATE_HZ) * 32768) / np.float32(32768)


@pytest.fixture(scope="module")
def files(speech: Waveform) -> dict[str, bytes]:
    """Each kind, of the same speech."""
    return {
        name: audio_file(name, *((speech[::2], 8_000) if "gsm" in name else (speech, RATE_HZ)))
        for name in KINDS
    }


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_read_whole_from_a_file_and_from_its_contents(
    name: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "named.bin"  # what it is called does not matter
    path.write_bytes(files[name])
    samples, rate_hz = read_recording(path)
    assert len(samples) / rate_hz == pytest.approx(3.0, abs=0.13)
    assert duration_of(path) == pytest.approx(len(samples) / rate_hz, abs=0.03)
    np.testing.assert_array_equal(samples, read_recording(files[name])[0])
    assert 0.2 < np.abs(samples).max() < 1.2


@pytest.mark.parametrize("name", [name for name, kind in SNDFILE.items() if "PCM_16" in kind])
def test_samples_are_those_that_were_written(
    name: str, files: dict[str, bytes], speech: Waveform
) -> None:
    samples, _ = read_recording(files[name])
    np.testing.assert_array_equal(samples, speech)


@pytest.mark.parametrize("share", [0.3, 0.52, 0.97])
@pytest.mark.parametrize("name", [name for name in KINDS if name not in NEVER_CUT])
def test_a_file_that_is_cut_short_is_refused(
    name: str, share: float, files: dict[str, bytes]
) -> None:
    whole = files[name]
    with pytest.raises(BadInput, match=r"cut short|damaged"):
        read_recording(whole[: int(share * len(whole))])


def test_an_mp3_without_a_header_that_ends_between_frames_is_all_that_can_be_known(
    files: dict[str, bytes],
) -> None:
    """A whole number of frames of 24 kbit/s at 16 kHz: 108 bytes each."""
    samples, rate_hz = read_recording(files["bare.mp3"][: 40 * 108])
    assert len(samples) / rate_hz == pytest.approx(40 * 576 / RATE_HZ, abs=0.05)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_that_was_written_into_a_pipe_is_whole_at_any_length(
    length: int, files: dict[str, bytes]
) -> None:
    whole = files["pcm.wav"]
    streamed = whole[:40] + struct.pack("<I", length) + whole[44:-2000]
    samples, _ = read_recording(streamed)
    np.testing.assert_array_equal(samples, read_recording(whole)[0][:-1000])


def test_a_flac_of_unknown_length_is_read_to_its_end(files: dict[str, bytes]) -> None:
    whole = bytearray(files["x.flac"])
    whole[21] &= 0xF0
    whole[22:26] = bytes(4)
    np.testing.assert_array_equal(
        read_recording(bytes(whole))[0], read_recording(files["x.flac"])[0]
    )
    assert duration_of(bytes(whole)) == pytest.approx(3.0)
    with pytest.raises(BadInput, match="cut short"):
        read_recording(bytes(whole[: len(whole) // 2]))


@pytest.mark.parametrize("name", ["x.flac", "vorbis.ogg", "x.opus"])
def test_a_changed_byte_is_noticed_where_there_are_checksums(
    name: str, files: dict[str, bytes]
) -> None:
    for at in np.linspace(len(files[name]) // 5, len(files[name]) - 1, 20, dtype=int):
        damaged = bytearray(files[name])
        damaged[at] ^= 0x10
        with pytest.raises(BadInput, match=r"damaged|cut short"):
            read_recording(bytes(damaged))


def test_tags_before_and_after_an_mp3_are_not_speech(files: dict[str, bytes]) -> None:
    tag, end = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128), b"TAG" + bytes(125)
    plain = files["xing.mp3"]
    np.testing.assert_array_equal(read_recording(tag + plain + end)[0], read_recording(plain)[0])
    assert duration_of(tag + bytes(500) + plain) == pytest.approx(3.0, abs=0.15)
    with pytest.raises(BadInput, match="cut short"):
        read_recording(tag + bytes(500) + plain[:-40])


@pytest.mark.parametrize(
    "name", ["pcm.wav", "x.flac", "xing.mp3", "vorbis.ogg", "gsm.wav", "x.m4a"]
)
def test_a_segment_is_that_part_of_the_whole(name: str, files: dict[str, bytes]) -> None:
    whole, rate_hz = read_recording(files[name])
    segment = Segment(1.25, 0.5)
    part, _ = read_recording(files[name], segment)
    expected = whole[round(1.25 * rate_hz) : round(1.75 * rate_hz)]
    np.testing.assert_allclose(part, expected, atol=1e-6)
    assert duration_of(files[name], segment) == pytest.approx(0.5)
    rest, _ = read_recording(files[name], Segment(2.0))
    np.testing.assert_allclose(rest, whole[2 * rate_hz :], atol=1e-6)


def test_a_segment_outside_the_recording_is_refused(files: dict[str, bytes]) -> None:
    for segment in (Segment(2.0, 2.0), Segment(3.5), Segment(0.0, 9.0)):
        for name in ("pcm.wav", "x.aac"):
            with pytest.raises(BadInput, match=r"segment from .* is not in .* lasts 3\.[01]"):
                read_recording(files[name], segment)
    with pytest.raises(BadInput, match="offset is -1"):
        Segment(-1.0)
    assert len(read_recording(files["pcm.wav"], Segment(2.5, 0.505))[0]) == RATE_HZ // 2


def test_no_more_is_decoded_than_is_wanted(files: dict[str, bytes]) -> None:
    for name in ("pcm.wav", "x.aac", "x.m4a", "live.webm", "bare.mp3"):
        with pytest.raises(BadInput, match="at most 1 s"):
            read_recording(files[name], longest_s=1.0)
    assert len(read_recording(files["pcm.wav"], Segment(0.5, 1.0), longest_s=1.0)[0]) == RATE_HZ


def test_a_small_file_cannot_fill_the_memory() -> None:
    """Silence of 8 channels at 192 kHz: little FLAC, 6 MB of samples per second."""
    buffer = io.BytesIO()
    silence = np.zeros((20 * 192_000, 8), np.int16)
    soundfile.write(buffer, silence, 192_000, format="FLAC", subtype="PCM_16")
    bomb = buffer.getvalue()
    assert len(bomb) < 200_000
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"the audio has 20\.0 s; give at most 5 s"):
        read_recording(bomb, longest_s=5.0)
    claimed = bytearray(bomb)
    claimed[21] &= 0xF0  # no length in the header
    claimed[22:26] = bytes(4)
    with pytest.raises(BadInput, match=r"the audio has more; give at most 5 s"):
        read_recording(bytes(claimed), longest_s=5.0)
    samples, _ = read_recording(bomb)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 4 * samples.nbytes  # not 8 times


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"<html>404</html>", "it begins with b'<html>40'"),
        (b"RIFF\x04\0\0\0WAVE", "names no samples"),
        ("résumé".encode("utf-16"), "damaged"),
        (b"#EXTM3U\nhttp://127.0.0.1/a.mp3\n", "it begins with b'#EXTM3U"),
    ],
)
def test_what_is_not_audio_is_refused(content: bytes, said: str) -> None:
    for read in (duration_of, read_channels):
        with pytest.raises(BadInput, match="not audio, or is damaged") as refused:
            read(content)
        assert said in str(refused.value)
        assert "give WAV, FLAC" in str(refused.value)


def written(samples: np.ndarray, rate_hz: int = RATE_HZ, subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype=subtype)
    return buffer.getvalue()


def test_samples_that_are_not_numbers_or_not_scaled_are_refused(speech: Waveform) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(BadInput, match="not numbers"):
            read_recording(written(np.append(speech, value)))
    with pytest.raises(BadInput, match=r"reach 9\d{3}.*, where 1 is full scale"):
        read_recording(written(speech * 32768))
    loud = read_recording(written(speech * 4))[0]
    assert np.abs(loud).max() > 1  # nothing is clipped


def test_rates_and_channels_that_no_recording_has_are_refused(speech: Waveform) -> None:
    for rate_hz in (100, 2_000_000):
        with pytest.raises(BadInput, match=f"{rate_hz} samples per second"):
            read_recording(written(speech, rate_hz))
    with pytest.raises(BadInput, match="100 channels"):
        read_recording(written(np.zeros((500, 100))))


def test_a_file_that_cannot_be_opened_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read_recording(tmp_path / "gone.wav")
    with pytest.raises(BadInput, match="no such file"):
        read_recording(tmp_path)


def test_nothing_is_resampled_that_is_too_short(speech: Waveform) -> None:
    with pytest.raises(BadInput, match="0 samples"):
        read_mono(written(speech[:0]), RATE_HZ)
    with pytest.raises(BadInput, match="31 samples"):
        read_mono(written(speech[:31]), 24_000)
