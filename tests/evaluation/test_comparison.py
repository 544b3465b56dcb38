"""One table of many runs: seeds share a row, noise is no difference, and runs on other tracks are never ranked."""

import json

import numpy as np
import pytest
import scipy.stats
import yaml

import genre
from genre.errors import UserError
from genre.evaluation.comparison import is_tied
from genre.evaluation.comparison_figure import accuracies
from genre.evaluation.intervals import bootstrap_interval
from genre.evaluation.table_row import Difference, TableRow, mean_and_deviation
from helpers import csv_rows

TRACKS = [f"{name}.{index:05d}" for name in ("jazz", "rock") for index in range(100)]


@pytest.fixture
def made(tmp_path):
    """Write the folder of a run that is right about given tracks."""

    def write(
        name,
        right,
        *,
        seed=0,
        split="random",
        split_seed=0,
        task="Multiclass",
        lr=1e-3,
        tracks=TRACKS,
        precision="32-true",
        network=None,
    ):
        folder = tmp_path / "runs" / f"{len(list((tmp_path / 'runs').glob('*'))):02d}-{name}"
        folder.mkdir(parents=True)
        values = {
            "name": name, "folder": str(folder), "seed": seed,
            "optimizer": {"lr": lr}, "trainer": {"precision": "auto"},
            "split": {"kind": split, "seed": split_seed, "hold_out": None},
            "task": {"_target_": f"genre.tasks.{task}"},
            "model": {"_target_": "genre.models.cnn.CNN"} | ({"name": network} if network else {}),
        }  # fmt: skip
        (folder / "hparams.yaml").write_text(yaml.safe_dump(values))
        accuracy = float(np.mean(right))
        metrics = {"train/accuracy": 0.9, "val/accuracy": 0.7, "test/accuracy": accuracy, "seconds": 12.0}
        metrics |= {"precision": precision} if precision else {}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        predicted = [track[:4] if hit else "blues" for track, hit in zip(tracks, right, strict=True)]
        lines = [f"{track},{track[:4]},{genre},0,0,0" for track, genre in zip(tracks, predicted, strict=True)]
        (folder / "predictions.csv").write_text("\n".join(["track,true,predicted,blues,jazz,rock", *lines]) + "\n")
        return folder

    return write


@pytest.fixture
def table(tmp_path):
    """Return the rows of results.csv and the text of results.md."""

    def make(*overrides, runs=tmp_path / "runs" / "*"):
        folder = tmp_path / "table"
        genre.evaluate(genre.compose(f"runs={runs}", f"folder={folder}", *overrides, config_name="evaluate"))
        return csv_rows(folder / "results.csv"), (folder / "results.md").read_text()

    return make


def hits(count, first=0):
    right = np.zeros(200, bool)
    right[first : first + count] = True
    return right


def ours(rows):
    return [row for row in rows if row["folders"]]


@pytest.mark.parametrize(("lost", "gained", "expected"), [(12, 10, True), (20, 2, False), (3, 0, True), (8, 0, False)])
def test_differences_exceed_noise_where_mcnemars_test_says_so(lost, gained, expected):
    """Only the better model is right about ``lost`` tracks, only the other about ``gained``."""
    best, other = np.ones(200), np.ones(200)
    other[:lost] = 0
    best[lost : lost + gained] = 0
    assert is_tied(best, other) == expected
    assert (scipy.stats.binomtest(lost, lost + gained).pvalue > 0.05) == expected or lost + gained < 6


def test_a_paired_difference_can_exceed_noise_while_both_intervals_overlap():
    best, other = np.zeros(200), np.zeros(200)
    best[:110], other[:100] = 1, 1
    assert bootstrap_interval(other)[1] > bootstrap_interval(best)[0]
    assert not is_tied(best, other)


def test_the_best_comes_first_and_those_within_noise_of_it_are_tied(made, table):
    made("worse", hits(90))
    made("best", hits(130))
    made("close", hits(128, first=2))
    rows, text = table()
    assert [(row["model"], row["mark"]) for row in ours(rows)] == [("best", "best"), ("close", "tied"), ("worse", "")]
    assert float(ours(rows)[0]["test_accuracy"]) == pytest.approx(0.65)
    assert "| best | multiclass | random (0) | 90.0 | 70.0 | 65.0 |" in text


def test_differences_are_measured_from_the_named_row_with_paired_intervals(made, table):
    made("base", hits(100))
    made("without mixup", hits(80))
    made("longer", hits(110, first=5))
    rows, _ = table("reference=base")
    named = {row["model"]: row for row in ours(rows)}
    assert [row["model"] for row in ours(rows)] == ["longer", "base", "without mixup"]
    assert named["base"]["difference"] == ""
    worse = scipy.stats.bootstrap(((hits(80) * 1.0 - hits(100)),), np.mean, method="percentile", rng=0)
    found = [float(named["without mixup"][key]) for key in ("difference", "difference_low", "difference_high")]
    assert found == pytest.approx([-0.1, *worse.confidence_interval], abs=0.01)
    assert float(named["longer"]["difference"]) == pytest.approx(0.05)


def test_without_a_name_differences_are_measured_from_the_best(made, table):
    made("worse", hits(90))
    made("best", hits(130))
    best, worse = ours(table()[0])
    assert (best["difference"], float(worse["difference"])) == ("", pytest.approx(-0.2))


def test_a_reference_that_is_no_row_is_refused_with_the_rows_names(made, table):
    made("cnn", hits(90))
    with pytest.raises(UserError, match="reference=vgg is the name of no row; choose from cnn"):
        table("reference=vgg")


def test_each_table_of_several_runs_has_a_figure(made, table, tmp_path):
    made("cnn", hits(90))
    made("vgg16", hits(130))
    made("alone", hits(90), split="artist")
    table()
    assert len(list((tmp_path / "table" / "figures").glob("*.png"))) == 1


def test_the_figure_colours_differences_that_exclude_0():
    rows = [
        TableRow("a", "multiclass", "", {"test accuracy": [0.7]}, (0.65, 0.75), Difference(0.1, 0.02, 0.18), "best"),
        TableRow("b", "multiclass", "", {"test accuracy": [0.62]}, (0.55, 0.7), Difference(0.02, -0.03, 0.06), "tied"),
        TableRow("base", "multiclass", "", {"test accuracy": [0.6]}, (0.55, 0.65)),
        TableRow("paper", "multiclass", "", {"test accuracy": [0.5]}),
    ]
    left, right = accuracies(rows, "a table").axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b", "base"]
    colours = [line.get_color() for line in right.lines if line.get_marker() == "o"]
    assert len(set(colours)) == 2
    assert [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"] == pytest.approx([70, 62, 60])
    assert accuracies(rows[2:], "one row") is None


def test_networks_and_tasks_make_one_table_of_their_best_configurations(made, table):
    for split in ("random", "artist"):
        made("ast", hits(130), split=split, network="MIT/ast")
        made("cnn", hits(60), split=split, lr=1e-3)
        made("cnn", hits(90), split=split, lr=1e-2)
    made("hubert", hits(128, first=2), network="/models/hubert")
    lines = table()[1].split("## Networks")[1].split("##")[0].strip().splitlines()[2:]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [title.partition(",")[2].split("(")[0].strip() for title in header[1:]] == ["split random", "split artist"]
    cells = {name: rest for name, *rest in rows}
    assert cells["MIT/ast"][0].startswith("65.0 (") and cells["MIT/ast"][0].endswith(") best")
    assert cells["CNN"][0].startswith("45.0 (") and cells["hubert"][0].endswith(") tied") and cells["hubert"][1] == "–"


def test_one_section_needs_no_table_of_networks(made, table):
    made("cnn", hits(90))
    made("ast", hits(100), network="MIT/ast")
    assert "## Networks" not in table()[1]


def test_seeds_of_one_configuration_are_one_row(made, table):
    counts = (100, 110, 130)
    for seed, count in enumerate(counts):
        made("cnn", hits(count), seed=seed)
    (row,) = ours(table()[0])
    assert row["runs"] == "3" and len(row["folders"].split()) == 3
    shares = np.array(counts) / 200
    assert float(row["test_accuracy"]) == pytest.approx(shares.mean())
    assert float(row["test_accuracy_sd"]) == pytest.approx(scipy.stats.tstd(shares))
    assert f"{100 * shares.mean():.1f} ± {100 * scipy.stats.tstd(shares):.1f} (3)" in table()[1]


def test_seeds_of_another_precision_are_another_row_although_both_were_to_measure(made, table):
    for seed, precision in enumerate(("32-true", "32-true", "bf16-mixed")):
        made("cnn", hits(100), seed=seed, precision=precision)
    made("vgg16", hits(90))
    assert [(row["model"], row["runs"]) for row in ours(table()[0])] == [
        ("cnn (trainer.precision=32-true)", "2"),
        ("cnn (trainer.precision=bf16-mixed)", "1"),
        ("vgg16 (trainer.precision=32-true)", "1"),
    ]


def test_the_precision_of_the_record_counts_where_none_was_measured(made, table):
    made("cnn", hits(100), seed=0, precision=None)
    made("cnn", hits(100), seed=1, precision=None)
    assert [row["model"] for row in ours(table()[0])] == ["cnn"]


def test_one_run_has_no_deviation():
    assert mean_and_deviation([0.5]) == (0.5, None)


def test_configurations_of_one_name_are_distinguished_by_their_settings(made, table):
    made("cnn", hits(100), lr=1e-3)
    made("cnn", hits(90), lr=1e-4)
    assert [row["model"] for row in ours(table()[0])] == ["cnn (optimizer.lr=0.001)", "cnn (optimizer.lr=0.0001)"]


def test_a_seed_that_was_run_twice_counts_once(made, table):
    made("cnn", hits(100))
    last = made("cnn", hits(100))
    rows, text = table()
    assert [row["folders"] for row in ours(rows)] == [str(last)]
    assert "repeated with the same seed" in text


@pytest.mark.parametrize(
    "other",
    [{"split_seed": 1}, {"split": "artist"}, {"task": "Multilabel"}, {"tracks": [f"{t}x" for t in TRACKS]}],
    ids=["another split seed", "another split", "another task", "other tracks"],
)
def test_other_splits_seeds_tasks_and_tracks_have_tables_of_their_own(made, table, other):
    made("one", hits(100))
    made("other", hits(190), **other)
    rows, text = table()
    assert len({row["section"] for row in ours(rows)}) == text.count("\n## ") == 2
    assert [row["mark"] for row in ours(rows)] == ["", ""]


def test_the_paper_is_in_the_table_and_not_ranked(made, table):
    made("one", hits(100))
    made("several", hits(80), task="Multilabel")
    rows, text = table()
    known = [[row["train_accuracy"], row["val_accuracy"], row["test_accuracy"]] for row in rows if not row["folders"]]
    assert known == [
        ["0.8954", "0.68", "0.585"], ["0.974", "0.7", "0.62"], ["0.7096", "0.62", "0.665"], ["", "", "0.4"],
    ]  # fmt: skip
    assert not any(row["mark"] for row in rows if not row["folders"])
    assert "| paper: base model | multiclass | its own | 89.5 | 68.0 | 58.5 | – |" in text


def test_unfinished_runs_are_skipped_and_named(made, table):
    made("one", hits(100))
    half = made("half", hits(100))
    (half / "metrics.json").unlink()
    (half.parent / "something else").mkdir()
    rows, text = table()
    assert [row["model"] for row in ours(rows)] == ["one"]
    assert f"- {half} (unfinished: it has no metrics.json)" in text
    assert "something else" not in text


def test_a_run_without_test_tracks_has_a_table_without_ranks(made, table):
    folder = made("untested", hits(100))
    (folder / "predictions.csv").unlink()
    (folder / "metrics.json").write_text(json.dumps({"train/accuracy": 0.9, "seconds": 1.0}))
    (row,) = ours(table()[0])
    assert (row["train_accuracy"], row["test_accuracy"], row["ci95_low"], row["mark"]) == ("0.9", "", "", "")


@pytest.mark.parametrize(("file", "content"), [("metrics.json", "{"), ("hparams.yaml", "{}"), ("hparams.yaml", "a: [")])
def test_damaged_runs_are_skipped_and_named(made, table, file, content):
    made("one", hits(100))
    damaged = made("damaged", hits(100))
    (damaged / file).write_text(content)
    rows, text = table()
    assert [row["model"] for row in ours(rows)] == ["one"]
    assert f"- {damaged} (damaged, or of another version: " in text


@pytest.mark.parametrize(("override", "key"), [("run=x", "run"), ("subset=val", "subset")])
def test_keys_of_one_run_are_refused_for_many(made, table, override, key):
    made("one", hits(100))
    with pytest.raises(UserError, match=f"omit {key}="):
        table(override)


def test_a_pattern_without_runs_is_a_user_error(table):
    with pytest.raises(UserError, match="matches no finished run; name folders"):
        table()


def test_the_error_says_why_no_run_is_finished(made, table):
    (made("half", hits(100)) / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"matches no finished run \(.*unfinished: it has no metrics.json\)"):
        table()


def test_a_folder_name_may_look_like_a_pattern(made, table, tmp_path):
    made("one", hits(100)).rename(tmp_path / "runs" / "one [x]")
    assert len(ours(table(runs=tmp_path / "runs" / "one [x]")[0])) == 1
