"""The HTTP interface of the page: its files, its models, and what they say about an uploaded song."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import IO, Any

import torch
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from genre.data.audio import read_audio
from genre.demo.analysis import Candidate, analysis, evidence, png_url, waveform_peaks
from genre.demo.guard import Guard
from genre.errors import BadAudio

FILES = {
    "/": ("index.html", "text/html"),
    "/demo.css": ("demo.css", "text/css"),
    "/demo.js": ("demo.js", "text/javascript"),
}
PREFIX = "genre-demo-"  # of the name of a temporary file
MEGABYTE = 1e6  # bytes


class Page:
    """Answers the page's requests; one song is computed at a time.

    Args:
        candidates: the models, side by side.
        max_megabytes: of an uploaded file.
        max_seconds: of a song.
    """

    def __init__(self, candidates: Sequence[Candidate], max_megabytes: float, max_seconds: float) -> None:
        self.candidates = candidates
        self.max_bytes, self.max_seconds = round(max_megabytes * MEGABYTE), max_seconds
        self.computing = asyncio.Lock()

    async def models(self, request: Request) -> Response:
        """What the page must know before a song is chosen."""
        described = [candidate.description() for candidate in self.candidates]
        return JSONResponse({"models": described, "max_bytes": self.max_bytes, "max_seconds": self.max_seconds})

    async def analyse(self, request: Request) -> Response:
        """What every model says about the song in the request's body."""
        return await self.computed(request, self.analyses)

    async def explain(self, request: Request) -> Response:
        """The map of a model's evidence for a genre in the song in the request's body."""
        numbered = {str(number): candidate for number, candidate in enumerate(self.candidates)}
        chosen, genre = numbered.get(request.query_params.get("model", "")), request.query_params.get("genre", "")
        if chosen is None or chosen.layer is None or genre not in chosen.model.genres:
            raise HTTPException(404, "There is no such model or genre.")
        return await self.computed(request, partial(self.evidence, chosen, genre))

    async def computed(self, request: Request, compute: Callable[[Path], dict[str, Any]]) -> Response:
        """Keep the request's body in a file, which is removed whatever happens, for as long as it is computed."""
        with tempfile.NamedTemporaryFile(prefix=PREFIX) as file:
            await self.receive(request, file)
            file.flush()
            async with self.computing:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return JSONResponse(await run_in_threadpool(compute, Path(file.name)))

    async def receive(self, request: Request, file: IO[bytes]) -> None:
        """Write the request's body into a file.

        Raises:
            HTTPException: as soon as it has too many bytes, or announces them.
        """
        announced = request.headers.get("content-length", "")
        self.check_size(int(announced) if announced.isdecimal() else 0)
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            self.check_size(received)
            file.write(chunk)

    def check_size(self, size: int) -> None:
        """Refuse a file of too many bytes.

        Raises:
            HTTPException: with one sentence for the listener.
        """
        if size > self.max_bytes:
            raise HTTPException(
                413, f"This file is too large; up to {self.max_bytes / MEGABYTE:g} MB are accepted (max_megabytes)."
            )

    def analyses(self, path: Path) -> dict[str, Any]:
        """Length and peaks of a song, and what each model says about it."""
        waveforms = self.waveforms(path, self.candidates)
        rate, waveform = next(iter(waveforms.items()))
        return {
            "seconds": len(waveform) / rate,
            "peaks": waveform_peaks(waveform),
            "models": [analysis(one, on_device(waveforms, one)) for one in self.candidates],
        }

    def evidence(self, candidate: Candidate, genre: str, path: Path) -> dict[str, Any]:
        """The map of a model's evidence for a genre, as a PNG."""
        waveform = on_device(self.waveforms(path, [candidate]), candidate)
        return {"map": png_url(evidence(candidate, waveform, genre), "viridis")}

    def waveforms(self, path: Path, candidates: Sequence[Candidate]) -> dict[int, Tensor]:
        """Decode a song once per sample rate of the models: rate -> (samples,) in [-1, 1].

        Raises:
            BadAudio: if it cannot be used.
            HTTPException: if it is too long; no more than a second beyond the limit is decoded.
        """
        waveforms = {}
        for rate in {candidate.model.sample_rate for candidate in candidates}:
            samples = read_audio(path, rate, duration=self.max_seconds + 1)
            if len(samples) > self.max_seconds * rate:
                raise HTTPException(
                    413, f"This song is too long; up to {self.max_seconds:g} s are accepted (max_seconds)."
                )
            waveforms[rate] = torch.from_numpy(samples).float() / 32768
        return waveforms


def on_device(waveforms: dict[int, Tensor], candidate: Candidate) -> Tensor:
    """The waveform of a model's sample rate, on its device."""
    return waveforms[candidate.model.sample_rate].to(candidate.model.device)


async def send_file(request: Request) -> Response:
    """One of the files that the page consists of."""
    name, kind = FILES[request.url.path]
    return Response(resources.files("genre.demo").joinpath(name).read_bytes(), media_type=kind)


async def refuse(request: Request, error: Exception) -> Response:
    """A refusal as one sentence."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    return JSONResponse({"error": f"This song cannot be used ({str(error).rstrip('.')})."}, 422)


async def confess(request: Request, error: Exception) -> Response:
    """An error of the program as one sentence; its traceback is in the terminal."""
    return JSONResponse({"error": "The program failed on this song; its terminal shows why."}, 500)


async def drop(request: Request, error: Exception) -> Response:
    """The answer to someone who has gone."""
    return Response(status_code=400)


def build_app(candidates: Sequence[Candidate], host: str, max_megabytes: float, max_seconds: float) -> Starlette:
    """Build the application of the page; see ``Page`` and ``Guard``."""
    page = Page(candidates, max_megabytes, max_seconds)
    return Starlette(
        routes=[
            *(Route(path, send_file) for path in FILES),
            Route("/models", page.models),
            Route("/analysis", page.analyse, methods=["POST"]),
            Route("/evidence", page.explain, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: refuse, BadAudio: refuse, ClientDisconnect: drop, Exception: confess},
    )
