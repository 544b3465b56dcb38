"""What is known of GTZAN (Tzanetakis & Cook 2002): its genres, the layouts that circulate, its fault-filtered lists."""

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from genre.data.catalogue import (
    Catalogue,
    Skipped,
    Track,
    annotate,
    build_catalogue,
    printable_name,
    rejection_reason,
    walk_files,
)
from genre.data.download import Archive, fetch
from genre.errors import UserError

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
LAYOUTS = (".", "genres", "genres_original", "Data/genres_original", "gtzan/genres")


def read_gtzan(
    root: str | Path,
    catalogue: str | Path | None = None,
    download: bool = False,
    urls: str | Sequence[str] = (),
    archive_bytes: int = 0,
    sha256: str | None = None,
    unpacked_bytes: int = 0,
    timeout: float = 30.0,
) -> Catalogue:
    """GTZAN in any layout that circulates, .wav or .au; a track is named like 'blues.00000'.

    jazz.00054 is truncated in most copies: like every unreadable file it is left out, with the reason, when the music
    is decoded.

    Args:
        root: the folder with the genre folders, or one of those above it.
        catalogue: a CSV (``track``, ``artist``, …) that selects and annotates the tracks.
        download: whether to fetch GTZAN where it is not there yet, to ``root/genres``.
        urls, archive_bytes, sha256, unpacked_bytes, timeout: what is fetched, as ``data.download.Archive`` has it.

    Raises:
        UserError: if there is no GTZAN, with the ways on.
    """
    place = Path(root).expanduser()
    if not isinstance(download, bool):
        raise UserError(f"data.download={download} must be true or false")
    if download and genre_folder(place) is None:
        addresses = (urls,) if isinstance(urls, str) else tuple(urls or ())
        fetch(Archive(addresses, archive_bytes, sha256, unpacked_bytes, timeout), place / "genres", genre_folder)
    folder = genre_folder(place)
    if folder is None:
        raise UserError(missing_message(root))
    tracks, skipped = [], []
    for genre in (name for name in GENRES if (folder / name).is_dir()):
        for file in walk_files(folder / genre):
            if reason := rejection_reason(file):
                skipped.append(Skipped(str(file), *reason))
            else:
                tracks.append(Track(printable_name(file.stem), (genre,), file))
    found = build_catalogue(tracks, skipped)
    return annotate(found, catalogue) if catalogue else found


def genre_folder(root: Path) -> Path | None:
    """The first known layout below ``root`` in which a genre folder holds audio."""
    for layout in LAYOUTS:
        for genre in GENRES:
            folder = root / layout / genre
            if folder.is_dir() and any(not rejection_reason(file) for file in walk_files(folder)):
                return root / layout
    return None


def missing_message(root: str | Path) -> str:
    """What to do where GTZAN is not."""
    return (
        f"no GTZAN at {root} (looked for its genre folders there and in {', '.join(LAYOUTS[1:])}): set data.root or "
        "GENRE_GTZAN to its folder, data.download=true to fetch it (1.2 GB), data=folder data.root=… for music of your "
        "own, or data=synthetic to try without"
    )


def fault_filtered() -> dict[str, str]:
    """Track -> train, val or test, as in the fault-filtered lists of Kereliuk, Sturm and Larsen (2015): 443/197/290."""
    with files("genre.data").joinpath("fault_filtered.csv").open(encoding="utf-8") as file:
        return {row["track"]: row["split"] for row in csv.DictReader(file)}
