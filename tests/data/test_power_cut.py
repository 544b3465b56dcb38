"""After a power cut, whatever had not reached the disk, the next start works and gives what an unbroken one gives."""

import json
import os
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from genre.data import duplicates, store_builder
from genre.data.catalogue import Track
from genre.data.duplicates import Pair, cached_duplicates
from genre.data.store import Key
from genre.data.store_builder import build_store
from genre.errors import SkipKind, SkipReason
from genre.exploration.result_cache import cached_result
from genre.files import read_csv_rows, write_csv
from genre.models.checkpoint import load_content, save_checkpoint

KEY = Key("waveform", {"sample_rate": 4}, list("abcdefgh"))
SILENT = SkipReason(SkipKind.SILENT, "silent")
ITEMS = [SILENT if row in (2, 6) else np.arange(100 * row, 100 * row + 50, dtype=np.int16) for row in range(8)]
PAIRS = [Pair("a", "b", 0.9, 1.5)]
SPLITS = [[("track", "subset"), ("a", side)] for side in ("train", "test")]  # before and after
MOMENTS = 50


class Disk:
    """Remembers what has reached the disk, and ends the process at a chosen moment.

    Args:
        report: file that receives what is needed to damage the others.
        moment: number of the write, fsync or rename before which the power is cut.
    """

    def __init__(self, report: Path, moment: float) -> None:
        self.report, self.moment, self.now = report, moment, 0
        self.synced: dict[str, int] = {}  # inode -> bytes on the disk
        self.renames: list[tuple[str, str, str]] = []  # (from, to, copy of what was there) not on the disk yet
        self.rename, self.replace = os.rename, os.replace
        os.fsync = self.sync
        os.rename = partial(self.moved, os.rename)
        os.replace = partial(self.moved, os.replace)

    def tick(self) -> None:
        self.now += 1
        if self.now == self.moment:
            self.report.write_text(json.dumps([self.synced, self.renames]))
            os._exit(0)

    def sync(self, descriptor: int) -> None:
        self.tick()
        path, status = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
        self.synced[str(status.st_ino)] = status.st_size
        self.renames = [entry for entry in self.renames if os.path.dirname(entry[1]) != path]

    def moved(self, move, source, target) -> None:
        self.tick()
        stash = f"{self.report}.{self.now}"
        if os.path.isfile(target):
            os.link(target, stash)
        move(source, target)
        self.renames.append((str(source), str(target), stash))


def command(root: Path, tick=lambda: None) -> tuple:
    """What a run does with its cache and its folder."""

    def items(span):
        for item in ITEMS[span]:
            tick()
            yield item

    store = build_store(root / "cache", KEY, 4, KEY.inputs, items, "making")
    pairs = cached_duplicates(store, root / "cache")
    track = Track("a", ("rock",), Path(__file__))
    results = [cached_result(root / "cache" / "tracks", track, {"n": n}, {"x": lambda: 5}) for n in range(2)]
    write_csv(root / "splits.csv", *(SPLITS[1][:1]), SPLITS[1][1:])
    tick()
    save_checkpoint(checkpoint(2), root / "last.ckpt")
    return store.names, store.data.tolist(), store.offsets.tolist(), store.skipped, pairs, results


def checkpoint(epoch: int) -> dict:
    return {"genre": {"version": 2}, "state_dict": {}, "epoch": epoch}


def damage(root: Path, report: Path, draw: random.Random) -> None:
    """Lose some of what had not reached the disk: names, and the ends of files, which are cut off or zeros."""
    synced, renames = json.loads(report.read_text())
    for source, target, stash in reversed(renames):
        if draw.random() < 0.5:
            os.rename(target, source)
            if os.path.exists(stash):
                os.rename(stash, target)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        kept, size = synced.get(str(path.stat().st_ino), 0), path.stat().st_size
        if size > kept and draw.random() < 0.6:
            os.truncate(path, draw.choice([kept, draw.randrange(kept, size)]))
            os.truncate(path, draw.choice([path.stat().st_size, size]))


def cut_power(root: Path, report: Path, moment: float) -> None:
    """Run the command in another process, up to a moment."""
    if (child := os.fork()) == 0:
        try:
            disk = Disk(report, moment)
            command(root, disk.tick)
            report.write_text(str(disk.now))
        finally:
            os._exit(1)
    os.waitpid(child, 0)


def prepared(root: Path) -> None:
    """A run folder with an earlier checkpoint and split, which have long reached the disk."""
    root.mkdir()
    write_csv(root / "splits.csv", *(SPLITS[0][:1]), SPLITS[0][1:])
    save_checkpoint(checkpoint(1), root / "last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("sync_seconds", [-1.0, 1e9])
def test_the_next_start_works_after_a_power_cut_at_any_moment(tmp_path, monkeypatch, caplog, sync_seconds):
    monkeypatch.setattr(duplicates, "find_duplicates", lambda *_: PAIRS)
    monkeypatch.setattr(store_builder, "SYNC_SECONDS", sync_seconds)
    monkeypatch.setattr(store_builder, "track_bar", lambda: Progress(disable=True))
    monkeypatch.setattr(torch, "save", lambda content, file: file.write(json.dumps(content).encode()))
    monkeypatch.setattr(torch, "load", lambda path, **_: json.loads(Path(path).read_text()))
    prepared(tmp_path / "whole")
    cut_power(tmp_path / "whole", tmp_path / "report", float("inf"))
    events = int((tmp_path / "report").read_text())
    expected = command(tmp_path / "whole")
    draw = random.Random(0)
    for number in range(MOMENTS):
        root, report = tmp_path / f"run{number}", tmp_path / f"report{number}"
        prepared(root)
        old = {path.stat().st_ino: path.stat().st_size for path in root.iterdir()}
        cut_power(root, report, draw.randint(1, events))
        synced, renames = json.loads(report.read_text())
        report.write_text(json.dumps([{**{str(inode): size for inode, size in old.items()}, **synced}, renames]))
        damage(root, report, draw)
        assert load_content(root / "last.ckpt")["epoch"] in (1, 2)
        assert read_csv_rows(root / "splits.csv") in SPLITS
        lost = list(root.glob("cache/*.partial/journal"))
        caplog.clear()
        with caplog.at_level("INFO"):
            assert command(root) == expected
        assert not lost or "making resumes at" in caplog.text
        assert load_content(root / "last.ckpt")["epoch"] == 2
