"""A module (spec 2.5): decoded, validated, and never changed afterwards.

Bodies stay bytes until somebody asks for them. Loading decodes and checks each once and throws the result away, which
keeps a module of megabytes at the size of its bytes; `Module.body` does it again for the few functions that run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

from . import lean
from .binary.code import bodies, decode_body
from .binary.sections import decode
from .declarations import Code, Declarations, ExternKind, Import
from .errors import InvalidError, LimitError, UnsupportedError
from .features import AVAILABLE, Feature
from .instr.legacy import RETHROW, TRY
from .instr.model import Op
from .limits import MAX_MODULE_LOCALS, Limits
from .types import ExternType, FuncType, TagType
from .validate.env import Env
from .validate.function import check_function
from .validate.layout import Layout
from .validate.liveness import Layouts, layouts
from .validate.module import check_module
from .validate.sidetable import SideTable
from .validate.stack import Meter

_MAX_SIZE = Limits().module


@lean.frozen(eq=False)
class LayoutsByPc(Mapping[int, Layout]):
    """Layouts of a body's check points by byte offset; the entry has that of the byte before the first instruction."""

    layouts: Layouts
    indexes: dict[int, int]

    def __getitem__(self, pc: int) -> Layout:
        return self.layouts[self.indexes[pc]]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indexes)

    def __len__(self) -> int:
        return len(self.indexes)


@lean.frozen(eq=False)
class Body:
    """A function body, decoded and checked: what every tier starts from."""

    code: Code
    #: The last is the closing `end`. Keys of `side` and `layouts` are indexes into it.
    ops: Sequence[Op]
    side: SideTable
    #: Layout of the frame record at each check point, -1 for the function's entry.
    layouts: Layouts
    #: The same layouts, by byte offset in the module.
    by_pc: LayoutsByPc

    @classmethod
    def make(cls, module: Module, code: Code) -> Body:
        """Raises MalformedError or InvalidError."""
        decls = module.decls
        ops: Sequence[Op] = decode_body(module.data, code, module.features, decls.data_count is not None, decls.defs)
        code, ops = _modern(module.env, code, ops)
        side = check_function(decls, code, ops, env=module.env, collect=True)
        by_index = layouts(ops, side)
        by_pc = LayoutsByPc(by_index, {ops[i][0] if i >= 0 else ops[0][0] - 1: i for i in by_index})
        return cls(code, ops, side, by_index, by_pc)


@lean.frozen(eq=False, slots=False)
class Module:
    """A valid module. Compared by identity; `hash` tells whether two are the same bytes.

    May be used by any number of threads at once.
    """

    data: bytes
    features: Feature
    decls: Declarations
    #: Index spaces, imports first.
    env: Env
    _bodies: dict[int, Body] = lean.field(factory=dict, init=False, repr=False)
    #: A tier keeps here, by function index, what it has made of the bodies; it alone knows the form.
    prepared: dict[int, object] = lean.field(factory=dict, init=False, repr=False)
    #: Machine code of the bodies, by how it was made; its tier alone knows the form.
    compiled: dict[object, object] = lean.field(factory=dict, init=False, repr=False)

    @classmethod
    def load(
        cls,
        data: bytes | bytearray | memoryview,
        features: Feature = AVAILABLE,
        *,
        lazy: bool = False,
        max_size: int = _MAX_SIZE,
    ) -> Module:
        """The module that `data` holds in the binary format.

        Raises LimitError if it has more than `max_size` bytes, MalformedError, InvalidError, and UnsupportedError
        where it needs a feature that is not in `features` or not there yet. `lazy` leaves each function body
        unchecked until `body` is asked for it.
        """
        size = memoryview(data).nbytes
        if size > max_size:
            raise LimitError(f"the module has {size} bytes, {max_size} are allowed")
        raw = bytes(data)
        decls = decode(raw, features, bodies=False)
        env = _check(raw, decls, features, lazy)
        return cls(raw, features, decls, env)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        import hashlib  # loads OpenSSL

        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str | None:
        """The module's name in the name section, if it has one."""
        return self.decls.names.module

    def func_name(self, index: int) -> str:
        """The function's name in the name section, else `func[index]`. For people only: names need not be unique."""
        return self.decls.names.funcs.get(index) or f"func[{index}]"

    def func_type(self, index: int) -> FuncType:
        """Type of a function, by its index; imports come first."""
        return self.env.funcs[index]

    def tag_name(self, index: int) -> str:
        """The tag's name in the name section, else `tag[index]`. For people only."""
        return self.decls.names.tags.get(index) or f"tag[{index}]"

    def body(self, index: int) -> Body:
        """The body of a function of the module's own, made once.

        Raises IndexError for an imported function or none at all; after a lazy load also MalformedError and
        InvalidError.
        """
        body = self._bodies.get(index)
        if body is None:
            own = index - self.imported_funcs
            if not 0 <= own < len(self.decls.codes):
                raise IndexError(f"function {index} has no body in this module")
            body = self._bodies.setdefault(index, Body.make(self, self.decls.codes[own]))
        return body

    @functools.cached_property
    def imported_funcs(self) -> int:
        """How many functions are imported: the index of the first of the module's own."""
        return self.decls.imported(ExternKind.FUNC)

    @functools.cached_property
    def wants(self) -> tuple[ExternType, ...]:
        """The types of the imports, in order."""
        return tuple(map(self.import_type, self.decls.imports))

    def import_types(self) -> list[tuple[str, str, ExternType]]:
        """Module, name and type of each import, in order."""
        return [(i.module, i.name, self.import_type(i)) for i in self.decls.imports]

    def import_type(self, item: Import) -> ExternType:
        """The type of one import."""
        if not isinstance(item.desc, int):
            return item.desc
        type_ = self.decls.functype(item.desc)
        return TagType(type_) if item.kind is ExternKind.TAG else type_

    def export_types(self) -> list[tuple[str, ExternType]]:
        """Name and type of each export, in order."""
        return [(e.name, self._extern_type(e.kind, e.index)) for e in self.decls.exports]

    def _extern_type(self, kind: ExternKind, index: int) -> ExternType:
        env = self.env
        spaces: dict[ExternKind, Sequence[ExternType]] = {
            ExternKind.FUNC: env.funcs,
            ExternKind.TABLE: env.tables,
            ExternKind.MEMORY: env.memories,
            ExternKind.GLOBAL: env.globals,
            ExternKind.TAG: env.tags,
        }
        return spaces[kind][index]


def _check(data: bytes, decls: Declarations, features: Feature, lazy: bool) -> Env:
    """Validate all of a module, or with `lazy` all but the bodies.

    The bodies are decoded as they are checked. As what is malformed can't even be invalid, the first invalid thing is
    kept back until the last body has been decoded; a feature that is missing or a limit ends it at once.
    """
    declared = sum(count for code in decls.codes for count, _ in code.locals)
    if declared > MAX_MODULE_LOCALS:
        raise LimitError(f"the functions declare {declared} locals, {MAX_MODULE_LOCALS} are allowed")
    try:
        env = check_module(decls, features)
    except UnsupportedError:
        raise
    except InvalidError:
        if not lazy:
            for _ in bodies(data, decls, features):
                pass
        raise
    if lazy:
        return env
    pending: InvalidError | None = None
    meter = Meter(len(data))
    for code, ops in bodies(data, decls, features):
        if pending is None:
            try:
                check_function(decls, *_modern(env, code, ops), env=env, meter=meter)
            except UnsupportedError:
                raise
            except InvalidError as error:
                pending = error
    if pending is not None:
        raise pending
    return env


def _modern(env: Env, code: Code, ops: Sequence[Op]) -> tuple[Code, Sequence[Op]]:
    """The function without instructions of the legacy exceptions, which hardly any has. Raises InvalidError."""
    if not any(row is TRY or row is RETHROW for _, row, _ in ops):
        return code, ops
    from .validate.legacy import modern

    return modern(env, code, ops)
