"""The hierarchy of genres: which genre is a part of which other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from genre.data.spelling import comparison_key
from genre.errors import UserError


@dataclass(frozen=True)
class GenreTree:
    """The parent of each genre that has one.

    The roots are level 1, their children level 2, and so on. The parents have no cycle (``checked``).

    Args:
        parents: genre -> its parent.
    """

    parents: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def checked(cls, parents: Mapping[str, str], source: Path) -> "GenreTree":
        """The tree of some parents.

        Args:
            source: the table that they are from.

        Raises:
            UserError: if a genre is its own ancestor, whatever the spelling.
        """
        keys = {comparison_key(genre): comparison_key(parent) for genre, parent in parents.items()}
        for genre in keys:
            seen = [genre]
            while (parent := keys.get(seen[-1])) is not None:
                if parent in seen:
                    cycle = " < ".join([*seen, parent])
                    raise UserError(f"{source} makes {parent} a part of itself ({cycle}); correct a parent")
                seen.append(parent)
        return cls(dict(parents))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All genres of the tree, sorted."""
        return tuple(sorted({*self.parents, *self.parents.values()}))

    def renamed(self, names: Mapping[str, str]) -> "GenreTree":
        """The tree under other names of its genres; two that get one name become one.

        Args:
            names: of all genres of the tree.
        """
        pairs = ((names[genre], names[parent]) for genre, parent in self.parents.items())
        return GenreTree({genre: parent for genre, parent in pairs if genre != parent})

    def lineage(self, genre: str) -> tuple[str, ...]:
        """The ancestors of a genre and itself, the root first: ('Electronic', 'House', 'Deep House')."""
        path = [genre]
        while (parent := self.parents.get(path[-1])) is not None:
            path.append(parent)
        return tuple(reversed(path))

    def at_level(self, genre: str, level: int) -> str:
        """The ancestor of a genre at a level; the genre itself if it is not below it."""
        return self.lineage(genre)[:level][-1]

    def depth(self, genres: tuple[str, ...]) -> int:
        """Number of levels that some genres have."""
        return max((len(self.lineage(genre)) for genre in genres), default=0)
