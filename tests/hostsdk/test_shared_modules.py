"""One `Module` and one `HostModule` used by many threads at once, each with an instance of its own."""

from __future__ import annotations

import threading

import pytest

from hostsdk import BlockingContext, Context, Engine, EngineConfig, HostModule, Instance, Module, Trap, i32
from tests.support.build import wat

TEXT = """(module
  (import "h" "twice" (func $twice (param i32) (result i32)))
  (import "h" "later" (func $later (param i32) (result i32)))
  (memory (export "memory") 1)
  (func $sum (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "run") (param i32) (result i32)
    (i32.store (i32.const 0) (call $sum (local.get 0)))
    (call $twice (call $later (i32.load (i32.const 0)))))
  (func (export "trap") (result i32) (i32.load (i32.const -1))))"""


def _host() -> HostModule[list[int]]:
    host = HostModule("h", state=list[int])

    @host.function
    def twice(ctx: Context[list[int]], n: i32) -> i32:
        ctx.state.append(n)
        return 2 * n

    @host.restartable
    def later(ctx: BlockingContext[list[int]], n: i32) -> i32:
        ctx.block_until(timeout=0)
        return ctx.once(lambda: n + 1)

    return host


@pytest.mark.parametrize("tier", ["interpreter", "native"])
def test_a_module_is_shared_by_threads(tier: str) -> None:
    """Threads that meet at a module nobody has run yet, prepare its functions at once, and call, trap and suspend in
    instances of their own: every result is right, and every state is its own instance's."""
    module, host, engine = Module.from_bytes(wat(TEXT)), _host(), Engine(EngineConfig(tier=tier))  # type: ignore[arg-type]
    threads = 8
    gate = threading.Barrier(threads)
    found: dict[int, list[object]] = {}

    def work(number: int) -> None:
        gate.wait()
        seen: list[object] = []
        for round_ in range(10):
            with Instance(module, [host], engine=engine) as inst:
                n = 10 * number + round_
                seen.append(inst.call("run", n + 1))
                with pytest.raises(Trap):
                    inst.call("trap")
                execution = inst.start("run", n + 2)
                execution.run()
                seen += [execution.outcome, list(inst.state(host))]
        found[number] = seen

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    def alone(number: int) -> list[object]:
        seen: list[object] = []
        for round_ in range(10):
            sums = [sum(range(1, 10 * number + round_ + more + 1)) + 1 for more in (1, 2)]
            seen += [2 * sums[0], f"Returned(values=({2 * sums[1]},))", sums]
        return seen

    for number in range(threads):
        assert [repr(x) if type(x).__name__ == "Returned" else x for x in found[number]] == alone(number)
