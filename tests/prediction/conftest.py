"""One small run that the tests of prediction share."""

import pytest

import genre


@pytest.fixture(scope="session")
def run(tmp_path_factory, music, cache):
    """A finished run with a view of 1 s; no test changes it."""
    folder = tmp_path_factory.mktemp("prediction") / "run"
    return genre.train(
        genre.compose(
            "data=folder", f"data.root={music}", f"data.cache={cache}", f"folder={folder}", "name=test",
            "view.seconds=1", "trainer.max_epochs=1", "trainer.precision=32-true",
            "trainer.enable_progress_bar=false", "model.filters=[4,4,8]", "model.dense_units=8",
        )
    )  # fmt: skip
