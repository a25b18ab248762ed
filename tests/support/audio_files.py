"""Audio files of every kind that is read, written by libsndfile and FFmpeg."""

import io
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from ttsrl.audio.waveform import Waveform

RATE_HZ = 16_000

SNDFILE = {
    "pcm.wav": ("WAV", "PCM_16"),
    "u8.wav": ("WAV", "PCM_U8"),
    "24.wav": ("WAV", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "double.wav": ("WAV", "DOUBLE"),
    "ulaw.wav": ("WAV", "ULAW"),
    "ima.wav": ("WAV", "IMA_ADPCM"),
    "g721.wav": ("WAV", "G721_32"),
    "gsm.wav": ("WAV", "GSM610"),
    "x.wav": ("WAVEX", "PCM_16"),
    "rf64.wav": ("RF64", "PCM_16"),
    "x.w64": ("W64", "PCM_16"),
    "x.aiff": ("AIFF", "PCM_16"),
    "x.au": ("AU", "PCM_16"),
    "x.caf": ("CAF", "PCM_16"),
    "x.sph": ("NIST", "PCM_16"),
    "x.flac": ("FLAC", "PCM_16"),
    "vorbis.ogg": ("OGG", "VORBIS"),
    "x.opus": ("OGG", "OPUS"),
    "xing.mp3": ("MP3", "MPEG_LAYER_III"),
}
FFMPEG: dict[str, tuple[str, str, dict[str, str], int]] = {
    "x.m4a": ("ipod", "aac", {}, RATE_HZ),
    "fast.m4a": ("ipod", "aac", {"movflags": "+faststart"}, RATE_HZ),
    "fragments.mp4": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}, RATE_HZ),
    "x.aac": ("adts", "aac", {}, RATE_HZ),
    "x.webm": ("webm", "libopus", {}, 48_000),
    "live.webm": ("webm", "libopus", {"live": "1"}, 48_000),
    "bare.mp3": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}, RATE_HZ),
    "tagged.mp3": ("mp3", "libmp3lame", {}, RATE_HZ),
    "x.amr": ("amr", "libopencore_amrnb", {}, 8_000),
}


def audio_file(name: str, samples: Waveform, rate_hz: int = RATE_HZ) -> bytes:
    """The contents of a file of one of the kinds above, with these samples [T]."""
    if name in SNDFILE:
        buffer = io.BytesIO()
        kind, subtype = SNDFILE[name]
        soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
        return buffer.getvalue()
    kind, codec, options, out_hz = FFMPEG[name]
    with (
        tempfile.NamedTemporaryFile() as file,  # FFmpeg opens it twice to write an index first
        av.open(file.name, "w", format=kind, options=options) as container,
    ):
        stream: Any = container.add_stream(codec, rate=out_hz, layout="mono")
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format or "fltp",
            layout="mono",
            rate=out_hz,
            frame_size=context.frame_size or None,
        )
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[None], np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = rate_hz
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            for packet in stream.encode(part):
                container.mux(packet)
        container.close()
        return Path(file.name).read_bytes()
