"""GTZAN's archive, from the Hugging Face Hub or from the disk."""

import errno
import logging
from dataclasses import dataclass
from pathlib import Path

from genre.errors import UserError

log = logging.getLogger(__name__)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
REMEDY = "set data.archive to a copy of the archive, data.root to an unpacked copy, or data=synthetic to try without"


@dataclass(frozen=True)
class HubArchive:
    """An archive on the Hugging Face Hub.

    Args:
        repository: dataset on the Hub.
        filename: the .tar.gz in the repository.
        revision: branch, tag or commit of the repository.
    """

    repository: str
    filename: str
    revision: str


def from_disk(archive: str) -> Path:
    """Path of GTZAN's archive on disk.

    Raises:
        UserError: if there is no such file.
    """
    path = Path(archive).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file at data.archive={path}; it should be GTZAN's .tar.gz")
    return path


def from_hub(archive: HubArchive) -> Path:
    """Download GTZAN's archive to the Hub's cache, which resumes, checks the size and locks.

    Raises:
        UserError: if it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    log.info("fetching %s of %s from the Hugging Face Hub", archive.filename, archive.repository)
    try:
        path = hf_hub_download(archive.repository, archive.filename, repo_type="dataset", revision=archive.revision)
    except LocalEntryNotFoundError as error:
        reason = "no connection to the Hub, and the archive is not in its cache"
        raise UserError(f"cannot fetch GTZAN from {archive.repository} ({reason}): {REMEDY}") from error
    except Exception as error:  # the client passes on the errors of several libraries
        reason = getattr(error, "strerror", None) or (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        if getattr(error, "errno", None) in NO_ROOM:
            raise UserError(f"the Hub's cache is full ({reason}): set HF_HOME to a folder with room") from error
        raise UserError(f"cannot fetch GTZAN from {archive.repository} ({reason}): {REMEDY}") from error
    log.info("fetched %s; it can be deleted when GTZAN is unpacked", path)
    return Path(path)
