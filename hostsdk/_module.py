"""`HostModule`: host functions under a name that guests import them by."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Concatenate, Generic, Self, overload

from ._annotations import Place, guest_type, local_names, origin_of, param_of, show
from ._context import BlockingContext, Context
from ._decorators import Callbacks, Options, Plain, Restartable
from ._engine import Clock, FuncType, Ref, Scalar, TagInst, TagType, flat, lean
from ._errors import Errors, SignatureError
from ._messages import Text
from ._parameters import parameters_of
from ._registry import Registry
from ._resource_kinds import ResourceKind
from ._signature import Contexts, FunctionSpec, HostCallable, Style, read_signature, style_of
from ._types import FuncRef, P, R, S, Steps, T, W

_CONTEXTS = Contexts(Context, BlockingContext)


class HostModule(Generic[S]):
    """Host functions, and what they share for each instance.

        kv = HostModule("kv", state=dict)

        @kv.function
        def size(ctx: Context[dict[str, bytes]]) -> u32:
            return len(ctx.state)

    A value: it is given to the instances that shall have it, and there is no list of all of them. `state` makes the
    state of one instance and `close` ends it; `errors` maps exceptions to error numbers. Decorators give the function
    back unchanged, and raise SignatureError where its signature can't be a guest's import.
    """

    @overload
    def __init__(self: HostModule[None], name: str, *, errors: Errors | None = None) -> None: ...
    @overload
    def __init__(
        self,
        name: str,
        *,
        state: Callable[[], S],
        close: Callable[[S], object] | None = None,
        errors: Errors | None = None,
    ) -> None: ...
    def __init__(
        self,
        name: str,
        *,
        state: Callable[[], Any] | None = None,
        close: Callable[[Any], object] | None = None,
        errors: Errors | None = None,
    ) -> None:
        asked: object = name
        if not isinstance(asked, str):
            raise SignatureError(Text.MODULE_NAME(value=repr(asked)), repr(asked))
        self.name = name
        self.errors = errors
        self._state = _factory(name, state)
        self._close = close
        self._functions = Registry(name)
        self._tags: dict[str, TagInst] = {}
        self._save: Callable[[Any], object] | None = None
        self._load: Callable[..., Any] | None = None
        #: Whether it takes the clock, too.
        self._load_timed = False
        self._kinds: dict[type[Any], ResourceKind] = {}

    @property
    def functions(self) -> Mapping[str, FunctionSpec]:
        """The registered functions by the name that guests import. Those that are registered `later` are when they are
        looked at; their names are there at once."""
        return self._functions

    @property
    def tags(self) -> Mapping[str, TagInst]:
        """The tags that `tag` made, by the name that guests import."""
        return MappingProxyType(self._tags)

    def tag(self, name: str, *params: Any) -> TagInst:
        """A kind of exception for guests to import: `error = host.tag("error", i32)`, then
        `raise WasmException(error, 42)`, or `except WasmException as e: if e.tag is error: ...`. `params` say what its
        exceptions carry. All instances share it. Raises SignatureError."""
        place = Place(self.name, f"tag({name!r})")
        if name in self._tags:
            raise place.error(Text.DUPLICATE)
        shapes = [param_of(hint, place).shape for hint in params]
        for hint, shape in zip(params, shapes, strict=True):
            if not isinstance(shape, Scalar | Ref):
                raise place.error(Text.TAG_PARAM, type=show(hint))
        type_ = TagType(FuncType(tuple([t for shape in shapes for t in flat(shape)])))
        made = self._tags[name] = TagInst(type_, name, self.name)
        return made

    @property
    def save_hook(self) -> Callable[[S], object] | None:
        """What `@save` registered."""
        return self._save

    @property
    def load_hook(self) -> Callable[..., S] | None:
        """What `@load` registered."""
        return self._load

    @property
    def resource_kinds(self) -> Mapping[type[Any], ResourceKind]:
        """What `resource` registered."""
        return MappingProxyType(self._kinds)

    def make_state(self) -> S:
        """The state for a new instance; None where the module has none."""
        state: S = None if self._state is None else self._state()  # type: ignore[assignment]  # S is None then
        return state

    def load_state(self, data: object, clock: Clock) -> S:
        """The state that `data` was made of, by what `@load` registered, which there must be."""
        hook: Any = self._load
        loaded: S = hook(data, clock) if self._load_timed else hook(data)
        return loaded

    def close_state(self, state: S) -> None:
        """End what `make_state` made."""
        if self._close is not None:
            self._close(state)

    def with_state(self, state: Callable[[], S]) -> Self:
        """The same module with another way to make its state, for configuration. This one is unchanged. Raises
        SignatureError for what can't be called."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._functions = self._functions.copy()
        other._kinds = dict(self._kinds)
        other._tags = dict(self._tags)
        other._state = _factory(self.name, state)
        return other

    def guest(self, name: str, kind: type[FuncRef[P, W]]) -> FuncRef[P, W]:
        """An export of the guest by its name: `malloc = lib.guest("malloc", FuncRef[[u32], u32])`, to be called as any
        FuncRef. It is looked up, and its type compared, at each call. Raises SignatureError for what is no FuncRef."""
        if origin_of(kind) is not FuncRef or not isinstance(name, str):
            raise Place(self.name).error(Text.GUEST_KIND, name=name, value=repr(kind))
        place = Place(self.name, f"guest({name!r})")
        wide = guest_type(kind, lean.evolve(place, wide=True))
        return FuncRef(None, name, lean.evolve(guest_type(kind, place), wide=wide))

    def save(self, fn: Callable[[S], T], /) -> Callable[[S], T]:
        """Register how the state becomes plain data, for `Execution.save`: None, bool, int, float, str, bytes, and
        lists, tuples and dicts of them. Gives `fn` back. Raises SignatureError for a second hook.

        It may raise SnapshotError for a state that can't be saved as it is now.
        """
        self._save = self._hook("save", self._save, fn)
        return fn

    @overload
    def load(self, fn: Callable[[Any], S], /) -> Callable[[Any], S]: ...
    @overload
    def load(self, fn: Callable[[Any, Clock], S], /) -> Callable[[Any, Clock], S]: ...
    def load(self, fn: HostCallable, /) -> HostCallable:
        """Register how saved plain data becomes the state, for `Execution.load`; what `state` made for the new instance
        is closed then. A hook with a second parameter is given the engine's clock, for what goes on from now. Gives
        `fn` back. Raises SignatureError for a second hook."""
        self._load = self._hook("load", self._load, fn)
        takes = [each for each in parameters_of(fn) if not each.many and not each.keyword_only]
        self._load_timed = len(takes) > 1
        return fn

    def resource(
        self,
        kind: type[T],
        *,
        save: Callable[[T], object],
        load: Callable[[S, Any], T],
        close: Callable[[T], object] | None = None,
    ) -> None:
        """Register how resources of class `kind`, whoever added them, are saved: `save(obj)` gives plain data, or
        raises SnapshotError for one that can't be saved as it is now; `load(state, data)` makes the object again, under
        the number that the guest holds, once the state is loaded. `close` ends what `load` made. Raises SignatureError
        for what is no class, for what can't be called, and for a second registration."""
        asked: dict[str, tuple[object, bool]] = {
            "kind": (kind, isinstance(kind, type)), "save": (save, callable(save)), "load": (load, callable(load)),
            "close": (close, close is None or callable(close)),
        }  # fmt: skip
        for name, (value, right) in asked.items():
            if not right:
                raise SignatureError(Text.RESOURCE(module=self.name, name=name, value=repr(value)), self.name)
        if kind in self._kinds:
            raise SignatureError(Text.RESOURCE_TWICE(module=self.name, kind=kind.__name__), self.name)
        self._kinds[kind] = ResourceKind(kind, save, load, close)

    def _hook(self, name: str, old: HostCallable | None, fn: HostCallable) -> HostCallable:
        if old is not None:
            raise SignatureError(Text.HOOK_TWICE(module=self.name, hook=name), self.name, name)
        return fn

    @overload
    def function(self, fn: Callable[Concatenate[Context[S], P], R], /) -> Callable[Concatenate[Context[S], P], R]: ...
    @overload
    def function(self, /, *, name: str | None = None) -> Plain[S]: ...
    def function(self, fn: HostCallable | None = None, /, *, name: str | None = None) -> Any:
        """Register a plain function: it never waits and never calls back, and nothing about it is recorded. `name` is
        what guests import, if not the function's own. Raises SignatureError."""
        return self._decorate(fn, Style.PLAIN, Options(name))

    def later(self, names: Iterable[str], load: Callable[[], object]) -> None:
        """Functions that are registered only when a guest imports one of them, or somebody looks at it: `load()`, which
        may be called more than once and by any thread, imports the file where they stand, say. Copies that `with_state`
        has made get them too. Raises SignatureError for a name that is taken; looking at one that `load` does not
        register does."""
        new = list(names)
        for name in new:
            if name in self._functions:
                raise Place(self.name, name).error(Text.DUPLICATE)
        self._functions.later(new, load)

    def pure(self, fn: Callable[P, W], /) -> Callable[P, W]:
        """Register a function of numbers alone: no context, no effects, the same result for the same arguments. Raises
        SignatureError."""
        self._register(fn, Style.PURE, Options(), local_names(1))
        return fn

    @overload
    def restartable(
        self, fn: Callable[Concatenate[Context[S], P], Steps[R]], /
    ) -> Callable[Concatenate[Context[S], P], Steps[R]]: ...
    @overload
    def restartable(
        self, fn: Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]], /
    ) -> Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]]: ...
    @overload
    def restartable(
        self, fn: Callable[Concatenate[BlockingContext[S], P], R], /
    ) -> Callable[Concatenate[BlockingContext[S], P], R]: ...
    @overload
    def restartable(
        self,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        accepts: Sequence[int] = (),
        repeat: bool = False,
        callbacks: Callbacks = "nested",
        catch_traps: bool = False,
    ) -> Restartable[S]: ...
    def restartable(
        self,
        fn: HostCallable | None = None,
        /,
        *,
        name: str | None = None,
        version: int = 1,
        accepts: Sequence[int] = (),
        repeat: bool = False,
        callbacks: Callbacks = "nested",
        catch_traps: bool = False,
    ) -> Any:
        """Register a function that may wait and call back: a `def` that is entered again with its record, a generator,
        or an `async def`, which may await anything of its event loop.

        `name` is what guests import, if not the function's own. A saved call may be loaded into a function of the same
        `version`, or one that `accepts` it. `callbacks` says whether they run nested while depth allows, or always on
        the run loop. With `catch_traps`, a callee's trap may be caught where the function called it; without, it ends
        the function after its cleanup. A coroutine that awaits can only be saved with `repeat`: loaded, it
        begins again from its first line. Raises SignatureError.
        """
        return self._decorate(fn, Style.FUNCTION, Options(name, version, accepts, repeat, callbacks, catch_traps))

    def _decorate(self, fn: HostCallable | None, kind: Style, options: Options) -> Any:
        def decorate(fn: HostCallable, depth: int = 1) -> HostCallable:
            self._register(fn, kind, options, local_names(depth))
            return fn

        # Below `decorate` lie this method and `function` or `restartable`, then the author's code.
        return decorate if fn is None else decorate(fn, 3)

    def _register(self, fn: HostCallable, kind: Style, options: Options, names: Mapping[str, object]) -> None:
        own = getattr(fn, "__name__", type(fn).__name__)
        name = own if options.name is None else options.name
        place = Place(self.name, str(name), locals=names)
        asked: object = name
        if not isinstance(asked, str):
            raise place.error(Text.FUNCTION_NAME, value=repr(asked))
        style = style_of(fn, kind, place)
        options.judge(place, style is Style.COROUTINE)
        if self._functions.taken(name):
            raise place.error(Text.DUPLICATE)
        signature = read_signature(fn, style, place, _CONTEXTS, self.errors)
        spec = FunctionSpec(
            self.name,
            name,
            style,
            options.version,
            tuple(options.accepts),
            fn,
            signature,
            options.callbacks,
            options.catch_traps,
            options.repeat,
            partial(read_signature, fn, style, lean.evolve(place, wide=True), _CONTEXTS, self.errors)
            if signature.addresses
            else None,
        )
        self._functions.add(spec)

    def __repr__(self) -> str:
        return f"<HostModule {self.name!r} with {len(self._functions)} functions>"


def _factory(name: str, state: Callable[[], S] | None) -> Callable[[], S] | None:
    asked: object = state
    if asked is not None and not callable(asked):
        raise SignatureError(Text.STATE(module=name, value=repr(asked)), name)
    return state
