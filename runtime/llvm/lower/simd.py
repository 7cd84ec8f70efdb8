"""Lowerings: vectors as bits, lanes that move, integer lanes (spec 4.3.6, 4.4.3, 4.4.7). What each computes,
`semantics.lanes` and `semantics.lanes_int` say."""

from __future__ import annotations

from typing import Any

from .. import cpu
from ..abi import VECTOR
from ..emitter import Emitter
from .lanes import BITS, CALL, ORDERS, SHAPES, WIDER, compare, each, lane_type, lanes_of, pop, push, shuffle
from .memory import load, store
from .registry import Lowering, lowers, register

# Whole vectors --------------------------------------------------------------------------------------------------------


@lowers("v128.const")
def _const(e: Emitter, value: Any) -> None:
    low, high = int.from_bytes(value[:8], "little"), int.from_bytes(value[8:], "little")
    # By an instruction: what begins with % is a value, whoever asks.
    e.push(VECTOR, e.value(f"or {VECTOR} zeroinitializer, <i64 {low}, i64 {high}>"))


@lowers("v128.not")
def _not(e: Emitter, immediate: Any) -> None:
    e.push(VECTOR, e.value(f"xor {VECTOR} {e.pop()}, {each('i64x2', -1)}"))


def _logic(name: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        b, a = e.pop(), e.pop()
        e.push(VECTOR, e.value(f"{name} {VECTOR} {a}, {b}"))

    return lower


for _name in ("and", "or", "xor"):
    register(f"v128.{_name}", _logic(_name))


@lowers("v128.andnot")
def _andnot(e: Emitter, immediate: Any) -> None:
    b, a = e.pop(), e.pop()
    inverse = e.value(f"xor {VECTOR} {b}, {each('i64x2', -1)}")
    e.push(VECTOR, e.value(f"and {VECTOR} {a}, {inverse}"))


@lowers("v128.bitselect", *[f"{shape}.relaxed_laneselect" for shape in ("i8x16", "i16x8", "i32x4", "i64x2")])
def _bitselect(e: Emitter, immediate: Any) -> None:
    mask, b, a = e.pop(), e.pop(), e.pop()
    differ = e.value(f"xor {VECTOR} {a}, {b}")
    chosen = e.value(f"and {VECTOR} {differ}, {mask}")
    e.push(VECTOR, e.value(f"xor {VECTOR} {chosen}, {b}"))


@lowers("v128.any_true")
def _any_true(e: Emitter, immediate: Any) -> None:
    e.push("i1", e.value(f"icmp ne i128 {e.value(f'bitcast {VECTOR} {e.pop()} to i128')}, 0"))


@lowers("i8x16.shuffle")
def _i8x16_shuffle(e: Emitter, lanes: Any) -> None:
    b, a = pop(e, "i8x16"), pop(e, "i8x16")
    push(e, "i8x16", shuffle(e, "<16 x i8>", a, b, lanes))


@lowers("i8x16.swizzle", "i8x16.relaxed_swizzle")
def _swizzle(e: Emitter, immediate: Any) -> None:
    """The processor's own, where it has one, gives 0 for a number whose top bit is set, which this sum gives to all
    from 16 on."""
    indexes, a = pop(e, "i8x16"), pop(e, "i8x16")
    t = "<16 x i8>"
    if "ssse3" not in cpu.features():
        push(e, "i8x16", _one_by_one(e, a, indexes))
        return
    far = e.value(f"call {t} @llvm.uadd.sat.v16i8({t} {indexes}, {t} {each('i8x16', 0x70)})")
    push(e, "i8x16", e.value(f"call {t} @llvm.x86.ssse3.pshuf.b.128({t} {a}, {t} {far})"))


def _one_by_one(e: Emitter, a: str, indexes: str) -> str:
    """A swizzle lane by lane, for any processor."""
    t = "<16 x i8>"
    result = "zeroinitializer"
    for lane in range(16):
        index = e.value(f"extractelement {t} {indexes}, i32 {lane}")
        near = e.value(f"icmp ult i8 {index}, 16")
        found = e.value(f"extractelement {t} {a}, i8 {e.value(f'and i8 {index}, 15')}")
        found = e.value(f"select i1 {near}, i8 {found}, i8 0")
        result = e.value(f"insertelement {t} {result}, i8 {found}, i32 {lane}")
    return result


# Lanes in and out -----------------------------------------------------------------------------------------------------


def _lane_value(e: Emitter, shape: str) -> str:
    """The topmost operand, a number, as a lane."""
    text = e.pop()
    return e.value(f"trunc i32 {text} to i{BITS[shape]}") if BITS[shape] < 32 else text


def _splat_of(e: Emitter, type_: str, lane: str, value: str, lanes: int) -> str:
    first = e.value(f"insertelement {type_} poison, {lane} {value}, i32 0")
    return shuffle(e, type_, first, "poison", [0] * lanes)


def _splat(shape: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        value = _lane_value(e, shape)
        push(e, shape, _splat_of(e, SHAPES[shape][0], lane_type(shape), value, lanes_of(shape)))

    return lower


def _replace(shape: str) -> Lowering:
    def lower(e: Emitter, lane: Any) -> None:
        value, a = _lane_value(e, shape), pop(e, shape)
        push(e, shape, e.value(f"insertelement {SHAPES[shape][0]} {a}, {lane_type(shape)} {value}, i32 {lane}"))

    return lower


def _extract(shape: str, extend: str | None) -> Lowering:
    type_ = lane_type(shape)

    def lower(e: Emitter, lane: Any) -> None:
        value = e.value(f"extractelement {SHAPES[shape][0]} {pop(e, shape)}, i32 {lane}")
        if extend is None:
            e.push(type_, value)
        else:
            e.push("i32", e.value(f"{extend} {type_} {value} to i32"))

    return lower


for _shape in SHAPES:
    register(f"{_shape}.splat", _splat(_shape))
    register(f"{_shape}.replace_lane", _replace(_shape))
    if BITS[_shape] < 32:
        register(f"{_shape}.extract_lane_s", _extract(_shape, "sext"))
        register(f"{_shape}.extract_lane_u", _extract(_shape, "zext"))
    else:
        register(f"{_shape}.extract_lane", _extract(_shape, None))


# Loads and stores -----------------------------------------------------------------------------------------------------


@lowers("v128.load")
def _load(e: Emitter, immediate: Any) -> None:
    _, offset, index = immediate
    e.push(VECTOR, load(e, VECTOR, offset, 16, index))


@lowers("v128.store")
def _store(e: Emitter, immediate: Any) -> None:
    _, offset, index = immediate
    store(e, VECTOR, e.pop(), offset, 16, index)


def _read(e: Emitter, immediate: Any, type_: str, width: int) -> str:
    return load(e, type_, immediate[1], width, immediate[2])


def _load_wider(source: str, sign: str) -> Lowering:
    shape, lanes = WIDER[source], lanes_of(source) // 2
    half = f"<{lanes} x {lane_type(source)}>"

    def lower(e: Emitter, immediate: Any) -> None:
        value = _read(e, immediate, half, 8)
        push(e, shape, e.value(f"{sign}ext {half} {value} to {SHAPES[shape][0]}"))

    return lower


def _load_splat(shape: str) -> Lowering:
    type_, lane = SHAPES[shape][0], lane_type(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        push(e, shape, _splat_of(e, type_, lane, _read(e, immediate, lane, BITS[shape] // 8), lanes_of(shape)))

    return lower


def _load_zero(shape: str) -> Lowering:
    type_, lane = SHAPES[shape][0], lane_type(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        value = _read(e, immediate, lane, BITS[shape] // 8)
        push(e, shape, e.value(f"insertelement {type_} zeroinitializer, {lane} {value}, i32 0"))

    return lower


def _load_lane(shape: str) -> Lowering:
    type_, lane = SHAPES[shape][0], lane_type(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        a = pop(e, shape)
        value = _read(e, immediate, lane, BITS[shape] // 8)
        push(e, shape, e.value(f"insertelement {type_} {a}, {lane} {value}, i32 {immediate[3]}"))

    return lower


def _store_lane(shape: str) -> Lowering:
    type_, lane = SHAPES[shape][0], lane_type(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        value = e.value(f"extractelement {type_} {pop(e, shape)}, i32 {immediate[3]}")
        store(e, lane, value, immediate[1], BITS[shape] // 8, immediate[2])

    return lower


for _shape in ("i8x16", "i16x8", "i32x4", "i64x2"):
    _n = BITS[_shape]
    register(f"v128.load{_n}_splat", _load_splat(_shape))
    register(f"v128.load{_n}_lane", _load_lane(_shape))
    register(f"v128.store{_n}_lane", _store_lane(_shape))
    if _n < 64:
        for _sign in "sz":
            register(f"v128.load{_n}x{64 // _n}_{'s' if _sign == 's' else 'u'}", _load_wider(_shape, _sign))
    if _n >= 32:
        register(f"v128.load{_n}_zero", _load_zero(_shape))


# Integer lanes --------------------------------------------------------------------------------------------------------


def _binary(shape: str, text: str) -> Lowering:
    """`text` is over `{t}`, `{v}` (the intrinsic's suffix), `{a}` and `{b}`."""
    type_, suffix = SHAPES[shape]

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = pop(e, shape), pop(e, shape)
        push(e, shape, e.value(text.format(t=type_, v=suffix, a=a, b=b)))

    return lower


def _unary(shape: str, text: str) -> Lowering:
    type_, suffix = SHAPES[shape]

    def lower(e: Emitter, immediate: Any) -> None:
        push(e, shape, e.value(text.format(t=type_, v=suffix, a=pop(e, shape))))

    return lower


def _all_true(shape: str) -> Lowering:
    type_, lanes = SHAPES[shape][0], lanes_of(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        none = e.value(f"icmp eq {type_} {pop(e, shape)}, zeroinitializer")
        e.push("i1", e.value(f"icmp eq i{lanes} {e.value(f'bitcast <{lanes} x i1> {none} to i{lanes}')}, 0"))

    return lower


def _bitmask(shape: str) -> Lowering:
    type_, lanes = SHAPES[shape][0], lanes_of(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        found = e.value(f"icmp slt {type_} {pop(e, shape)}, zeroinitializer")
        e.push("i32", e.value(f"zext i{lanes} {e.value(f'bitcast <{lanes} x i1> {found} to i{lanes}')} to i32"))

    return lower


def _shift(shape: str, name: str) -> Lowering:
    type_, bits = SHAPES[shape][0], BITS[shape]

    def lower(e: Emitter, immediate: Any) -> None:
        count = e.value(f"and i32 {e.pop()}, {bits - 1}")
        if bits != 32:
            count = e.value(f"{'zext' if bits > 32 else 'trunc'} i32 {count} to i{bits}")
        counts = _splat_of(e, type_, f"i{bits}", count, lanes_of(shape))
        push(e, shape, e.value(f"{name} {type_} {pop(e, shape)}, {counts}"))

    return lower


for _shape in ("i8x16", "i16x8", "i32x4", "i64x2"):
    for _name in ("add", "sub", "mul"):
        if (_shape, _name) != ("i8x16", "mul"):
            register(f"{_shape}.{_name}", _binary(_shape, _name + " {t} {a}, {b}"))
    register(f"{_shape}.neg", _unary(_shape, "sub {t} zeroinitializer, {a}"))
    register(f"{_shape}.abs", _unary(_shape, "call {t} @llvm.abs.{v}({t} {a}, i1 false)"))
    register(f"{_shape}.all_true", _all_true(_shape))
    register(f"{_shape}.bitmask", _bitmask(_shape))
    for _name, _op in (("shl", "shl"), ("shr_s", "ashr"), ("shr_u", "lshr")):
        register(f"{_shape}.{_name}", _shift(_shape, _op))
    for _name in ("eq", "ne"):
        register(f"{_shape}.{_name}", compare(_shape, f"icmp {_name}"))
    for _name in ORDERS:
        register(f"{_shape}.{_name}_s", compare(_shape, f"icmp s{_name}"))
        if _shape != "i64x2":
            register(f"{_shape}.{_name}_u", compare(_shape, f"icmp u{_name}"))
    for _name in ("min", "max"):
        if _shape != "i64x2":
            register(f"{_shape}.{_name}_s", _binary(_shape, CALL.format("s" + _name)))
            register(f"{_shape}.{_name}_u", _binary(_shape, CALL.format("u" + _name)))
for _shape in ("i8x16", "i16x8"):
    for _name in ("add", "sub"):
        register(f"{_shape}.{_name}_sat_s", _binary(_shape, CALL.format(f"s{_name}.sat")))
        register(f"{_shape}.{_name}_sat_u", _binary(_shape, CALL.format(f"u{_name}.sat")))
register("i8x16.popcnt", _unary("i8x16", "call {t} @llvm.ctpop.{v}({t} {a})"))


def _average(shape: str) -> Lowering:
    type_, lanes, bits = SHAPES[shape][0], lanes_of(shape), BITS[shape]
    wide = f"<{lanes} x i{2 * bits}>"

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = (e.value(f"zext {type_} {pop(e, shape)} to {wide}") for _ in range(2))
        total = e.value(f"add {wide} {a}, {b}")
        ones = f"<{', '.join([f'i{2 * bits} 1'] * lanes)}>"
        half = e.value(f"lshr {wide} {e.value(f'add {wide} {total}, {ones}')}, {ones}")
        push(e, shape, e.value(f"trunc {wide} {half} to {type_}"))

    return lower


def _narrow(shape: str, signed: bool) -> Lowering:
    """From signed lanes of twice the bits, each brought into range."""
    source, bits, lanes = WIDER[shape], BITS[shape], lanes_of(shape) // 2
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    wide, suffix = SHAPES[source]
    half = f"<{lanes} x i{bits}>"

    def one(e: Emitter) -> str:
        a = e.value(f"call {wide} @llvm.smax.{suffix}({wide} {pop(e, source)}, {wide} {each(source, low)})")
        a = e.value(f"call {wide} @llvm.smin.{suffix}({wide} {a}, {wide} {each(source, high)})")
        return e.value(f"trunc {wide} {a} to {half}")

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = one(e), one(e)
        push(e, shape, shuffle(e, half, a, b, range(2 * lanes)))

    return lower


def _some(e: Emitter, source: str, indexes: Any, extend: str, text: str | None = None) -> str:
    """These lanes of an operand, each in twice the bits."""
    a = pop(e, source) if text is None else text
    numbers = list(indexes)
    type_, wide = SHAPES[source][0], SHAPES[WIDER[source]][0]
    part = shuffle(e, type_, a, "poison", numbers)
    return e.value(f"{extend} <{len(numbers)} x {lane_type(source)}> {part} to {wide}")


def _half(source: str, high: bool) -> range:
    count = lanes_of(source) // 2
    return range(count, 2 * count) if high else range(count)


def _extend(source: str, high: bool, extend: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        push(e, WIDER[source], _some(e, source, _half(source, high), extend))

    return lower


def _multiply_wider(source: str, high: bool, extend: str) -> Lowering:
    wide = SHAPES[WIDER[source]][0]

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = (_some(e, source, _half(source, high), extend) for _ in range(2))
        push(e, WIDER[source], e.value(f"mul {wide} {a}, {b}"))

    return lower


def _neighbours(e: Emitter, source: str, extend: str, text: str) -> tuple[str, str]:
    """The even lanes and the odd ones, each in twice the bits."""
    lanes = lanes_of(source)
    return (
        _some(e, source, range(0, lanes, 2), extend, text),
        _some(e, source, range(1, lanes, 2), extend, text),
    )  # fmt: skip


def _add_pairwise(source: str, extend: str) -> Lowering:
    wide = SHAPES[WIDER[source]][0]

    def lower(e: Emitter, immediate: Any) -> None:
        even, odd = _neighbours(e, source, extend, pop(e, source))
        push(e, WIDER[source], e.value(f"add {wide} {even}, {odd}"))

    return lower


for _shape in ("i8x16", "i16x8"):
    register(f"{_shape}.avgr_u", _average(_shape))
    register(f"{_shape}.narrow_{WIDER[_shape]}_s", _narrow(_shape, True))
    register(f"{_shape}.narrow_{WIDER[_shape]}_u", _narrow(_shape, False))
for _source, _shape in WIDER.items():
    for _sign, _ext in (("s", "sext"), ("u", "zext")):
        for _where in ("low", "high"):
            register(f"{_shape}.extend_{_where}_{_source}_{_sign}", _extend(_source, _where == "high", _ext))
            register(f"{_shape}.extmul_{_where}_{_source}_{_sign}", _multiply_wider(_source, _where == "high", _ext))
        if _source != "i32x4":
            register(f"{_shape}.extadd_pairwise_{_source}_{_sign}", _add_pairwise(_source, _ext))


def _products(e: Emitter, source: str) -> tuple[str, str]:
    """The products of the even lanes and of the odd ones of two operands, in twice the bits."""
    wide = SHAPES[WIDER[source]][0]
    b, a = pop(e, source), pop(e, source)
    (even_a, odd_a), (even_b, odd_b) = _neighbours(e, source, "sext", a), _neighbours(e, source, "sext", b)
    return e.value(f"mul {wide} {even_a}, {even_b}"), e.value(f"mul {wide} {odd_a}, {odd_b}")


@lowers("i32x4.dot_i16x8_s")
def _dot(e: Emitter, immediate: Any) -> None:
    even, odd = _products(e, "i16x8")
    push(e, "i32x4", e.value(f"add <4 x i32> {even}, {odd}"))


def _relaxed_dot_of(e: Emitter) -> str:
    even, odd = _products(e, "i8x16")
    return e.value(f"call <8 x i16> @llvm.sadd.sat.v8i16(<8 x i16> {even}, <8 x i16> {odd})")


@lowers("i16x8.relaxed_dot_i8x16_i7x16_s")
def _relaxed_dot(e: Emitter, immediate: Any) -> None:
    push(e, "i16x8", _relaxed_dot_of(e))


@lowers("i32x4.relaxed_dot_i8x16_i7x16_add_s")
def _relaxed_dot_add(e: Emitter, immediate: Any) -> None:
    c = pop(e, "i32x4")
    even, odd = _neighbours(e, "i16x8", "sext", _relaxed_dot_of(e))
    push(e, "i32x4", e.value(f"add <4 x i32> {e.value(f'add <4 x i32> {even}, {odd}')}, {c}"))


@lowers("i16x8.q15mulr_sat_s", "i16x8.relaxed_q15mulr_s")
def _q15mulr(e: Emitter, immediate: Any) -> None:
    wide, ext = "<8 x i32>", "sext <8 x i16> {} to <8 x i32>"
    b, a = (e.value(ext.format(pop(e, "i16x8"))) for _ in range(2))
    product = e.value(f"add {wide} {e.value(f'mul {wide} {a}, {b}')}, {each('i32x4', 0x4000, 8)}")
    shifted = e.value(f"ashr {wide} {product}, {each('i32x4', 15, 8)}")
    cut = e.value(f"call {wide} @llvm.smin.v8i32({wide} {shifted}, {wide} {each('i32x4', 0x7FFF, 8)})")
    push(e, "i16x8", e.value(f"trunc {wide} {cut} to <8 x i16>"))
