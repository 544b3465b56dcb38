"""Small results of single tracks, kept as soon as they are computed: an interrupted run goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genre.data.catalogue import Track
from genre.data.sources import file_identity
from genre.errors import UserError
from genre.files import write_json


def cached_result(
    folder: Path, track: Track, settings: Mapping[str, Any], compute: Mapping[str, Callable[[], Any]]
) -> dict[str, Any]:
    """What is known of a track by name; only what is not known yet is computed, and then kept.

    Args:
        folder: of all tracks' results, a file each.
        settings: what the results depend on beside the track's file (its place, size, time of change, slice).
        compute: name -> how to compute it; the result must be JSON.

    Raises:
        UserError: if the folder cannot be written to.
    """
    text = json.dumps([file_identity(track), settings], sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    known = read_cached(path)
    missing = [name for name in compute if name not in known]
    if missing:
        known |= {name: compute[name]() for name in missing}
        try:
            write_json(path, known)
        except OSError as error:
            reason = f"cannot write to {folder} ({error.strerror})"
            raise UserError(f"{reason}; set data.cache to a folder with room") from None
    return {name: known[name] for name in compute}


def read_cached(path: Path) -> dict[str, Any]:
    """The results in a file; none where there is no file, or nothing sensible in it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
