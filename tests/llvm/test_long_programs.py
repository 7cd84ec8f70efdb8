"""Programs of more than fifty million instructions: whole in machine code, with windows in which the interpreter has
them. In the interpreter alone each would take minutes."""

from __future__ import annotations

import random

import pytest
import wasmtime

from runtime import At, Injector, Returned, Store, Suspended, control, snapshot
from tests.support.guests import modules_of, nothing
from tests.support.native import Native, c, engine, needs_native
from tests.support.running import Gaps

from .kernels import SOURCE

pytestmark = [needs_native, pytest.mark.slow]

#: Export, amount, and about every how many check points a window opens.
LONG = (
    ("hash", 15_000, 300_000),
    ("machine", 700_000, 1_500_000),
)


def of_wasmtime(name: str, amount: int) -> int:
    """The result by an engine that is not ours."""
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, c(SOURCE).data)
    func = wasmtime.Instance(store, module, []).exports(store)[name]
    assert isinstance(func, wasmtime.Func)
    return int(func(store, amount))


@pytest.mark.parametrize(("name", "amount", "gap"), LONG, ids=[name for name, *_ in LONG])
def test_the_interpreter_has_a_long_program_for_windows(name: str, amount: int, gap: int) -> None:
    """BEHAVIOURS 75: machine code is suspended at random, an interpreter in another store goes on for a while, and
    machine code after it, again and again: the result is that of another engine."""
    draw = random.Random(name)
    machine, interpreter = engine(), engine(lambda index: False)
    guest = Native(c(SOURCE), using=machine, injector=Gaps(7, gap))
    ctx, root = guest.func(name).start(amount), guest.instance
    windows, native = 0, True
    while isinstance(outcome := control.run(ctx), Suspended):
        native = not native
        injector: Injector = Gaps(draw.randrange(1 << 30), gap) if native else At({draw.randrange(100, 3_000)})
        using = machine if native else interpreter
        data = snapshot.save(ctx, root)
        restored = snapshot.load(data, modules_of(root), nothing, Store(using, injector=injector))
        ctx, root = restored.ctx, restored.instances[0]
        windows += not native
    assert windows >= 3
    assert outcome == Returned((of_wasmtime(name, amount),))
