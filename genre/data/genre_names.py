"""From the genres in tags, as people write them, to one name per genre.

The synonyms are in genre_names.csv: ``genre`` as tags have it, in any spelling, and ``as``, its name; empty for what
names no genre ('Other', which taggers write by default).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

from genre.data.catalogue import read_table, split_genres
from genre.data.spelling import normalized
from genre.errors import UserError

SEPARATORS = (re.compile(r"[;|\0]"), re.compile(r"[/,]"))  # of several genres in one value; the certain ones first
AND = re.compile(r"[&+]")

Names = Mapping[str, tuple[str, ...]]  # key of a genre -> its names; none if it is left out


@lru_cache(10_000)
def genre_key(genre: str) -> str:
    """The same text for spellings that differ in letter case, spaces, hyphens or other punctuation: 'hiphop', 'randb'.

    Marks stay: in some scripts they are vowels.
    """
    text = AND.sub("and", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", genre).casefold()))
    return "".join(character for character in text if unicodedata.category(character)[0] in "LNM")


def usual_names() -> Names:
    """The synonyms that come with the program."""
    with resources.as_file(resources.files("genre.data").joinpath("genre_names.csv")) as path:
        return read_names(path)


def read_names(path: Path) -> Names:
    """Read a CSV of ``genre`` and ``as``, which is one name, several separated by ';', or empty.

    Raises:
        UserError: if it cannot be read, or two of its rows contradict each other.
    """
    names: dict[str, tuple[str, ...]] = {}
    for row in read_table(path, ("genre", "as")):
        key, given = genre_key(row["genre"]), split_genres(row["as"])
        if names.setdefault(key, given) != given:
            raise UserError(f"{path} gives {row['genre']} two names: '{row['as']}' and '{';'.join(names[key])}'")
    return names


class GenreNames:
    """Names the genres in tags.

    Args:
        own: names that go before the usual ones.
    """

    def __init__(self, own: Names | None = None) -> None:
        self.own, self.usual = own or {}, usual_names()

    def names(self, values: Iterable[str]) -> tuple[str, ...]:
        """The genres in the values of a tag, each once; those that no table lists in lower case.

        A value that is listed is one genre ('Hip-Hop/Rap'). Others are several where they hold ';', '|', '/' or ','.
        """
        return tuple(dict.fromkeys(name for value in values for name in self.split(value, SEPARATORS)))

    def split(self, value: str, separators: tuple[re.Pattern[str], ...]) -> Iterator[str]:
        """Yield the genres in a value that may have the given separators."""
        if (known := self.listed(value)) is not None:
            yield from known
        elif separators:
            first, *others = separators
            for part in first.split(value):
                yield from self.split(part, tuple(others))
        elif genre_key(value):
            yield normalized(value).lower()

    def listed(self, value: str) -> tuple[str, ...] | None:
        """The names that the tables have for a value; None if it is in neither."""
        key = genre_key(value)
        if key in self.own or key not in self.usual:
            return self.own.get(key)
        return tuple(name for usual in self.usual[key] for name in self.own.get(genre_key(usual), (usual,)))


def shown_spellings(genres: Iterable[str]) -> dict[str, str]:
    """Genre -> the most frequent of its spellings, of equally frequent ones the first sorted.

    Args:
        genres: one per use.
    """
    spellings: dict[str, Counter[str]] = {}
    for genre, count in Counter(genres).items():
        spellings.setdefault(genre_key(genre), Counter())[genre] = count
    shown = {key: min(each, key=lambda text: (-each[text], text)) for key, each in spellings.items()}
    return {genre: shown[key] for key, each in spellings.items() for genre in each}
