"""What checking a body finds out on the way: see `runtime/validate/sidetable.py`."""

from __future__ import annotations

from runtime.binary.code import decode_body
from runtime.binary.sections import decode
from runtime.features import AVAILABLE
from runtime.instr.model import Op
from runtime.types import F32, F64, I32, I64
from runtime.validate.function import check_function
from runtime.validate.sidetable import Block, SideTable
from tests.support.build import wat


def _collect(text: str) -> tuple[list[Op], SideTable]:
    """The first function's instructions and side table."""
    data = wat(f"(module {text})")
    decls = decode(data, AVAILABLE, bodies=False)
    ops = decode_body(data, decls.codes[0], AVAILABLE, False)
    return ops, check_function(decls, decls.codes[0], ops, collect=True)


def _places(ops: list[Op], name: str) -> list[int]:
    return [index for index, (_, row, _) in enumerate(ops) if row.name == name]


def test_blocks_know_where_branches_go() -> None:
    """Each structured instruction is described by its ends, its types and the operands beneath its parameters."""
    ops, side = _collect("""
      (func (param i32) (result i64)
        i64.const 1
        block (result f32)
          i32.const 2
          loop (param i32) drop end
          local.get 0
          if (result f32) f32.const 0 else f32.const 1 end
        end
        drop)
    """)
    block, loop, if_ = (_places(ops, name)[0] for name in ("block", "loop", "if"))
    ends = _places(ops, "end")
    assert side.func == Block("func", -1, (), (I64,), 0, end=len(ops) - 1)
    assert side.blocks == {
        block: Block("block", block, (), (F32,), 1, end=ends[2]),
        loop: Block("loop", loop, (I32,), (), 1, end=ends[0]),
        if_: Block("if", if_, (), (F32,), 1, end=ends[1], else_=_places(ops, "else")[0]),
    }
    assert not any(side.dead)
    assert side.max_height == 2


def test_operands_are_known_at_check_points() -> None:
    """A loop has all operands with its parameters, a call those beneath its arguments; a tail call has none."""
    ops, side = _collect("""
      (func (result i32)
        f64.const 0
        i32.const 1 i64.const 2
        loop (param i64) (result i32)
          call $f
          f32.const 1 i64.const 0 i32.const 0 call_indirect (param i64) (result i32)
          drop drop
        end
        i32.const 0 if i64.const 1 return_call $f end
        drop drop drop i32.const 7)
      (func $f (param i64) (result i32) i32.const 0)
      (table 1 funcref)
    """)
    loop, call, indirect = (_places(ops, name)[0] for name in ("loop", "call", "call_indirect"))
    assert side.operands == {loop: (F64, I32, I64), call: (F64, I32), indirect: (F64, I32, I32, F32)}
    assert side.max_height == 6


def test_dead_code_is_marked_and_not_described() -> None:
    """Behind an unconditional branch everything up to the next end or else is dead, blocks within included."""
    ops, side = _collect("""
      (func (param i32) (result i32)
        local.get 0
        if (result i32)
          i32.const 1 return
          loop i32.const 0 call 0 if nop else i32.const 0 call 0 drop end end
          unreachable
        else
          block br 0 drop end
          i32.const 2
        end
        return
        call 0)
    """)
    dead = [ops[index][1].name for index, mark in enumerate(side.dead) if mark]
    assert dead == "loop i32.const call if nop else i32.const call drop end end unreachable drop call".split()
    assert [block.kind for block in side.blocks.values()] == ["if", "block"]
    assert side.operands == {}


def test_locals_are_parameters_first() -> None:
    """Types of all locals in the order of their indexes."""
    _, side = _collect("(func (param i64 f32) (local i32 i32 i32) (local f64))")
    assert side.locals == (I64, F32, I32, I32, I32, F64)


def test_collecting_is_optional() -> None:
    """Without `collect` a body is only judged."""
    data = wat("(module (func))")
    decls = decode(data, AVAILABLE, bodies=False)
    ops = decode_body(data, decls.codes[0], AVAILABLE, False)
    result: object = check_function(decls, decls.codes[0], ops)
    assert result is None
