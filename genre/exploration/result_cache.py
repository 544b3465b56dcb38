"""Cache of small results per track, written as soon as they are computed, so that an interrupted run resumes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genre.data.catalogue import Track
from genre.data.sources import file_identity
from genre.errors import UserError
from genre.files import note_use, write_json


def cached_result(
    folder: Path, track: Track, settings: Mapping[str, Any], compute: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Return results of a track by name; compute and cache those that are missing.

    Args:
        folder: one file per track.
        settings: what the results depend on besides the track's file (path, size, modification time, slice).
        compute: name -> function that computes a JSON value.

    Raises:
        UserError: if the folder cannot be written to.
    """
    text = json.dumps([file_identity(track), settings], sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    results = read_cached(path)
    note_use(folder)
    missing = [name for name in compute if name not in results]
    if missing:
        results |= {name: compute[name]() for name in missing}
        try:
            write_json(path, results, durable=False)
        except OSError as error:
            reason = f"cannot write to {folder} ({error.strerror})"
            raise UserError(f"{reason}; set data.cache to a writable folder with free space") from None
    return {name: results[name] for name in compute}


def read_cached(path: Path) -> dict[str, Any]:
    """Return the results in a file; empty if there is no file or it is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
