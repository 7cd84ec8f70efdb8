"""What is packed or saved comes back the same, bit by bit, wherever a program happens to be suspended."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import ExecContext, Instance, Module, Randomly, Store, WasmFrame, snapshot
from runtime.exec.frames import pack
from tests.support.differential import mixer, ours, plan
from tests.support.guests import modules_of
from tests.support.hosts import lookup
from tests.support.programs import Program

SEEDS = st.integers(0, 1 << 32)


@settings(max_examples=25)
@given(seed=SEEDS)
def test_frames_are_what_their_slots_say(seed: int) -> None:
    """Packing a frame's values gives its record again, at every suspension; the layout is that of its check point."""

    def look(ctx: ExecContext, instance: Instance) -> tuple[ExecContext, Instance]:
        for frame in ctx.frames:
            if isinstance(frame, WasmFrame):
                assert pack(frame.layout, frame.slots()) == (frame.raw, frame.handles)
                assert len(frame.slots()) == len(frame.layout.types) == len(frame.layout.live) + frame.layout.operands
                assert WasmFrame(frame.func, frame.raw, frame.handles).layout is not None
                assert WasmFrame(frame.func, frame.raw, frame.handles).slots() == frame.slots() or _nan(frame)
        return ctx, instance

    module = Module.load(Program(seed).data)
    ours(module, plan(module, seed, fuel="g0"), injector=Randomly(seed, 0.5), between=look)


def _nan(frame: WasmFrame) -> bool:
    return any(value != value for value in frame.slots())


@settings(max_examples=15)
@given(seed=SEEDS)
def test_what_is_loaded_is_saved_as_it_was(seed: int) -> None:
    """Saving what has just been loaded gives the very same bytes."""
    hosts = lookup(mixer())

    def again(ctx: ExecContext, instance: Instance) -> tuple[ExecContext, Instance]:
        data = snapshot.save(ctx, instance, {"seed": seed})
        restored = snapshot.load(data, modules_of(instance), hosts, Store(injector=ctx.requests.injector))
        restored.ctx.requests.checks = ctx.requests.checks
        assert snapshot.save(restored.ctx, restored.instances[0], restored.extra) == data
        return restored.ctx, restored.instances[0]

    module = Module.load(Program(seed).data)
    ours(module, plan(module, seed, fuel="g0"), injector=Randomly(seed, 0.3), between=again)
