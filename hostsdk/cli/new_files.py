"""The files of a new extension package, as templates: `@NAME@` is the host module's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "hostsdk-@DASHED@"
version = "0.1.0"
description = "The host module @NAME@ for WebAssembly guests"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["hostsdk>=@VERSION@"]

[project.optional-dependencies]
dev = ["hostsdk[testing]", "mypy>=1.11", "pytest>=8.2"]

# What `hostsdk run --host @NAME@` and `hostsdk.load_host("@NAME@")` find.
[project.entry-points."hostsdk.modules"]
@NAME@ = "hostsdk_@NAME@:@NAME@"

[tool.setuptools]
package-dir = { "" = "src" }
packages = ["hostsdk_@NAME@"]

[tool.setuptools.package-data]
hostsdk_@NAME@ = ["py.typed"]

[tool.mypy]
files = ["src", "tests"]
strict = true

[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = ["--strict-markers"]
filterwarnings = ["error"]
"""

_README = """\
# hostsdk-@DASHED@

The host module `@NAME@` for WebAssembly guests that run under hostsdk: a queue of messages, as something to begin
with.

```sh
pip install hostsdk-@DASHED@
hostsdk hosts @NAME@                             # its functions
hostsdk run --host @NAME@=100 guest.wasm         # room for 100 messages
```

A guest in C declares what it imports:

```c
#define IMPORT(name) __attribute__((import_module("@NAME@"), import_name(name)))
IMPORT("put") int @NAME@_put(const char *data, unsigned size);
IMPORT("take") int @NAME@_take(char *out, unsigned room, unsigned ms);
```

## Working on it

```sh
python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'
.venv/bin/python -m pytest
.venv/bin/mypy
```

The tests with the mark `restart` interrupt, save, drop and throw at every check point of each call, and compare.
"""

_MODULE = '''\
"""The host module `@NAME@`: messages in a queue, which guests put there and wait for."""

from __future__ import annotations

from runtime import lean

from hostsdk import ERRNO_NEGATIVE, BlockingContext, Bytes, Context, HostModule, Notifier, OutBuffer, i32, u32


@lean.define(eq=False)
class Queue:
    """What one instance's guest has: its messages."""

    room: int
    messages: list[bytes] = lean.field(factory=list)
    #: Told of each message, so that nobody has to look now and then.
    arrived: Notifier = lean.field(factory=Notifier)

    def put(self, message: bytes) -> None:
        """Append a message; for the embedder, too, from any thread. Raises OSError where there is no room."""
        if len(self.messages) >= self.room:
            raise BlockingIOError("the queue is full")
        self.messages.append(message)
        self.arrived.notify()

    def take(self) -> bytes | None:
        """The oldest message; None where there is none yet."""
        return self.messages.pop(0) if self.messages else None


def @NAME@(room: str = "16") -> HostModule[Queue]:
    """The host module, with room for so many messages."""
    return host.with_state(lambda: Queue(int(room)))


#: The functions. OSErrors become minus WASI's number; other exceptions reach the embedder.
host: HostModule[Queue] = HostModule("@NAME@", state=lambda: Queue(16), errors=ERRNO_NEGATIVE)


@host.save
def save(queue: Queue) -> object:
    """The state as plain data, for an execution that is saved."""
    return {"room": queue.room, "messages": queue.messages}


@host.load
def load(data: dict[str, object]) -> Queue:
    """The state again."""
    room, messages = data["room"], data["messages"]
    if not isinstance(room, int) or not isinstance(messages, list):
        raise ValueError("not saved by this module")
    return Queue(room, messages)


@host.function
def put(ctx: Context[Queue], data: Bytes) -> i32:
    """Append a message; 0, or -EAGAIN where there is no room. Never waits."""
    ctx.state.put(data)
    return 0


@host.restartable
def take(ctx: BlockingContext[Queue], out: OutBuffer, ms: u32) -> i32:
    """Wait for a message and take it: its length, or -1 when so many milliseconds have passed without one."""
    queue = ctx.state
    # The attempt is one step: what it takes out of the queue is in the record, and is never taken twice.
    message = ctx.block_until(queue.take, wake=queue.arrived, timeout=ms / 1000)
    return -1 if message is None else out.fill(message)
'''

_TESTS = '''\
"""The host module `@NAME@`: what its functions do, interrupted, saved, dropped and thrown into anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostsdk import load_host
from hostsdk.testing import FakeGuest, Trial
from hostsdk_@NAME@ import host, @NAME@


def test_it_is_found_by_its_name() -> None:
    """The installed package gives the host module to whoever asks for it by name."""
    assert load_host("@NAME@", "3").name == "@NAME@"


def test_there_is_an_end_to_room(fake_guest: Callable[..., FakeGuest]) -> None:
    """A full queue is EAGAIN, by its WASI number."""
    guest = fake_guest(@NAME@("1"))
    data = guest.put(b"hello")
    assert guest.call("@NAME@.put", data, 5) == 0
    assert guest.call("@NAME@.put", data, 5) == -6


@pytest.mark.restart("exhaustive", "pairs")
def test_messages_come_in_order(fake_guest: Callable[..., FakeGuest]) -> None:
    """Each message is taken once, in the order in which they were put."""
    guest = fake_guest(host)
    out = guest.alloc(16)
    for text in (b"one", b"two"):
        assert guest.call("@NAME@.put", guest.put(text), 3) == 0
    for text in (b"one", b"two"):
        assert guest.call("@NAME@.take", out, 16, 1000) == 3
        assert guest.read(out, 3) == text


@pytest.mark.restart("exhaustive", "pairs", suspended=True)
def test_a_guest_waits_for_a_message(fake_guest: Callable[..., FakeGuest], trial: Trial) -> None:
    """A message that comes while the guest waits ends the wait, and the time limit is not prolonged by restarts."""
    guest = fake_guest(host)
    out = guest.alloc(16)
    trial.at(2.0, lambda: guest.state(host).put(b"late"))
    assert guest.call("@NAME@.take", out, 16, 1000) == -1
    assert guest.call("@NAME@.take", out, 16, 5000) == 4
    assert guest.read(out, 4) == b"late"
    assert guest.clock.monotonic() == pytest.approx(1002.0)
'''

_CI = """\
name: tests
on: [push, pull_request]
jobs:
  tests:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        python: ["3.11", "3.12", "3.13"]
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: ${{ matrix.python }}
      - run: python -m pip install -e '.[dev]'
      - run: python -m pytest
      - run: mypy
"""

_IGNORE = """\
.venv/
build/
dist/
*.egg-info/
__pycache__/
"""

#: Path -> text.
_TEMPLATES: Final = {
    "pyproject.toml": _PYPROJECT,
    "README.md": _README,
    "src/hostsdk_@NAME@/__init__.py": _MODULE,
    "src/hostsdk_@NAME@/py.typed": "",
    "tests/test_@NAME@.py": _TESTS,
    ".github/workflows/tests.yml": _CI,
    ".gitignore": _IGNORE,
}


def files(name: str, version: str) -> Mapping[str, str]:
    """The files of the package for the host module `name`, by path; `version` is the least hostsdk that it needs."""
    words = {"@NAME@": name, "@DASHED@": name.replace("_", "-"), "@VERSION@": version}

    def filled(text: str) -> str:
        for mark, word in words.items():
            text = text.replace(mark, word)
        return text

    return {filled(path): filled(text) for path, text in _TEMPLATES.items()}
