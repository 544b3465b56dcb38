"""Ballroom (Gouyon et al. 2006): 698 excerpts of dance music in eight dances, and which of them are copies."""

from collections.abc import Mapping
from pathlib import Path

from genre.data.catalogue import (
    Catalogue,
    Skipped,
    Track,
    audio_files,
    build_catalogue,
    existing_folder,
    opened_table,
    printable_name,
    visible_folders,
)
from genre.data.unpack import Collection
from genre.data.web import WebArchive, install_from_web
from genre.errors import SkipKind, SkipReason, UserError
from genre.ranges import checked

DANCES = {
    "chachacha": "ChaChaCha", "jive": "Jive", "quickstep": "Quickstep", "rumba-american": "Rumba",
    "rumba-international": "Rumba", "rumba-misc": "Rumba", "rumba": "Rumba", "samba": "Samba", "tango": "Tango",
    "viennesewaltz": "VienneseWaltz", "waltz": "Waltz",
}  # fmt: skip  # folder, in small letters -> dance
LISTED = "allBallroomFiles"
CHECKSUM = "md5:2872a3e52070bc342a4510a95e2fa0b8"  # as the README of github.com/CPJKU/BallroomAnnotations states it
ARCHIVE = WebArchive("https://mtg.upf.edu/ismir2004/contest/tempoContest/data1.tar.gz", CHECKSUM, 1_500_000_000)
UNPACKED_BYTES = 2_000_000_000  # at most
COPIES: Mapping[str, str] = {  # Sturm 2014, as the README of github.com/CPJKU/BallroomAnnotations lists them
    "Albums-Chrisanne2-12": "Albums-AnaBelen_Veneo-11",  # the first four are equal to the last sample,
    "Albums-Fire-09": "Albums-Fire-08",  # this pair in two dances
    "Albums-Latin_Jam2-13": "Albums-Latin_Jam2-05",
    "Media-104705": "Albums-Secret_Garden-01",
    "Albums-AnaBelen_Veneo-15": "Albums-AnaBelen_Veneo-03",
    "Albums-Ballroom_Magic-18": "Albums-Ballroom_Magic-03",
    "Albums-Latin_Jam-13": "Albums-Latin_Jam-04",
    "Albums-Latin_Jam-14": "Albums-Latin_Jam-08",
    "Albums-Latin_Jam-15": "Albums-Latin_Jam-06",
    "Albums-Latin_Jam2-14": "Albums-Latin_Jam2-02",
    "Albums-Latin_Jam2-15": "Albums-Latin_Jam2-07",
    "Media-103414": "Albums-Latin_Jam3-02",
    "Media-103415": "Media-103402",
}


@checked
def read_ballroom(root: str | Path, download: bool = False) -> Catalogue:
    """Read Ballroom without the second of each of its 13 pairs of copies; a track is named by its file.

    The three folders of rumbas are one dance. ``extra`` has the album in the names of files ('Albums-Latin_Jam-06').

    Args:
        root: the folder with the folders of the dances, or that above it (BallroomData).
        download: True to fetch the archive to ``root``/BallroomData if there is no folder of a dance.

    Raises:
        UserError: if there is no folder of a dance with audio, or the archive cannot be fetched.
    """
    place = Path(root).expanduser()
    if download and find_layout(place) is None:
        install_from_web(ARCHIVE, Collection("Ballroom", place / "BallroomData", find_layout, UNPACKED_BYTES))
    base = existing_folder(root, "data.root")
    folder = find_layout(base) or base
    tracks: dict[str, Track] = {}
    skipped = folders_of_no_dance(folder)
    for place, dance in folders_of_dances(folder).items():
        files, others = audio_files(place)
        skipped += others
        for file in files:
            name = printable_name(file.stem)
            tracks[name] = Track(name, (dance,), file, extra={"album": album_of(name)})
    if not tracks:
        raise UserError(
            f"no Ballroom at {root}: data.root must contain the folders ChaChaCha, Jive, … with audio; "
            "data.download=true fetches it (1.5 GB)"
        )
    skipped += missing_files(folder / LISTED, tracks)
    copies = {
        name: SkipReason(SkipKind.COPY, f"the same recording as {other}")
        for name, other in COPIES.items()
        if {name, other} <= tracks.keys()
    }
    return build_catalogue(tracks.values(), skipped).without(copies)


def find_layout(tree: Path) -> Path | None:
    """The folder with the folders of the dances: BallroomData in a tree, or the tree itself."""
    return next((folder for folder in (tree / "BallroomData", tree) if folders_of_dances(folder)), None)


def folders_of_dances(folder: Path) -> dict[Path, str]:
    """The folders of dances directly below a folder -> their dance."""
    if not folder.is_dir():
        return {}
    return {each: DANCES[each.name.lower()] for each in visible_folders(folder) if each.name.lower() in DANCES}


def folders_of_no_dance(folder: Path) -> list[Skipped]:
    """The folders beside those of the dances that hold audio, as skipped."""
    reason = "not a folder of Ballroom's dances"
    others = (each for each in visible_folders(folder) if each.name.lower() not in DANCES)
    return [Skipped(str(each), SkipKind.OUTSIDE_GENRES, reason) for each in others if audio_files(each)[0]]


def album_of(name: str) -> str:
    """'Albums-Latin_Jam-06' -> 'Latin_Jam'; empty for other names."""
    kind, _, rest = name.partition("-")
    return rest.rpartition("-")[0] if kind == "Albums" else ""


def missing_files(path: Path, tracks: Mapping[str, Track]) -> list[Skipped]:
    """The files that Ballroom's own list has and the folders do not, as skipped; none if there is no list."""
    if not path.is_file():
        return []
    with opened_table(path) as file:
        listed = [line.strip().replace("\\", "/") for line in file if line.strip()]
    missing = (entry for entry in listed if entry.rpartition("/")[2].rpartition(".")[0] not in tracks)
    return [Skipped(entry, SkipKind.NO_SUCH_FILE, f"listed in {path.name}, but not there") for entry in missing]
