"""Checking what a module declares outside of function bodies (spec 3.6)."""

from __future__ import annotations

from ..declarations import Declarations, Elem, Export, ExternKind, Mode
from ..errors import InvalidError
from ..features import AVAILABLE, Feature
from ..limits import PAGE
from ..typedefs import may_extend
from ..types import FUNCREF, I32, I64, FuncType, GlobalType, MemoryType, TableType, type_matches
from ..values import M32, M64
from .constexpr import check_expr
from .env import Env


def check_module(decls: Declarations, features: Feature = AVAILABLE) -> Env:
    """Check everything but the bodies, and give what checking those needs.

    Raises InvalidError, or UnsupportedError for what needs a feature that is not in `features`.
    """
    env = Env.of(decls, features)
    _check_types(env)
    for imported in decls.imports:
        if not isinstance(imported.desc, int):
            _check_type(env, imported.desc, imported.offset)
        if isinstance(imported.desc, GlobalType) and imported.desc.mutable:
            env.require(Feature.MUTABLE_GLOBAL, "import of a mutable global", offset=imported.offset)
    _check_globals(env, decls)
    _check_tables(env, decls)
    _check_memories(env, decls)
    _check_tags(env, decls)
    _check_exports(env, decls)
    _check_start(env, decls)
    for elem in decls.elems:
        _check_elem(env, elem)
    _check_datas(env, decls)
    return env


def _check_types(env: Env) -> None:
    """Spec 3.2.10: a type fits the supertype that it declares."""
    for index, (comp, def_) in enumerate(zip(env.types, env.defs, strict=True)):
        if isinstance(comp, FuncType):
            env.require_types((*comp.params, *comp.results))
            if len(comp.results) > 1:
                env.require(Feature.MULTI_VALUE, f"function type {comp}")
        above = def_.supertype
        if above is not None and above.final:
            raise InvalidError(f"sub type {index} has a final type above it")
        if above is not None and not may_extend(comp, above.comp):
            raise InvalidError(f"sub type {index} does not match super type: {comp!r} extends {above.comp!r}")


def _check_type(env: Env, type_: TableType | MemoryType | GlobalType, offset: int) -> None:
    """Spec 3.2: limits, and that the types within are on."""
    match type_:
        case TableType(elem, low, high, address):
            if elem is not FUNCREF:
                env.require_types((elem,), offset=offset)
            most, text = (M32, "2^32-1") if address is I32 else (M64, "2^64-1")
            _check_limits(low, high, most, f"table size must be at most {text} entries", offset)
        case MemoryType(low, high, _, page, shared):
            if shared and high is None:
                raise InvalidError("shared memory must have maximum", offset=offset)
            if page not in (1, PAGE):
                raise InvalidError(f"invalid custom page size: {page} bytes", offset=offset)
            most = type_.most
            _check_limits(low, high, most, f"memory size must be at most {most} pages ({_MOST[type_.address]})", offset)
        case GlobalType(content, _):
            env.require_types((content,), offset=offset)


#: How large memories can be, by the type of their addresses.
_MOST = {I32: "4GiB", I64: "2^64 bytes"}


def _check_limits(low: int, high: int | None, bound: int, message: str, offset: int) -> None:
    if low > bound or (high is not None and high > bound):
        raise InvalidError(message, offset=offset)
    if high is not None and low > high:
        raise InvalidError("size minimum must not be greater than maximum", offset=offset)


def _check_globals(env: Env, decls: Declarations) -> None:
    """A global may read those before it: imported ones and the module's own (spec 3.6.13, in its third edition)."""
    first = decls.imported(ExternKind.GLOBAL)
    for index, global_ in enumerate(decls.globals, first):
        _check_type(env, global_.type, global_.offset)
        check_expr(env, global_.init, global_.type.content, index, global_.offset)


def _check_tables(env: Env, decls: Declarations) -> None:
    """Tables are made before the module's own globals have values: they may read imported ones only."""
    imported = decls.imported(ExternKind.GLOBAL)
    if len(env.tables) > 1:
        env.require(Feature.REFERENCE_TYPES, "multiple tables")
    for table in decls.tables:
        _check_type(env, table.type, table.offset)
        if table.init is None and not table.type.elem.defaultable:
            message = f"type mismatch: a table of {table.type.elem} needs an initial value"
            raise InvalidError(message, offset=table.offset)
        if table.init is not None:
            check_expr(env, table.init, table.type.elem, imported, table.offset)


def _check_memories(env: Env, decls: Declarations) -> None:
    for memory in decls.memories:
        _check_type(env, memory.type, memory.offset)
    if len(env.memories) > 1:
        offset = decls.memories[-1].offset if decls.memories else None
        env.require(Feature.MULTI_MEMORY, "multiple memories", offset=offset)


def _check_tags(env: Env, decls: Declarations) -> None:
    offsets = [i.offset for i in decls.imports if i.kind is ExternKind.TAG] + [tag.offset for tag in decls.tags]
    for tag, offset in zip(env.tags, offsets, strict=True):
        if tag.type.results:
            raise InvalidError(f"non-empty tag result type: {tag.type}", offset=offset)


def _check_exports(env: Env, decls: Declarations) -> None:
    sizes = {
        ExternKind.FUNC: len(env.funcs),
        ExternKind.TABLE: len(env.tables),
        ExternKind.MEMORY: len(env.memories),
        ExternKind.GLOBAL: len(env.globals),
        ExternKind.TAG: len(env.tags),
    }
    names: set[str] = set()
    for export in decls.exports:
        if export.name in names:
            raise InvalidError(f"duplicate export name {export.name!r}", offset=export.offset)
        names.add(export.name)
        if export.index >= sizes[export.kind]:
            raise InvalidError(f"unknown {_WORDS[export.kind]} {export.index}", offset=export.offset)
        _check_exported_global(env, export)


#: The kinds as the spec's own messages have them.
_WORDS = {
    ExternKind.FUNC: "function",
    ExternKind.TABLE: "table",
    ExternKind.MEMORY: "memory",
    ExternKind.GLOBAL: "global",
    ExternKind.TAG: "tag",
}


def _check_exported_global(env: Env, export: Export) -> None:
    if export.kind is ExternKind.GLOBAL and env.globals[export.index].mutable:
        env.require(Feature.MUTABLE_GLOBAL, "export of a mutable global", offset=export.offset)


def _check_start(env: Env, decls: Declarations) -> None:
    if decls.start is None:
        return
    if decls.start >= len(env.funcs):
        raise InvalidError(f"unknown function {decls.start}")
    start = env.funcs[decls.start]
    if start.params or start.results:
        raise InvalidError(f"start function {decls.start} has parameters or results: {env.funcs[decls.start]}")


def _check_elem(env: Env, elem: Elem) -> None:
    if elem.type is not FUNCREF:
        env.require_types((elem.type,), offset=elem.offset)
    if elem.mode is not Mode.ACTIVE:
        env.require(Feature.BULK_MEMORY, f"{elem.mode.value} element segment", offset=elem.offset)
    for expr in elem.init:
        check_expr(env, expr, elem.type, len(env.globals), elem.offset)
    if elem.mode is Mode.ACTIVE:
        if elem.target >= len(env.tables):
            raise InvalidError(f"unknown table {elem.target}", offset=elem.offset)
        table = env.tables[elem.target]
        if not type_matches(elem.type, table.elem):
            raise InvalidError(f"type mismatch: segment of {elem.type} for a table of {table.elem}", offset=elem.offset)
        check_expr(env, elem.at or (), table.address, len(env.globals), elem.offset)


def _check_datas(env: Env, decls: Declarations) -> None:
    for data in decls.datas:
        if data.mode is Mode.PASSIVE:
            env.require(Feature.BULK_MEMORY, "passive data segment", offset=data.offset)
            continue
        if data.target >= len(env.memories):
            raise InvalidError(f"unknown memory {data.target}", offset=data.offset)
        check_expr(env, data.at or (), env.memories[data.target].address, len(env.globals), data.offset)
