"""The hierarchy of genres: read from a table, checked, and kept under merged spellings."""

from pathlib import Path

import pytest

from genre.data.catalogue import read_csv
from genre.data.genre_tree import GenreTree
from genre.errors import UserError

TREE = GenreTree({"House": "Electronic", "Deep House": "House", "Punk": "Rock"})


def test_a_lineage_begins_with_the_root():
    assert TREE.lineage("Deep House") == ("Electronic", "House", "Deep House")
    assert TREE.lineage("Jazz") == ("Jazz",)


@pytest.mark.parametrize(
    ("genre", "level", "expected"),
    [("Deep House", 1, "Electronic"), ("Deep House", 2, "House"), ("Deep House", 9, "Deep House"), ("Rock", 2, "Rock")],
)
def test_a_genre_has_an_ancestor_at_each_level_above_its_own(genre, level, expected):
    assert TREE.at_level(genre, level) == expected


def test_the_depth_is_the_number_of_levels():
    assert [TREE.depth(genres) for genres in [("Jazz", "Rock"), ("Jazz", "Punk"), ("Deep House",), ()]] == [1, 2, 3, 0]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def songs(folder: Path) -> Path:
    return write(folder / "songs.csv", "path,genres\n1.mp3,punk\n2.mp3,Punk\n3.mp3,Punk;Jazz\n")


def test_a_csv_can_have_a_table_of_parents_in_any_spelling(tmp_path):
    table = write(tmp_path / "tree.csv", "genre,parent\nPUNK,rock\nrock,\nJazz,\npunk,Rock\n")
    catalogue = read_csv(songs(tmp_path), genre_tree=table).with_merged_spellings()
    assert catalogue.genres == ["Jazz", "Punk"]
    assert catalogue.tree.lineage("Punk") == ("rock", "Punk")
    assert catalogue.spelled_like(["PUNK", "ROCK"]).tree.lineage("PUNK") == ("ROCK", "PUNK")


def test_without_a_table_no_genre_has_a_parent(tmp_path):
    assert read_csv(songs(tmp_path)).with_merged_spellings().tree == GenreTree()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("genre,parent\nPunk,Rock\nrock,PUNK\n", r"makes punk a part of itself \(punk < rock < punk\)"),
        ("genre,parent\nPunk,punk\n", "makes punk a part of itself"),
        ("genre,parent\nPunk,Rock\npunk,Jazz\n", "gives punk two parents, 'Rock' and 'Jazz'"),
        ("genre,up\nPunk,Rock\n", "has no column 'parent'"),
    ],
)
def test_a_table_that_is_no_tree_is_a_user_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_csv(songs(tmp_path), genre_tree=write(tmp_path / "tree.csv", text))
