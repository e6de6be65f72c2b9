"""Two nodes of Ray, begun once, and a small pipeline for each test.

By `make test-cluster`: Ray is no part of requirements.lock, and `pytest` alone leaves these out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from nodes import Cluster, Node, Toy, alive, wait


@pytest.fixture
def toy(tmp_path: Path, cluster: Cluster) -> Toy:
    return Toy(tmp_path / "toy", cluster.address).begin()


@pytest.fixture(scope="session")
def serial(tmp_path_factory) -> str:
    """dvc.lock as `dvc repro` leaves it."""
    toy = Toy(tmp_path_factory.mktemp("serial") / "toy").begin()
    toy.dvc("repro")
    return (toy.path / "dvc.lock").read_text()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The head, of one core, on which `cluster` is called; ends with all that it started."""
    # A socket's path has room for 107 characters: not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        started = Cluster(Path(folder))
        try:
            started.head()
            wait(lambda: alive(started.address) == 1, 60)
            yield started
        finally:
            started.close()


@pytest.fixture
def second(cluster: Cluster) -> Iterator[Node]:
    """Another node, of two cores."""
    node = cluster.second()
    wait(lambda: alive(cluster.address) == 2, 60)
    yield node
    commands.end(node.session)
    wait(lambda: alive(cluster.address) == 1, 60)
