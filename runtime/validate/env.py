"""What checking a function needs to know of its module (the spec's context C, 3.1.1), gathered once.

Index spaces are flat tuples, imports first, so that a look-up in a function body is one subscript.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .. import lean
from ..declarations import Declarations, Expr, ExternKind, Import
from ..errors import InvalidError, UnsupportedError
from ..features import AVAILABLE, Feature
from ..types import (
    EXNREF,
    EXTERNREF,
    FUNCREF,
    V128,
    CompType,
    DefType,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    TagType,
    ValType,
)


@lean.frozen(eq=False)
class Env:
    """The index spaces of one module. Never changes, so one serves any number of checks at once."""

    features: Feature
    types: tuple[CompType, ...]
    #: The same, as members of their recursion groups.
    defs: tuple[DefType, ...]
    funcs: tuple[FuncType, ...]
    func_defs: tuple[DefType, ...]
    tables: tuple[TableType, ...]
    memories: tuple[MemoryType, ...]
    globals: tuple[GlobalType, ...]
    tags: tuple[TagType, ...]
    #: Types of the element segments, and the number of data segments.
    elems: tuple[ValType, ...]
    datas: int
    #: Functions that `ref.func` may name in a body: those that occur outside of bodies (spec 3.1.1, C.refs).
    refs: frozenset[int]
    #: Value types that need a feature that is off.
    off: dict[ValType, Feature]

    @classmethod
    def of(cls, decls: Declarations, features: Feature = AVAILABLE) -> Env:
        """The index spaces of `decls`. Raises InvalidError where a function has no type; checks nothing else."""
        by_kind: dict[ExternKind, list[Import]] = {kind: [] for kind in ExternKind}
        for item in decls.imports:
            by_kind[item.kind].append(item)
        funcs = [_func_type(decls.types, i.desc, i.offset) for i in by_kind[ExternKind.FUNC]]
        funcs += [_func_type(decls.types, code.type_index, code.start, code.index) for code in decls.codes]
        indexes = [i.desc for i in by_kind[ExternKind.FUNC] if isinstance(i.desc, int)]
        indexes += [code.type_index for code in decls.codes]
        tags = [TagType(_func_type(decls.types, i.desc, i.offset)) for i in by_kind[ExternKind.TAG]]
        tags += [TagType(_func_type(decls.types, tag.type_index, tag.offset)) for tag in decls.tags]
        tables = [i.desc for i in by_kind[ExternKind.TABLE] if isinstance(i.desc, TableType)]
        memories = [i.desc for i in by_kind[ExternKind.MEMORY] if isinstance(i.desc, MemoryType)]
        globals_ = [i.desc for i in by_kind[ExternKind.GLOBAL] if isinstance(i.desc, GlobalType)]
        return cls(
            features=features,
            types=decls.types,
            defs=decls.defs,
            funcs=tuple(funcs),
            func_defs=tuple([decls.defs[index] for index in indexes]),
            tables=(*tables, *(t.type for t in decls.tables)),
            memories=(*memories, *(m.type for m in decls.memories)),
            globals=(*globals_, *(g.type for g in decls.globals)),
            tags=tuple(tags),
            elems=tuple(e.type for e in decls.elems),
            datas=len(decls.datas) if decls.data_count is None else decls.data_count,
            refs=frozenset(_declared_refs(decls)),
            off={type_: need for type_, need in _NEEDS.items() if need not in features},
        )

    @property
    def signatures(self) -> tuple[FuncType, ...]:
        """The function types among `types`, and an empty one in place of each other."""
        return tuple([t if isinstance(t, FuncType) else FuncType() for t in self.types])

    def func_ref(self, index: int) -> ValType:
        """The type of references to a function."""
        return self.func_defs[index].ref(False)

    def require(self, feature: Feature, what: str, *, offset: int | None = None, func: int | None = None) -> None:
        """Raise UnsupportedError for `what` unless `feature` is on."""
        if feature not in self.features:
            raise UnsupportedError(feature.text, what, offset=offset, func=func)

    def require_types(
        self, types: Iterable[ValType], *, offset: int | None = None, func: int | None = None
    ) -> None:
        """Raise UnsupportedError unless every one of `types` is on."""
        if self.off:
            for type_ in types:
                if type_ in self.off:
                    self.require(self.off[type_], f"type {type_}", offset=offset, func=func)


_NEEDS = {
    FUNCREF: Feature.REFERENCE_TYPES,
    EXTERNREF: Feature.REFERENCE_TYPES,
    EXNREF: Feature.EXCEPTIONS,
    V128: Feature.SIMD,
}


def _func_type(types: tuple[CompType, ...], index: object, offset: int, func: int | None = None) -> FuncType:
    if not isinstance(index, int) or index >= len(types):
        raise InvalidError(f"unknown type {index}", offset=offset, func=func)
    type_ = types[index]
    if not isinstance(type_, FuncType):
        raise InvalidError(f"type mismatch: type {index} is no function type", offset=offset, func=func)
    return type_


def _expressions(decls: Declarations) -> Iterator[Expr]:
    """Every constant expression of a module."""
    for table in decls.tables:
        if table.init is not None:
            yield table.init
    for global_ in decls.globals:
        yield global_.init
    for elem in decls.elems:
        yield from elem.init
        if elem.at is not None:
            yield elem.at
    for data in decls.datas:
        if data.at is not None:
            yield data.at


def _declared_refs(decls: Declarations) -> Iterator[int]:
    for export in decls.exports:
        if export.kind is ExternKind.FUNC:
            yield export.index
    for expr in _expressions(decls):
        for _, row, immediate in expr:
            if row.name == "ref.func" and isinstance(immediate, int):
                yield immediate
