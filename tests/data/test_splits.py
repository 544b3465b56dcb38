"""Every track is in one subset, genres keep their shares, groups stay together; only the split's seed moves them."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.datasets import gtzan as torchaudio_gtzan

from genre.data.catalogue import Catalogue, Track, build_catalogue, read_logmel
from genre.data.splits import Split, merge_groups
from genre.errors import SkipKind, UserError

TORCHAUDIO = {
    "train": set(torchaudio_gtzan.filtered_train),
    "val": set(torchaudio_gtzan.filtered_valid),
    "test": set(torchaudio_gtzan.filtered_test),
}


def catalogue_of(counts: dict[str, int], artists: int = 0) -> Catalogue:
    """Tracks named like 'jazz.00000', whose artists take turns in their genre."""
    tracks = []
    for genre, count in counts.items():
        for index in range(count):
            artist = f"{genre} artist {index % artists}" if artists else ""
            tracks.append(Track(f"{genre}.{index:05d}", (genre,), artist=artist))
    return Catalogue(tuple(tracks))


def names_by_subset(subsets: dict[str, str]) -> dict[str, set[str]]:
    names = defaultdict(set)
    for name, subset in subsets.items():
        names[subset].add(name)
    return dict(names)


def counts_by_subset(subsets: dict[str, str]) -> dict[str, Counter[str]]:
    """Number of tracks per genre, from their names alone."""
    return {subset: Counter(name.split(".")[0] for name in names) for subset, names in names_by_subset(subsets).items()}


def subsets_of_artists(catalogue: Catalogue, subsets: dict[str, str]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for track in catalogue.tracks:
        found[track.artist].add(subsets[track.name])
    return dict(found)


@pytest.fixture
def gtzan() -> Catalogue:
    """The names of all 1,000 tracks of GTZAN."""
    return catalogue_of(dict.fromkeys(torchaudio_gtzan.gtzan_genres, 100))


@pytest.fixture
def table(tmp_path):
    """Write a CSV of held-out tracks and return its path."""

    def write(text: str) -> str:
        (tmp_path / "held_out.csv").write_text(text)
        return str(tmp_path / "held_out.csv")

    return write


@pytest.mark.parametrize("seed", range(3))
def test_random_is_70_10_20_percent_of_each_of_gtzans_genres(gtzan, seed):
    subsets = Split(seed=seed).assign(gtzan)[1]
    assert counts_by_subset(subsets) == {
        "train": dict.fromkeys(torchaudio_gtzan.gtzan_genres, 70),
        "val": dict.fromkeys(torchaudio_gtzan.gtzan_genres, 10),
        "test": dict.fromkeys(torchaudio_gtzan.gtzan_genres, 20),
    }


@pytest.mark.parametrize("seed", range(3))
def test_genres_of_any_size_are_within_one_track_of_their_shares(seed):
    sizes = {"blues": 101, "disco": 87, "jazz": 43, "pop": 16, "rock": 11}
    counts = counts_by_subset(Split(seed=seed).assign(catalogue_of(sizes))[1])
    for genre, size in sizes.items():
        assert [counts[subset][genre] for subset in ("train", "val", "test")] == [
            pytest.approx(0.7 * size, abs=1),
            pytest.approx(0.1 * size, abs=1),
            pytest.approx(0.2 * size, abs=1),
        ]


@pytest.mark.parametrize("kind", ["random", "artist"])
def test_every_track_is_in_one_subset(kind):
    catalogue = catalogue_of({"jazz": 37, "rock": 52}, artists=9)
    result, subsets = Split(kind).assign(catalogue)
    assert set(subsets) == {track.name for track in catalogue.tracks}
    assert set(subsets.values()) == {"train", "val", "test"}
    assert result == catalogue


def test_three_tracks_per_genre_give_each_subset_one():
    subsets = Split().assign(catalogue_of({"jazz": 3, "rock": 3}))[1]
    assert counts_by_subset(subsets) == {key: Counter(jazz=1, rock=1) for key in ("train", "val", "test")}


@pytest.mark.parametrize("kind", ["random", "artist"])
def test_two_tracks_of_a_genre_are_too_few(kind):
    with pytest.raises(UserError, match="genre rock has 2"):
        Split(kind).assign(catalogue_of({"jazz": 9, "rock": 2}, artists=9))


def test_one_genre_alone_is_refused():
    with pytest.raises(UserError, match=r"only one genre \(jazz\) has usable tracks"):
        Split().assign(catalogue_of({"jazz": 9}))


@pytest.mark.parametrize(
    ("split", "val", "test"),
    [
        (Split(), "jazz.12 jazz.14 rock.13 rock.16", "jazz.07 jazz.15 jazz.16 jazz.19 rock.01 rock.11 rock.12 rock.19"),
        (
            Split(seed=1),
            "jazz.10 jazz.18 rock.12 rock.17",
            "jazz.02 jazz.04 jazz.05 jazz.13 rock.04 rock.10 rock.15 rock.18",
        ),
        (
            Split("artist"),
            "jazz.03 jazz.09 jazz.15 rock.02 rock.08 rock.14",
            "jazz.04 jazz.10 jazz.16 rock.05 rock.11 rock.17",
        ),
    ],
)
def test_a_seed_gives_the_same_tracks_in_every_version(split, val, test):
    """Drawn with the first version: results of later ones are comparable only if no track moves."""
    names = names_by_subset(split.assign(catalogue_of({"jazz": 20, "rock": 20}, artists=6))[1])
    assert names["val"] == {name.replace(".", ".000") for name in val.split()}
    assert names["test"] == {name.replace(".", ".000") for name in test.split()}


def test_the_order_of_the_catalogue_does_not_matter():
    catalogue = catalogue_of({"jazz": 30, "rock": 30})
    assert Split(seed=1).assign(catalogue)[1] == Split(seed=1).assign(Catalogue(catalogue.tracks[::-1]))[1]


@pytest.mark.parametrize("seed", range(5))
def test_each_artist_is_in_one_subset(seed):
    catalogue = catalogue_of({"jazz": 100, "rock": 90}, artists=12)
    subsets = Split("artist", seed=seed).assign(catalogue)[1]
    found = subsets_of_artists(catalogue, subsets)
    assert len(found) == 24 and all(len(own) == 1 for own in found.values())
    largest = 9  # tracks of an artist
    counts = counts_by_subset(subsets)
    for subset, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert counts[subset]["jazz"] == pytest.approx(share * 100, abs=largest)
        assert counts[subset]["rock"] == pytest.approx(share * 90, abs=largest)


def test_tracks_without_an_artist_are_groups_of_their_own():
    one, *others = catalogue_of({"jazz": 100, "rock": 100}).tracks
    catalogue = Catalogue((replace(one, artist="Known"), *others))
    split = Split("artist")
    subsets = split.assign(catalogue)[1]
    assert counts_by_subset(subsets)["test"] == {"jazz": 20, "rock": 20}
    assert split.description(catalogue) == "artist (seed 0, 199 of 200 tracks without artist)"


@pytest.mark.parametrize("step", ["check", "assign"])
def test_a_split_by_artist_without_any_artist_is_refused(step):
    with pytest.raises(UserError, match="split=artist needs artists, but none of the 18 tracks has one"):
        getattr(Split("artist"), step)(catalogue_of({"jazz": 9, "rock": 9}))


def test_an_artist_with_two_genres_is_in_one_subset():
    both = tuple(Track(f"x.{n}", (genre,), artist="Both") for n, genre in enumerate(("jazz", "rock")))
    subsets = Split("artist").assign(Catalogue(catalogue_of({"jazz": 20, "rock": 20}).tracks + both))[1]
    assert subsets["x.0"] == subsets["x.1"]


def test_chains_of_duplicates_become_one_group_with_the_smallest_name():
    groups = {"a": "A", "b": "B", "c": "C", "d": "D", "e": "D", "f": "F"}
    duplicates = [["b", "c"], ["f", "e"], ["c", "a", "absent"], ["absent", "f"], []]
    assert merge_groups(groups, duplicates) == {"a": "A", "b": "A", "c": "A", "d": "D", "e": "D", "f": "D"}
    assert merge_groups(groups, []) == groups


def test_duplicates_are_in_one_subset_only_if_asked():
    catalogue = catalogue_of({"jazz": 40, "rock": 40})
    pairs = [(f"jazz.{n:05d}", f"rock.{n:05d}") for n in range(20)]
    together = Split(group_duplicates=True).assign(catalogue, pairs)[1]
    assert all(together[one] == together[other] for one, other in pairs)
    assert set(counts_by_subset(together)) == {"train", "val", "test"}
    assert Split().assign(catalogue, pairs)[1] == Split().assign(catalogue)[1]


def test_fault_filtered_has_torchaudios_subsets_of_all_of_gtzan(gtzan):
    catalogue, subsets = Split("fault_filtered").assign(gtzan)
    assert names_by_subset(subsets) == TORCHAUDIO
    assert {subset: len(names) for subset, names in names_by_subset(subsets).items()} == {
        "train": 443,
        "val": 197,
        "test": 290,
    }
    assert {track.name for track in catalogue.tracks} == set.union(*TORCHAUDIO.values())
    skipped = {item.path: item.kind for item in catalogue.skipped}
    assert skipped.keys() == {track.name for track in gtzan.tracks} - set.union(*TORCHAUDIO.values())
    assert len(skipped) == 70 and set(skipped.values()) == {SkipKind.NOT_IN_SPLIT}


def test_fault_filtered_without_the_truncated_track_trains_on_442(gtzan):
    readable = Catalogue(tuple(track for track in gtzan.tracks if track.name != "jazz.00054"))
    subsets = Split("fault_filtered").assign(readable)[1]
    assert Counter(subsets.values()) == {"train": 442, "val": 197, "test": 290}


def test_fault_filtered_of_the_archive_has_no_test_tracks(shared):
    archive = read_logmel(shared / "gtzan_logmel_dev.npz")
    names = {track.name for track in archive.tracks}
    catalogue, subsets = Split("fault_filtered").assign(archive)
    assert names_by_subset(subsets) == {"train": TORCHAUDIO["train"] - {"jazz.00054"}, "val": TORCHAUDIO["val"]}
    assert {item.path for item in catalogue.skipped} == names - TORCHAUDIO["train"] - TORCHAUDIO["val"]


def test_held_out_tracks_replace_the_test_tracks_of_fault_filtered(gtzan, table):
    catalogue, subsets = Split("fault_filtered", hold_out=table("track\nblues.00029\n")).assign(gtzan)
    assert "blues.00029" in TORCHAUDIO["train"]
    assert names_by_subset(subsets) == {
        "train": TORCHAUDIO["train"] - {"blues.00029"},
        "val": TORCHAUDIO["val"],
        "test": {"blues.00029"},
    }
    reasons = {item.path: item.reason for item in catalogue.skipped}
    assert all("split.hold_out is the test subset" in reasons[name] for name in TORCHAUDIO["test"])


def test_the_column_split_takes_the_catalogues_subsets():
    values = ["train", "Training", "valid", "val", "test", ""]
    catalogue = Catalogue(tuple(Track(f"t{n}", ("ab"[n % 2],), split=value) for n, value in enumerate(values)))
    catalogue, subsets = Split("column").assign(catalogue)
    assert subsets == {"t0": "train", "t1": "train", "t2": "val", "t3": "val", "t4": "test"}
    assert [(item.path, item.kind) for item in catalogue.skipped] == [("t5", SkipKind.NOT_IN_SPLIT)]


def test_what_the_column_holds_is_checked_before_the_music_is_decoded():
    with pytest.raises(UserError, match="needs a catalogue with a column split"):
        Split("column").check(catalogue_of({"jazz": 9}))


def test_held_out_genres_take_the_catalogues_spelling(table):
    held_out = table("track,genres\njazz.00000,JAZZ; Rock\n")
    catalogue = Split(hold_out=held_out).assign(catalogue_of({"jazz": 9, "rock": 9}))[0]
    assert catalogue.tracks[0].genres == ("jazz", "rock")


def test_held_out_genres_that_name_none_are_a_user_error(table):
    with pytest.raises(UserError, match=r"the genres of jazz.00000 in .*held_out.csv are ';'"):
        Split(hold_out=table("track,genres\njazz.00000,;\n")).check(catalogue_of({"jazz": 9, "rock": 9}))


def test_a_fold_of_the_column_split_is_one_of_several_official_splits():
    sides = [("train", "test"), ("validation", "train"), ("test", "validation"), ("train", "")]
    tracks = [Track(f"{n}", ("rock",), extra={"split_0": a, "split_1": b}) for n, (a, b) in enumerate(sides)]
    catalogue = build_catalogue(tracks)
    assert Split("column", fold=0).assign(catalogue)[1] == {"0": "train", "1": "val", "2": "test", "3": "train"}
    rest, subsets = Split("column", fold=1).assign(catalogue)
    assert subsets == {"0": "test", "1": "train", "2": "val"}
    assert [item.reason for item in rest.skipped] == ["in none of the lists of split=column"]
    assert Split("column", fold=1).description(catalogue) == "column (seed 0, fold 1)"


@pytest.mark.parametrize("options", [{"folds": 5, "fold": 0}, {"folds": 5}])
def test_the_column_split_has_no_drawn_folds(options):
    with pytest.raises(ValueError, match=r"split\.folds"):
        Split("column", **options)


def test_an_unknown_value_in_the_column_is_a_user_error():
    with pytest.raises(UserError, match="t0 has split 'practice'"):
        Split("column").assign(Catalogue((Track("t0", ("a",), split="practice"),)))


def test_lists_without_training_tracks_are_a_user_error():
    with pytest.raises(UserError, match="split=column leaves no track to train on"):
        Split("column").assign(Catalogue((Track("t0", ("a",), split="test"),)))


def test_held_out_tracks_are_the_test_subset_with_the_genres_of_their_table(table):
    held_out = table("track,genres\njazz.00000,jazz;rock\nrock.00003,rock;pop\nrock.00004,\nabsent,pop\n")
    catalogue, subsets = Split(hold_out=held_out).assign(catalogue_of({"jazz": 81, "rock": 82}))
    assert {track.name: track.genres for track in catalogue.tracks if subsets[track.name] == "test"} == {
        "jazz.00000": ("jazz", "rock"),
        "rock.00003": ("rock", "pop"),
        "rock.00004": ("rock",),
    }
    counts = counts_by_subset(subsets)  # 7 : 1 of the other 80 tracks of each genre
    assert (counts["train"], counts["val"]) == ({"jazz": 70, "rock": 70}, {"jazz": 10, "rock": 10})


def test_other_tracks_of_a_held_out_artist_are_skipped(table):
    catalogue = catalogue_of({"jazz": 50, "rock": 50}, artists=10)
    result, subsets = Split("artist", hold_out=table("track\njazz.00000\n")).assign(catalogue)
    assert names_by_subset(subsets)["test"] == {"jazz.00000"}
    assert [(item.path, item.kind, item.reason) for item in result.skipped] == [
        (f"jazz.000{number}0", SkipKind.HELD_OUT, "by an artist of the held-out tracks") for number in range(1, 5)
    ]
    assert len(subsets) == 96


def test_a_table_without_a_track_of_the_catalogue_is_a_user_error(table):
    with pytest.raises(UserError, match="lists none of the catalogue's 40 tracks"):
        Split(hold_out=table("track\nabsent\n")).assign(catalogue_of({"jazz": 20, "rock": 20}))


def test_all_92_real_tracks_of_two_genres_are_held_out(shared):
    split = Split(hold_out=str(shared / "gtzan_two_genres.csv"))
    catalogue, subsets = split.assign(read_logmel(shared / "gtzan_logmel_dev.npz"))
    tested = [track for track in catalogue.tracks if subsets[track.name] == "test"]
    assert len(tested) == 92
    assert all(len(track.genres) == 2 for track in tested)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'random', 'artist', 'fault_filtered' or 'column'"):
        Split(kind="segments")


def folds_of(catalogue: Catalogue, folds: int, **options) -> list[dict[str, str]]:
    return [Split("artist", folds=folds, fold=fold, **options).assign(catalogue)[1] for fold in range(folds)]


def test_every_track_is_tested_in_one_fold_and_no_artist_is_in_two_subsets():
    catalogue = catalogue_of({"jazz": 100, "rock": 90}, artists=20)
    folds = folds_of(catalogue, 5)
    tested = Counter(name for subsets in folds for name, subset in subsets.items() if subset == "test")
    assert tested == {track.name: 1 for track in catalogue.tracks}
    for subsets in folds:
        assert all(len(own) == 1 for own in subsets_of_artists(catalogue, subsets).values())
        assert set(subsets) == {track.name for track in catalogue.tracks}


def test_folds_are_of_equal_size_within_an_artist_and_the_rest_keeps_the_shares_of_train_and_val():
    catalogue = catalogue_of({"jazz": 100, "rock": 100}, artists=20)  # five tracks per artist
    for subsets in folds_of(catalogue, 5):
        for genre in ("jazz", "rock"):
            counts = [counts_by_subset(subsets)[subset][genre] for subset in ("train", "val", "test")]
            assert counts == [pytest.approx(70, abs=5), pytest.approx(10, abs=5), pytest.approx(20, abs=5)]


def test_folds_keep_recordings_together_without_being_asked():
    catalogue = catalogue_of({"jazz": 20, "rock": 20})
    same = [["jazz.00000", "jazz.00001", "rock.00003"], ["rock.00005", "rock.00006"]]
    for fold in range(5):
        subsets = Split(folds=5, fold=fold).assign(catalogue, same)[1]
        assert all(len({subsets[name] for name in names}) == 1 for names in same)


def test_the_seed_draws_the_folds():
    catalogue = catalogue_of({"jazz": 40, "rock": 40}, artists=20)
    assert folds_of(catalogue, 4) == folds_of(catalogue, 4)
    assert folds_of(catalogue, 4) != folds_of(catalogue, 4, seed=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"val_share": 0.0}, {"train": 80, "test": 20}),
        ({"test_share": 0.0}, {"train": 90, "val": 10}),
        ({"val_share": 0.0, "test_share": 0.0}, {"train": 100}),
        ({"val_share": 0.25, "test_share": 0.25}, {"train": 50, "val": 25, "test": 25}),
        ({"val_share": 0.0, "folds": 4, "fold": 3}, {"train": 75, "test": 25}),
    ],
)
def test_shares_can_be_chosen(options, expected):
    subsets = Split(**options).assign(catalogue_of({"jazz": 100, "rock": 100}))[1]
    assert counts_by_subset(subsets) == {subset: Counter(jazz=n, rock=n) for subset, n in expected.items()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 5}, "split.folds and split.fold go together"),
        ({"fold": 0}, "split.folds and split.fold go together"),
        ({"folds": 5, "fold": 5}, "split.fold=5 must be a number from 0 to 4"),
        ({"folds": 1, "fold": 0}, "folds"),
        ({"kind": "column", "folds": 5, "fold": 0}, "split.folds needs split=random or split=artist"),
        ({"hold_out": "two.csv", "folds": 5, "fold": 0}, "without split.hold_out"),
        ({"kind": "column", "among": "fault_filtered"}, "split.among=fault_filtered needs split=random"),
        ({"val_share": 0.5, "test_share": 0.5}, "leave nothing to train on"),
    ],
)
def test_folds_and_shares_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Split(**options)


@pytest.mark.parametrize("options", [{}, {"folds": 5, "fold": 0}], ids=["shares", "folds"])
def test_a_draw_among_the_fault_filtered_lists_leaves_their_test_tracks_out(gtzan, options):
    catalogue, subsets = Split(among="fault_filtered", **options).assign(gtzan)
    assert set(subsets) == TORCHAUDIO["train"] | TORCHAUDIO["val"]
    assert len(subsets) == len(catalogue.tracks) == 640
    assert {item.kind for item in catalogue.skipped} == {SkipKind.NOT_IN_SPLIT}


def test_more_folds_than_any_genre_has_tracks_are_refused():
    with pytest.raises(UserError, match="no genre has 5 tracks, one per fold"):
        Split(folds=5, fold=0).assign(catalogue_of({"jazz": 4, "rock": 4}))


def kept_tracks(split: Split, catalogue: Catalogue, duplicates=()) -> set[str]:
    """The training tracks that train_share does not leave out."""
    catalogue, subsets = split.assign(catalogue, duplicates)
    left_out = split.left_out(catalogue, subsets, split.group_tracks(catalogue, duplicates))
    assert {subsets[name] for name in left_out} <= {"train"}
    return names_by_subset(subsets)["train"] - left_out.keys()


@st.composite
def catalogues_of_several_genres(draw) -> Catalogue:
    """Genres of any size, artists of any size, some of them in two genres, some tracks with a second genre."""
    genres = ["blues", "jazz", "pop", "rock"][: draw(st.integers(2, 4))]
    tracks = []
    for genre in genres:
        artists = [f"{genre} artist {number}" for number in range(draw(st.integers(8, 12)))] + ["everybody"]
        for index in range(draw(st.integers(12, 40))):
            second = draw(st.sampled_from([(), (), (genres[0],)]))
            both = tuple(dict.fromkeys((genre, *second)))
            tracks.append(Track(f"{genre}.{index:05d}", both, artist=artists[index % len(artists)]))
    return Catalogue(tuple(tracks))


@settings(max_examples=20, deadline=None)
@given(
    catalogue=catalogues_of_several_genres(),
    shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=4),
    options=st.sampled_from([{}, {"folds": 3, "fold": 1}, {"kind": "artist"}, {"kind": "artist", "seed": 4}]),
)
def test_smaller_shares_are_parts_of_larger_ones_with_whole_groups_of_every_genre(catalogue, shares, options):
    whole = Split(**options)
    training = kept_tracks(whole, catalogue)
    groups = whole.group_tracks(catalogue, ())
    larger = training
    genres = {track.name: track.genres for track in catalogue.tracks}
    for share in sorted(shares, reverse=True):
        kept = kept_tracks(replace(whole, train_share=share), catalogue)
        assert kept <= larger
        assert not {groups[name] for name in kept} & {groups[name] for name in training - kept}
        assert {g for name in kept for g in genres[name]} == {g for name in training for g in genres[name]}
        larger = kept


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("options", [{}, {"folds": 5, "fold": 2}])
def test_a_share_has_that_part_of_the_training_tracks_of_each_genre(share, options):
    catalogue = catalogue_of({"jazz": 100, "pop": 16, "rock": 61})
    subsets = Split(**options).assign(catalogue)[1]
    kept = Counter(name.split(".")[0] for name in kept_tracks(Split(**options, train_share=share), catalogue))
    for genre, count in counts_by_subset(subsets)["train"].items():
        assert kept[genre] == pytest.approx(max(share * count, 1), abs=0.5)


def test_a_share_of_artists_is_within_an_artist_of_the_part_of_each_genre():
    catalogue = catalogue_of({"jazz": 100, "rock": 100}, artists=25)  # four tracks per artist
    kept = Counter(name.split(".")[0] for name in kept_tracks(Split("artist", train_share=0.5), catalogue))
    assert kept == {"jazz": pytest.approx(35, abs=4), "rock": pytest.approx(35, abs=4)}


def test_copies_of_a_recording_are_left_out_together():
    catalogue = catalogue_of({"jazz": 40, "rock": 40})
    same = [[f"jazz.{n:05d}", f"jazz.{n + 20:05d}"] for n in range(20)]
    kept = kept_tracks(Split(folds=4, fold=0, train_share=0.5), catalogue, same)
    assert 0 < len([name for name in kept if "jazz" in name]) < 20
    assert all((one in kept) == (other in kept) for one, other in same)


def test_the_seed_of_the_split_draws_the_share(gtzan):
    one, other = (kept_tracks(Split("fault_filtered", seed=seed, train_share=0.5), gtzan) for seed in (0, 1))
    assert one == kept_tracks(Split("fault_filtered", train_share=0.5), gtzan) != other


def test_the_share_is_named_where_the_split_is(gtzan):
    assert Split(train_share=0.125).description(gtzan) == "random (seed 0, 0.125 of the training tracks)"
