"""The command `python -m genre.demo`: load the models, then serve the page until it is stopped."""

import glob
import socket
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from genre.config.build import accelerator_device
from genre.config.settings import DemoSettings, demo_settings
from genre.demo.analysis import Candidate
from genre.errors import UserError
from genre.prediction.loading import load

EXTRA = ("starlette", "uvicorn")
SIDE_BY_SIDE = 2  # models
PATIENCE = 3  # seconds that a stopped server waits for open requests


def serve(cfg: DictConfig | DemoSettings) -> None:
    """Serve the page at ``host`` and ``port``, and print its address.

    Raises:
        UserError: if the extra is not installed, the port is not free, or a run cannot be loaded.
    """
    settings = demo_settings(cfg)
    check_installed()
    import uvicorn  # in the extra

    from genre.demo.app import build_app

    with listen(settings.host, settings.port) as listening:
        candidates = load_candidates(settings)
        app = build_app(candidates, settings.host, settings.max_megabytes, settings.max_seconds)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=PATIENCE)
        print(f"{address(listening)} (Ctrl-C stops it)", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def check_installed() -> None:
    """Check that the packages of the extra are there.

    Raises:
        UserError: naming the command that installs them.
    """
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        raise UserError(f'the page needs {" and ".join(missing)}; pip install "genre[demo]"')


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: if the port is taken, or the host is not this machine's.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen at host={host} port={port} ({error.strerror}); choose another port, or the default host"
        ) from None
    return listening


def address(listening: socket.socket) -> str:
    """'http://127.0.0.1:7860'."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def load_candidates(settings: DemoSettings) -> list[Candidate]:
    """Load the runs or exported files of ``run`` and ``runs``, or without either the model that comes with the program.

    Raises:
        UserError: if ``runs`` matches nothing, there are too many, or one cannot be loaded.
    """
    paths = [*([settings.run] if settings.run else []), *matching(settings.runs)]
    if len(paths) > SIDE_BY_SIDE:
        raise UserError(
            f"run and runs name {len(paths)} runs, from {paths[0]} to {paths[-1]}; the page compares {SIDE_BY_SIDE}"
        )
    device = accelerator_device(settings.accelerator)
    chosen: list[Path | None] = [*paths] or [None]
    models = {path: load(path, settings.trust).to(device) for path in chosen}
    return [Candidate(shown_name(path), models[path]) for path in chosen]


def shown_name(run: Path | None) -> str:
    """The name under which the page shows a run; None is the model that comes with the program."""
    return "/".join(run.absolute().parts[-2:]) if run else "the model that comes along"


def matching(pattern: str | None) -> list[Path]:
    """Return the paths that match the pattern of ``runs``, sorted; a path is also taken literally.

    Raises:
        UserError: if there are none.
    """
    if pattern is None:
        return []
    literal = Path(pattern).expanduser()
    found = [literal] if literal.exists() else [Path(path) for path in sorted(glob.glob(str(literal)))]
    if not found:
        raise UserError(f"there is no run at runs={pattern}")
    return found
