"""GTZAN (Tzanetakis & Cook 2002): its genres, the layouts of its copies, its fault-filtered lists."""

import csv
from importlib import resources
from pathlib import Path

from genre.data.catalogue import (
    AUDIO_SUFFIXES,
    OTHER_AUDIO_SUFFIXES,
    REMEDIES,
    Catalogue,
    Skipped,
    Track,
    annotate,
    audio_files,
    build_catalogue,
    count_skipped,
    genre_files,
    loose_audio,
    printable_name,
    visible_folders,
    walk_files,
)
from genre.data.gtzan_archive import HubArchive, from_disk, from_hub
from genre.data.unpack import Collection, install_collection
from genre.errors import SkipKind, UserError
from genre.ranges import Count, checked

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
LAYOUTS = (".", "genres", "genres_original", "Data/genres_original", "gtzan/genres")


@checked
def read_gtzan(
    root: str | Path,
    catalogue: str | Path | None = None,
    download: bool = False,
    repository: str = "marsyas/gtzan",
    filename: str = "data/genres.tar.gz",
    revision: str = "main",
    archive: str | None = None,
    unpacked_bytes: Count = 2_000_000_000,
) -> Catalogue:
    """GTZAN in any of its usual layouts, .wav or .au; track names are like 'blues.00000'.

    jazz.00054 is truncated in most copies; like every unreadable file it is skipped when the music is decoded.

    Args:
        root: the folder with the genre folders, or one of those above it.
        catalogue: a CSV (``track``, ``artist``, …) that selects and annotates the tracks.
        download: True to fetch GTZAN to ``root/genres`` if ``root`` holds none.
        repository, filename, revision: of the archive on the Hugging Face Hub.
        archive: GTZAN's .tar.gz on disk, unpacked to ``root/genres`` if ``root`` holds no GTZAN.
        unpacked_bytes: upper limit for the size of the unpacked files, in bytes.

    Raises:
        UserError: if there is no GTZAN, or it cannot be fetched or unpacked.
    """
    base = Path(root).expanduser()
    if (download or archive) and genre_folder(base) is None:
        hub = HubArchive(repository, filename, revision)
        collection = Collection("GTZAN", base / "genres", genre_folder, unpacked_bytes, limit_key="data.unpacked_bytes")
        install_collection(collection, lambda: from_disk(archive) if archive else from_hub(hub))
    folder = genre_folder(base)
    if folder is None:
        raise UserError(missing_message(root))
    tracks, skipped = [], loose_audio(folder) + other_folders(folder)
    for genre in (name for name in GENRES if (folder / name).is_dir()):
        files, others = genre_files(folder / genre)
        tracks += [Track(printable_name(file.stem), (genre,), file) for file in files]
        skipped += others
    whole = build_catalogue(tracks, skipped)
    return annotate(whole, catalogue) if catalogue else whole


def genre_folder(root: Path) -> Path | None:
    """The folder of the first known layout below ``root`` whose genre folders hold audio, or None."""
    for layout in LAYOUTS:
        for genre in GENRES:
            folder = root / layout / genre
            if folder.is_dir() and audio_files(folder)[0]:
                return root / layout
    return None


def other_folders(folder: Path) -> list[Skipped]:
    """The folders beside those of GTZAN's genres that hold audio, as skipped."""
    reason = f"not a folder of GTZAN's genres; {REMEDIES[SkipKind.OTHER_FOLDER]}"
    others = (other for other in visible_folders(folder) if other.name not in GENRES)
    return [Skipped(str(other), SkipKind.OTHER_FOLDER, reason) for other in others if has_audio(other)]


def has_audio(folder: Path) -> bool:
    """True if any file below the folder is audio, read or not, by its name."""
    return any(file.suffix.lower() in AUDIO_SUFFIXES | OTHER_AUDIO_SUFFIXES for file in walk_files(folder))


def missing_message(root: str | Path) -> str:
    """The error message for a folder without GTZAN."""
    looked = f"looked for its genre folders there and in {', '.join(LAYOUTS[1:])}"
    return (
        f"no GTZAN at {root} ({looked}{found_instead(Path(root).expanduser())}): set data.root or "
        "GENRE_GTZAN to its folder, data.download=true to fetch it (1.2 GB), data.archive to its .tar.gz, data=folder "
        "data.root=… for your own music, or data=synthetic to try without data"
    )


def found_instead(root: Path) -> str:
    """'; found 6 in a format that is not read (…)': audio below a folder without GTZAN; empty if there is none."""
    if not root.is_dir():
        return ""
    layouts = (root / layout for layout in LAYOUTS if any((root / layout / genre).is_dir() for genre in GENRES))
    folder = next(layouts, root)
    genres = [folder / genre for genre in GENRES if (folder / genre).is_dir()]
    skipped = loose_audio(folder) + other_folders(folder) + [item for genre in genres for item in audio_files(genre)[1]]
    return f"; found {count_skipped(skipped)}" if skipped else ""


def fault_filtered() -> dict[str, str]:
    """Track -> train, val or test: the fault-filtered lists of Kereliuk, Sturm and Larsen (2015), 443/197/290."""
    with resources.files("genre.data").joinpath("fault_filtered.csv").open(encoding="utf-8") as file:
        return {row["track"]: row["split"] for row in csv.DictReader(file)}
