"""Spellings of one genre or artist: labels that differ in letter case, Unicode form or white space only."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

log = logging.getLogger(__name__)

NAMED_MERGERS = 3  # in a warning


def comparison_key(label: str) -> str:
    """The same text for all spellings of a label.

    NFKC rather than NFC: full-width letters, ligatures and no-break spaces are ways of typing, too.
    """
    folded = unicodedata.normalize("NFKC", label).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def merged_spellings(labels: Iterable[str], what: str) -> dict[str, str]:
    """Label -> its most frequent spelling, normalised; of equally frequent ones the first sorted. Mergers are logged.

    Args:
        labels: one per use.
        what: plural noun of the labels, for the warning.
    """
    counts = Counter(labels)
    spellings: dict[str, Counter[str]] = {}
    for label, count in counts.items():
        spellings.setdefault(comparison_key(label), Counter())[normalized(label)] += count
    shown = {key: min(each, key=lambda text: (-each[text], text)) for key, each in spellings.items()}
    result = {label: shown[comparison_key(label)] for label in counts}
    warn_of_mergers(result, what)
    return result


def normalized(label: str) -> str:
    """The label in composed Unicode (NFC), with single spaces."""
    return " ".join(unicodedata.normalize("NFC", label).split())


def warn_of_mergers(spelling_of: Mapping[str, str], what: str) -> None:
    """Log the labels that several spellings were merged into."""
    merged: dict[str, list[str]] = {}
    for label, shown in sorted(spelling_of.items()):
        merged.setdefault(shown, []).append(repr(label))
    several = [f"{shown} (written {', '.join(each)})" for shown, each in merged.items() if shown and len(each) > 1]
    if several:
        rest = f" and {len(several) - NAMED_MERGERS} more" if len(several) > NAMED_MERGERS else ""
        log.warning(
            "merged %s that differ in letter case, Unicode form or spaces only: %s%s",
            what, ", ".join(several[:NAMED_MERGERS]), rest,
        )  # fmt: skip


def spell_like(genres: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Genres in the spelling of the known ones, each once; others keep their own, normalised."""
    spelling_of = {comparison_key(genre): genre for genre in known}
    return tuple(dict.fromkeys(spelling_of.get(comparison_key(genre), normalized(genre)) for genre in genres))
