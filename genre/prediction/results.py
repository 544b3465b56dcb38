"""The files that predict.py writes while it works, and the journal from which the same command continues."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genre.config.settings import PredictSettings
from genre.data.split_record import SeenTrack
from genre.files import SizeAndTime, append_text, csv_lines, size_and_time, write_text
from genre.prediction.feature_store import FeatureStore
from genre.prediction.prediction import Prediction, Timeline
from genre.prediction.waveforms import WaveformModel

JOURNAL = "journal.jsonl"
FIGURES = Path("figures", "timeline")


@dataclass(frozen=True)
class Answer:
    """What is known of a file.

    Args:
        stamp: of the file when it was read.
        prediction: named by the path of the file as it was given.
        seen: the training or validation track of the run with the same content.
        hop: of its timeline.
        figure: of its timeline, relative to the folder.
        features: their key in the folder's store; empty if they were not asked for.
    """

    stamp: SizeAndTime
    prediction: Prediction
    seen: SeenTrack | None = None
    hop: float | None = None
    figure: str = ""
    features: str = ""


class Table(NamedTuple):
    """A file of results.

    Args:
        name: of the file.
        head: its first line or none.
        lines: of an answer.
    """

    name: str
    head: str
    lines: Callable[[Answer], str]


class ResultFiles:
    """The answers of a model about files, in a folder: each is written when it is added.

    Args:
        model: that answers; other models' answers are forgotten.
        settings: of the command.
        compared: whether it is known on which files the run was trained.
    """

    def __init__(self, model: WaveformModel, settings: PredictSettings, compared: bool) -> None:
        self.model, self.settings, self.compared = model, settings, compared
        self.folder = settings.folder
        self.head = json.dumps({"version": 1, "model": model.identity}) + "\n"
        self.answers = {answer.prediction.name: answer for answer in self.read_journal(self.folder)}
        self.features = FeatureStore(self.folder)

    def begin(self, files: Sequence[Path]) -> list[Path]:
        """Write what is known of files; return those that must be predicted, new and changed ones."""
        known = [file for file in files if self.is_answered(file)]
        self.write_journal()
        self.features.keep([answer.features for answer in self.answers.values()])
        self.write(known)
        return [file for file in files if file not in set(known)]

    def renew_stamps(self, answers: Iterable[Answer]) -> None:
        """Keep the answers about files whose tags, not music, were changed."""
        for answer in answers:
            name = answer.prediction.name
            self.answers[name] = replace(answer, stamp=size_and_time(Path(name)))
        self.write_journal()

    def write_journal(self) -> None:
        """Write the journal anew, atomically."""
        text = "".join(journal_line(answer) for answer in self.answers.values())
        write_text(self.folder / JOURNAL, self.head + text)

    def write(self, files: Iterable[Path]) -> None:
        """Write the tables anew, atomically, with the answered ones of these files in their order."""
        answers = [self.answers[str(file)] for file in files if str(file) in self.answers]
        for table in self.tables():
            write_text(self.folder / table.name, table.head + "".join(map(table.lines, answers)))

    def add(self, prediction: Prediction, stamp: SizeAndTime, seen: SeenTrack | None) -> None:
        """Append the answer about a file to the tables and the journal; draw its timeline, keep its features."""
        figure = self.draw(prediction, prediction.timeline) if prediction.timeline else ""
        key = self.keep_features(prediction)
        answer = Answer(stamp, replace(prediction, features=None), seen, self.settings.hop, figure, key)
        self.answers[prediction.name] = answer
        for table in self.tables():
            append_text(self.folder / table.name, table.lines(answer))
        append_text(self.folder / JOURNAL, journal_line(answer))

    def keep_features(self, prediction: Prediction) -> str:
        """Keep the features of a prediction if neighbours are asked for; return their key."""
        if not self.settings.neighbours or prediction.features is None:
            return ""
        return self.features.add(prediction.features)

    def is_answered(self, file: Path) -> bool:
        """Whether the answer about a file is known, and the file was not changed since."""
        answer = self.answers.get(str(file))
        if answer is None or answer.stamp != size_and_time(file):
            return False
        if self.settings.neighbours and answer.features not in self.features.keys:
            return False
        if not self.settings.timeline:
            return True
        same_hop = answer.prediction.timeline is not None and answer.hop == self.settings.hop
        return same_hop and (self.folder / answer.figure).is_file()

    def draw(self, prediction: Prediction, timeline: Timeline) -> str:
        """Draw genres over time; return the name of the figure, which no other file's has."""
        from genre.evaluation import figures  # imports matplotlib

        taken = {answer.figure for path, answer in self.answers.items() if path != prediction.name}
        stem = Path(prediction.name).stem.replace("=", "-")
        names = (str(FIGURES / f"{stem}{number}.png") for number in numbers())
        name = next(name for name in names if name not in taken)
        begins, ends = timeline.spans.T
        whole, title = np.array(prediction.probabilities), Path(prediction.name).name
        figure = figures.over_time(begins, ends, timeline.probabilities, whole, timeline.genres, title)
        figures.save_figure(figure, self.folder / name)
        return name

    def tables(self) -> Iterator[Table]:
        """Yield the tables that the settings ask for."""
        if self.settings.format == "csv":
            yield Table("predictions.csv", csv_lines([self.columns()]), lambda answer: csv_lines([self.row(answer)]))
        else:
            yield Table("predictions.jsonl", "", self.json_line)
        if self.settings.timeline:
            yield Table("timeline.csv", csv_lines([("path", "begin", "end", *self.model.genres)]), window_lines)
            yield Table("segments.csv", csv_lines([("path", "begin", "end", "genre", "probability")]), segment_lines)

    def columns(self) -> list[str]:
        """The header of predictions.csv.

        A column 'uncertain' exists if the run has a threshold for it, 'seen' (train, val or empty) if that is known.
        """
        uncertain = ["uncertain"] if self.model.postprocessing.uncertain_below is not None else []
        return ["path", "predicted", "most_probable", *self.model.genres, *uncertain, *(["seen"] * self.compared)]

    def row(self, answer: Answer) -> list[str]:
        """A row of predictions.csv."""
        prediction = answer.prediction
        names = ";".join(self.named(prediction)), ";".join(genre for genre, _ in self.ranked(prediction))
        row = [prediction.name, *names, *(f"{value:.6f}" for value in prediction.probabilities)]
        if prediction.uncertain is not None:
            row.append("yes" if prediction.uncertain else "no")
        if self.compared:
            row.append(answer.seen.subset if answer.seen else "")
        return row

    def json_line(self, answer: Answer) -> str:
        """A line of predictions.jsonl."""
        prediction = answer.prediction
        values: dict[str, Any] = {"path": prediction.name, "seconds": round(prediction.seconds, 2)}
        values["predicted"] = self.named(prediction)
        values["most_probable"] = [genre for genre, _ in self.ranked(prediction)]
        pairs = zip(prediction.genres, prediction.probabilities, strict=True)
        values["probabilities"] = {genre: round(value, 6) for genre, value in pairs}
        if prediction.uncertain is not None:
            values["uncertain"] = prediction.uncertain
        if self.compared:
            values["seen"] = answer.seen.subset if answer.seen else None
        return json.dumps(values, ensure_ascii=False) + "\n"

    def named(self, prediction: Prediction) -> list[str]:
        """The predicted genres that are probable enough."""
        probable = {genre for genre, value in prediction.most_probable() if value >= self.settings.min_probability}
        return [genre for genre in prediction.predicted if genre in probable]

    def ranked(self, prediction: Prediction) -> list[tuple[str, float]]:
        """The most probable genres that are probable enough, with their probabilities."""
        ranked = prediction.most_probable(self.settings.top)
        return [(genre, value) for genre, value in ranked if value >= self.settings.min_probability]

    def read_journal(self, folder: Path) -> Iterator[Answer]:
        """Yield the answers of the model in a folder's journal, up to a line that was not written to its end."""
        path = folder / JOURNAL
        if not path.is_file():
            return
        with path.open(encoding="utf-8") as file, suppress(ValueError, KeyError, TypeError):
            if file.readline() == self.head:
                for line in file:
                    yield self.read_answer(json.loads(line))

    def read_answer(self, values: Mapping[str, Any]) -> Answer:
        """An answer from a line of the journal."""
        genres, probabilities = tuple(self.model.genres), tuple(values["probabilities"])
        distance = values.get("distance")  # missing in journals of earlier versions
        timeline = values["timeline"] and Timeline(genres, *map(np.array, values["timeline"]))
        prediction = Prediction(
            values["path"], values["seconds"], genres, probabilities, self.model.predicted_genres(probabilities),
            self.model.is_uncertain(probabilities, distance), timeline, distance,
        )  # fmt: skip
        seen = SeenTrack(*values["seen"]) if values["seen"] else None
        stamp, features = SizeAndTime(*values["stamp"]), values.get("features", "")
        return Answer(stamp, prediction, seen, values["hop"], values["figure"], features)


def numbers() -> Iterator[str]:
    """Yield '', '-2', '-3', …"""
    yield ""
    number = 2
    while True:
        yield f"-{number}"
        number += 1


def journal_line(answer: Answer) -> str:
    """An answer as a line of the journal."""
    prediction, timeline = answer.prediction, answer.prediction.timeline
    windows = timeline and [timeline.spans.round(6).tolist(), timeline.probabilities.round(6).tolist()]
    values = {"path": prediction.name, "stamp": answer.stamp, "seconds": prediction.seconds, "seen": answer.seen}
    values |= {"probabilities": prediction.probabilities, "distance": prediction.distance}
    values |= {"timeline": windows, "hop": answer.hop, "figure": answer.figure, "features": answer.features}
    return json.dumps(values) + "\n"


def window_lines(answer: Answer) -> str:
    """The rows of timeline.csv."""
    timeline = answer.prediction.timeline
    assert timeline is not None
    pairs = zip(timeline.spans, timeline.probabilities, strict=True)
    return csv_lines(
        (answer.prediction.name, f"{begin:.2f}", f"{end:.2f}", *(f"{value:.6f}" for value in probabilities))
        for (begin, end), probabilities in pairs
    )


def segment_lines(answer: Answer) -> str:
    """The rows of segments.csv."""
    timeline = answer.prediction.timeline
    assert timeline is not None
    return csv_lines(
        (answer.prediction.name, f"{part.begin:.2f}", f"{part.end:.2f}", part.genre, f"{part.probability:.6f}")
        for part in timeline.segments
    )
