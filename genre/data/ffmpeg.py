"""Decode what libsndfile does not read (m4a, aac, wma, …) through the program ``ffmpeg``, where it is installed."""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from genre.data.catalogue import OTHER_AUDIO_SUFFIXES
from genre.errors import BadAudio, SkipKind

MISSING = "needs FFmpeg, which is not installed; install it (apt install ffmpeg, brew install ffmpeg)"
HEADER_BYTES = 24  # of Sun's AU, which FFmpeg writes: magic, offset of the samples, size, encoding, rate, channels
FIRST_BYTES = 16
DECODED_BEYOND = 1.0  # seconds behind a slice: FFmpeg counts from the file's first time, which may not be 0
SIGNATURES = (  # offset and first bytes of containers that libsndfile does not read
    (4, b"ftyp"), (0, b"\x30\x26\xb2\x75"), (0, b"\x1aE\xdf\xa3"), (0, b"\xff\xf1"), (0, b"\xff\xf9"), (0, b"MAC "),
    (0, b"wvpk"), (0, b"TTA1"), (0, b"DSD "), (0, b"FRM8"), (0, b"MPCK"), (0, b"MP+"), (0, b"#!AMR"), (0, b"\x0bw"),
)  # fmt: skip


def ffmpeg_program() -> str | None:
    """The path of the program ``ffmpeg``; None if it is not installed."""
    return shutil.which("ffmpeg")


def needs_ffmpeg(path: Path) -> bool:
    """Return whether a file is of a format that libsndfile does not read, by its name or its first bytes."""
    if path.suffix.lower() in OTHER_AUDIO_SUFFIXES:
        return True
    with path.open("rb") as file:
        first = file.read(FIRST_BYTES)
    return any(first[offset:].startswith(mark) for offset, mark in SIGNATURES)


@contextmanager
def ffmpeg_blocks(
    path: Path, start: float, duration: float | None, size: int
) -> Iterator[tuple[int, Iterator[npt.NDArray[np.float32]]]]:
    """Decode the first audio stream of a file.

    Args:
        path: of an existing file.
        start: of the slice, in seconds.
        duration: of the slice, in seconds; None reads to the end.
        size: of a block, in samples over all channels.

    Returns:
        The sample rate in Hz, and blocks (samples, channels) float32.

    Raises:
        BadAudio: if FFmpeg is not installed, or cannot decode the file; after the last block, if it is truncated.
    """
    program = ffmpeg_program()
    if program is None:
        raise BadAudio(SkipKind.OTHER_FORMAT, f"{path.suffix.lower()} {MISSING}")
    source = ["-protocol_whitelist", "file", "-i", f"file:{path}"]  # a list of addresses is not followed
    length = [] if duration is None else ["-t", f"{start + duration + DECODED_BEYOND}"]
    result = [*length, "-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
    with tempfile.TemporaryFile() as messages:
        command = [program, "-v", "error", "-nostdin", *source, *result]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, stdin=subprocess.DEVNULL) as process:
            try:
                assert process.stdout is not None
                rate, channels = read_header(process.stdout, messages)
                count = None if duration is None else round(duration * rate)
                yield rate, part_of_blocks(read_blocks(process, channels, size, messages), round(start * rate), count)
            finally:
                process.kill()


def read_header(stream: IO[bytes], messages: IO[bytes]) -> tuple[int, int]:
    """Read to the first sample; return sample rate and channels."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise undecodable(messages)
    offset, _, _, rate, channels = struct.unpack(">5I", header[4:])
    stream.read(offset - HEADER_BYTES)
    return rate, channels


def read_blocks(
    process: "subprocess.Popen[bytes]", channels: int, size: int, messages: IO[bytes]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks (samples, channels) to the end of the stream; then check that FFmpeg has read the whole file."""
    assert process.stdout is not None
    frame = 4 * channels
    while content := process.stdout.read(size // channels * frame):
        whole = content[: len(content) // frame * frame]
        yield np.frombuffer(whole, ">f4").astype(np.float32).reshape(-1, channels)
    messages.seek(0)
    if b"partial file" in messages.read():
        raise BadAudio(SkipKind.TRUNCATED, "truncated")
    if process.wait():
        raise undecodable(messages)


def part_of_blocks(
    blocks: Iterator[npt.NDArray[np.float32]], begin: int, count: int | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Cut blocks (samples, channels) to a part of the samples; FFmpeg's own seeking is up to a frame of AAC wrong."""
    end = None if count is None else begin + count
    place = 0
    for block in blocks:
        part = block[max(0, begin - place) : None if end is None else max(0, end - place)]
        place += len(block)
        if len(part):
            yield part
        if end is not None and place >= end:
            return


def undecodable(messages: IO[bytes]) -> BadAudio:
    """The error of a file that FFmpeg cannot decode, with the last of its messages."""
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    reason = lines[-1].rsplit(": ", 1)[-1].strip() if lines else "no music"
    return BadAudio(SkipKind.UNREADABLE, f"unreadable: {reason}")
