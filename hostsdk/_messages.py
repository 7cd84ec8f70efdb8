"""Every text that the SDK says to the author of host functions, in one table.

A text is called with its parts and gives the message. Those of the first group are about a signature; the error that
carries one puts the place in front: `kv.get: parameter 'key': …`. Each says what to write instead.
"""

from __future__ import annotations

import enum


@enum.unique
class Text(enum.Enum):
    """One message each, with the names of its parts in braces."""

    # A parameter's or result's type.
    INT = "'int' has no size in WebAssembly; write i32, u32, i64 or u64"
    FLOAT = "'float' has no size in WebAssembly; write f32 or f64"
    STR = "'str' has no layout; write Str (address and length) or CStr (ends with a zero byte)"
    BYTES = "'{type}' has no layout; write Bytes to read from the guest, OutBuffer to fill"
    OPTIONAL = "'{type}' may be several things, and WebAssembly passes one; write one type"
    NOT_WASM = (
        "'{type}' is not a WebAssembly type; write a number (i32, u32, i64, u64, f32, f64, ...), Str, CStr, "
        "Bytes, OutBuffer, Ptr[...], FuncRef[[...], ...] or a reference (Struct, AnyRef, ExternRef, ...)"
    )
    BARE_PTR = "'Ptr' doesn't say to what; write Ptr[u8] for bytes, or Ptr[T] with the T that lies there"
    BARE_FUNCREF = "'FuncRef' doesn't say its type; write FuncRef[[i32, i32], i32], say, with the guest's types"
    OPEN_FUNCREF = "'FuncRef[..., ...]' doesn't say its parameters; write them in a list: FuncRef[[i32, i32], i32]"
    FUNCREF_PARAM = (
        "a guest function takes numbers, Ptr, FuncRef and references, not '{type}'; pass an address and a length"
    )
    FUNCREF_RESULT = "a guest function gives numbers, references, a tuple of them or None, not '{type}'"
    POINTED = (
        "'{type}' can't lie behind a pointer; write Ptr[u8], a number, Ptr[...], FuncRef[...] or a class made "
        "by attrs with such fields"
    )
    RECURSIVE = "{cls} contains itself, which has no end; let it contain a Ptr[{cls}]"
    NO_FIELDS = "{cls} has no fields, so it has no size"
    STORED_PARAM = "Stored[...] is for results; a parameter that points to something is Ptr[...]"
    RESULT = (
        "'{type}' can't be a result; give numbers, references, a tuple of them, Stored[...] or None, and fill an "
        "OutBuffer with bytes or text"
    )
    OPEN_TUPLE = "'{type}' has no fixed length; write one type for each result, as in tuple[i32, i32]"

    # A parameter.
    UNANNOTATED = "has no annotation; write its WebAssembly type, as in '{name}: i32'"
    UNANNOTATED_RESULT = "has no annotation; write '-> i32', say, or '-> None' if the function gives nothing"
    DEFAULT = "has a default value, but a guest always passes every argument; leave the default out"
    STAR = "'{name}' takes any number of arguments, but a WebAssembly function has a fixed number; write each one"
    KEYWORD_ONLY = "is keyword-only, but a guest passes arguments by position; put it before the '*'"
    UNKNOWN_NAME = (
        "the name '{name}' is not known where the function is registered, so the annotation '{text}' "
        "can't be read; if it is imported under 'if TYPE_CHECKING:', import it at run time too"
    )
    UNREADABLE = "the annotation '{text}' can't be read: {why}"

    # The context and the style.
    NO_CONTEXT = (
        "has no parameters, but the first one is the context; write 'def {name}(ctx: {context}, ...)', or use "
        "@{module}.pure for a function that needs none"
    )
    CONTEXT_UNANNOTATED = "is the context and has no annotation; write '{name}: {context}'"
    CONTEXT_WRONG = "comes first, so it is the context; write '{name}: {context}', not '{type}'"
    CONTEXT_LATE = "a context comes first, and only there"
    PLAIN_WAITS = (
        "a plain function never waits and never calls back; write '{name}: Context', or @restartable instead "
        "of @function"
    )
    GENERATOR_BLOCKS = "a generator waits by 'yield from block_until(...)', not by ctx; write '{name}: Context'"
    PURE_CONTEXT = "a pure function has no context; leave it out, or use @function"
    PURE_PARAM = "'{type}' reaches into the guest, which a pure function doesn't; use @function"
    PLAIN_GENERATOR = "is a generator, and a plain function never waits and never calls back; use @restartable"
    NOT_STEPS = "is a generator, so its result stands in Steps[...], as in '-> Steps[i32]'; got '-> {type}'"
    STEPS_WITHOUT_YIELD = "is annotated Steps[...] but has no yield; write 'return (yield from ...)', or '-> {type}'"
    STEPS_BARE = "'Steps' doesn't say what the function gives in the end; write Steps[i32], say, or Steps[None]"
    PLAIN_COROUTINE = "is an 'async def', and a plain function never waits and never calls back; use @restartable"
    COROUTINE_BLOCKS = "a coroutine waits by 'await', not by ctx; write '{name}: Context'"
    ASYNC_GENERATOR = "an async generator can't be a host function; write a generator with '-> Steps[...]'"
    NOT_A_FUNCTION = "a host function is made of a 'def', not of {type}; write a function that calls it"

    # The decorators and the module.
    MODULE_NAME = "HostModule: the name is the guest's import module, a str; got {value}"
    FUNCTION_NAME = "the name is the guest's import name, a str; got {value}"
    DUPLICATE = "is already there; give one of the two another name with @restartable(name=...) or @function(name=...)"
    NOT_LATER = "HostModule {module!r}: {name!r} was named for later, and what was to register it did not"
    VERSION = "version= is an int and accepts= a sequence of ints; got {value}"
    REPEAT = "repeat= is about saving a pending coroutine, and this is none; leave it out"
    CALLBACKS = 'callbacks= is "nested" or "scheduled"; got {value}'
    GUEST_KIND = "guest({name!r}): the second argument is the export's type, FuncRef[[u32], u32] say; got {value}"
    HOOK_TWICE = "HostModule {module!r}: @{module}.{hook} is already there; a module has one"
    RESOURCE = "HostModule {module!r}: write resource(Cursor, save=function, load=function); got {name}={value}"
    RESOURCE_TWICE = "HostModule {module!r}: resource({kind}) is already there; a module says once how a class is saved"
    STATE = "HostModule {module!r}: state= is a function that makes the state of one instance; got {value}"
    ERRORS_TABLE = "Errors: {value} is not an exception class with an error number from 1 to 32767"

    # Values, while a function runs. {what} says which: `kv.get: result`, `argument 1 of FuncRef[[i32], i32]`.
    RANGE = "{what}: {type} can't hold {value} (it goes from {low} to {high})"
    REFERENCE = "{what}: {why}"
    KIND = "{what}: {type} takes {want}, not {value}"
    ARITY = "{what}: {want} value(s) wanted, got {value}"
    NOTHING = "{what}: the function gives nothing ('-> None') but returned {value}"
    FUNCREF_ARITY = "{what}: takes {want} argument(s), got {value}"
    NO_INDEX = "{what}: {value} is a guest's export and has no table index"
    OUT_BUFFER = "{size} bytes don't fit the guest's buffer of {capacity}"
    SLICE = "OutBuffer takes slices without a step, as in out[4:8]; got {value}"
    NEVER_RUN = "{op} was made but never run; write 'yield from' in front of it"
    PERMUTATION = "permute: the order is not a permutation of {count} rows"
    NO_ROW = "there is no row {index} (there are {count})"
    FROZEN = "{value} is not a frozen value"

    PLAIN_TAIL = "{where}: a plain function can't make a tail call; register it with @restartable"
    BARE_YIELD = "{where}: yielded a {value}; write 'yield from' with block_until, sleep, call or ask"
    SHORT_REPLAY = "{where} returned after {done} of {all} recorded steps; a restartable function must do the same " \
                   "steps again, and a changed function needs a new version"
    AWAIT_OUTSIDE = "await {op}, but not in a call of an 'async def' host function: nobody there can carry it out"
    OUT_OF_TURN = "{where}: the guest's memory is not to be touched while the guest runs in a callback; await that"
    TASK_CANCELLED = "{where}: its task was cancelled, and not by the end of its call"
    PENDING_AWAIT = (
        "{where} awaits something of its event loop, which can't be saved; declare it @restartable(repeat=True) if it "
        "may begin again from its first line"
    )
    IN_CALLBACK = "{where} is a coroutine and awaits a callback, in the midst of which it can't be saved"
    NO_EXPORT = "the guest has no function {name!r} among its exports"
    NO_TAG = "the guest has no tag {name!r} among its exports"
    TAG_PARAM = "an exception carries numbers, V128 and references, not '{type}'"
    EXPORT_TYPE = "the guest's {name!r} is {have!r}, not {want!r}"
    ANSWER_TYPE = "class {name}: says no type for the answer; write class {name}(Question[i32])"

    COUNT = "{what}: {want} item(s) wanted, got {value}"
    UNION = "'{type}' is a union; say which tag stands for which class: Annotated[A | B, Tag(u8, {{0: A, 1: B}})]"
    PINNED = "{where}: {what} while a view of the guest's memory is open; close it first"

    # Traps.
    NO_MEMBER = "{value} is no {cls}"
    TOO_MUCH = "{where}: buffers of {size} bytes in all, and the memory has {limit}"
    NO_TABLE = "no function table: the guest doesn't export {table}"
    NO_ELEMENT = "undefined element: function pointer {index}, and the table has {count} entries"
    NULL_ELEMENT = "uninitialized element: function pointer {index} is null"
    OTHER_TYPE = "indirect call type mismatch: function pointer {index} is {have!r}, not {want!r}"
    OUT_OF_BOUNDS = "out of bounds memory access: {where}: {size} byte(s) at {addr:#x}, and the memory has {limit:#x}"
    OUT_OF_RANGE = "out of bounds memory access: address {addr} of a pointer is not a {bits}-bit number"
    UNALIGNED = "unaligned access: {where}: {addr:#x} is not a multiple of {align}"
    UTF8 = "{where}: the guest's text is not UTF-8 (byte {byte:#04x} at offset {offset})"
    ENDLESS = "out of bounds memory access: {where}: no zero byte from {addr:#x} on, within {limit} bytes"
    EMPTY_ROWS = "rows: {count} rows of 0 bytes each"

    def __call__(self, /, **parts: object) -> str:
        """The message."""
        return self.value.format(**parts)
