"""What the tests of WASI see is kept, for the table in the docs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import observed
from tests.support.wasi import FUNCTIONS


@pytest.fixture(scope="session", autouse=True)
def _observed() -> Iterator[None]:
    yield
    observed.keep(FUNCTIONS)
