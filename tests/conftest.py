"""Fixtures that several folders of tests share."""

import os

# Before torch loads: tests run side by side, and small tensors gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile

# Digests of files are kept there: not among those of whoever runs the tests, and the same for child processes.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="wsss-tests-")

import signal
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import fake_domain
import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Hear Ctrl-C and hangups, as processes that tests start will: a script's `&` and nohup have both ignored."""
    heard = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    before = {number: signal.signal(number, how) for name, how in heard.items() if (number := getattr(signal, name, 0))}
    yield
    for number, how in before.items():
        signal.signal(number, how)


@pytest.fixture
def adapters(monkeypatch):
    """Register the fake domain and, whether or not the package is installed, those of pyproject.toml."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"]["wsss.adapters"].items()
    points = [fake_domain.POINT, *(EntryPoint(name, value, "wsss.adapters") for name, value in declared)]
    monkeypatch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: points)


from trained_run import trained, trained_once  # noqa: E402, F401  # fixtures of tests/scenes and tests/export
