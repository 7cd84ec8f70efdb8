"""What the tests of WASI see is kept, for the table in the docs; those that call one function at a time do so in every
layout (BEHAVIOURS 74, 77)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import observed, registry
from tests.support.layouts import LAYOUTS, layout
from tests.support.wasi import FUNCTIONS

#: Modules whose tests hold in every layout.
EVERYWHERE = {"test_args", "test_disk", "test_errors", "test_io", "test_path", "test_poll", "test_shared", "test_sock"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once in each layout."""
    if metafunc.module.__name__.rpartition(".")[2] in EVERYWHERE:
        metafunc.fixturenames.append("_layout")
        metafunc.parametrize("_layout", LAYOUTS, indirect=True)


@pytest.fixture
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    with layout(request.param):
        yield


@pytest.fixture(scope="module", autouse=True)
def _let_go() -> Iterator[None]:
    """What is prepared of large programs is millions of objects, which would slow down all that comes later."""
    yield
    registry.packaged.cache_clear()
    registry.flite.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _observed() -> Iterator[None]:
    yield
    observed.keep(FUNCTIONS)
