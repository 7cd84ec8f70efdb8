"""Bytes from strangers: the decoder gives MalformedError, or InvalidError for what is unsupported or a type that is not
there, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.binary.sections import decode
from runtime.errors import InvalidError, MalformedError
from runtime.features import AVAILABLE, MVP, WASM_2_0, Feature

from ..support.build import wat
from ..support.raw import MAGIC, one_body

_GUEST = """(module $guest
  (type $t (func (param i32) (result i32)))
  (import "env" "host" (func $host (type $t)))
  (import "env" "g" (global i32))
  (table 3 10 funcref)
  (memory 1 2)
  (global $counter (mut i64) (i64.const -5))
  (elem (i32.const 0) $host $run)
  (elem func $run)
  (elem externref (ref.null extern))
  (data (i32.const 4) "hello")
  (data $passive "passive")
  (func $run (export "run") (param $x i32) (result i32) (local f64 f32 externref)
    (local.set 1 (f64.const 0x1.8p3))
    (block $out (result i32)
      (loop $again
        (br_if $again (i32.eqz (call_indirect (type $t) (local.get $x) (i32.const 1))))
        (br_table $out $again $out (i32.const 9) (local.get $x)))
      (if (result i32) (i32.load8_u offset=300 (local.get $x))
        (then (i32.wrap_i64 (global.get $counter)))
        (else (select (result i32) (i32.const 1) (i32.const -70000) (ref.is_null (ref.func $run))))))
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 3))
    (data.drop $passive)
    (table.set (i32.const 0) (table.get (i32.const 1)))
    (drop (i64.trunc_sat_f32_s (f32.const nan:0x200000)))
    (return_call $host)))"""


def _error(data: bytes, features: Feature = AVAILABLE) -> MalformedError | InvalidError | None:
    """What decoding `data` says; any other exception is the test's failure."""
    try:
        decode(data, features)
    except (MalformedError, InvalidError) as error:
        return error
    return None


def _survives(data: bytes) -> None:
    for features in AVAILABLE, WASM_2_0, MVP:
        error = _error(data, features)
        if error is not None:
            assert error.offset is not None
            assert 0 <= error.offset <= len(data)


def test_every_prefix_is_decoded_or_malformed() -> None:
    """A module that is cut anywhere never seems to need a feature: it is either whole by chance or malformed."""
    data = wat(_GUEST)
    errors = [_error(data[:size]) for size in range(len(data))]
    assert {type(error) for error in errors} == {MalformedError, type(None)}
    assert errors.count(None) < 12


def test_every_byte_may_be_any_other() -> None:
    """One byte changed, at every place, to values that mean something somewhere."""
    data = wat(_GUEST)
    decode(data, AVAILABLE)
    for place in range(len(data)):
        for value in (0x00, 0x0B, 0x40, 0x7F, 0x80, 0xFC, 0xFF, data[place] ^ 1):
            _survives(data[:place] + bytes([value]) + data[place + 1 :])


@settings(max_examples=300)
@given(st.data())
def test_any_mutation_is_survived(data: st.DataObject) -> None:
    """Bytes replaced, removed, doubled and put in, several at a time."""
    raw = bytearray(wat(_GUEST))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 12)))
        raw[start:end] = data.draw(st.binary(max_size=8) | st.just(bytes(raw[start:end]) * 2))
    _survives(bytes(raw))


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_survived(tail: bytes) -> None:
    """As sections, and as a function body."""
    _survives(tail)
    _survives(MAGIC + tail)
    _survives(one_body(tail, count_data=True))


@pytest.mark.parametrize("byte", range(256))
def test_every_opcode_byte_is_survived(byte: int) -> None:
    """Alone, and with every short run of the same byte behind it."""
    for length in range(1, 8):
        _survives(one_body(bytes([byte]) + bytes([length]) * length + b"\x0b"))
        _survives(one_body(bytes([byte]) * length + b"\x0b"))
