"""Who imports whom, read from the source with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs

from .cache import ROOT


@attrs.frozen
class Import:
    """One imported module. `name` is None for `import x`; `guarded` means under `if TYPE_CHECKING:`."""

    source: str
    target: str
    name: str | None
    line: int
    guarded: bool
    relative: bool

    def __str__(self) -> str:
        what = self.target if self.name is None else f"{self.name} from {self.target}"
        return f"{self.source}:{self.line} imports {what}"


def source_files(*folders: str) -> list[Path]:
    """All Python files under these folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a file; a package goes by its own name."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, modules: set[str]) -> list[Import]:
    """Every import in a file. `from package import module` counts as an import of that module, by `modules`."""
    source = module_name(path)
    package = source if path.name == "__init__.py" else source.rpartition(".")[0]
    found: list[Import] = []
    for node, guarded in _nodes(ast.parse(path.read_bytes()), False):
        if isinstance(node, ast.Import):
            found += [Import(source, alias.name, None, node.lineno, guarded, False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                target, name = (whole, None) if whole in modules else (base, alias.name)
                found.append(Import(source, target, name, node.lineno, guarded, node.level > 0))
    return found


def _nodes(node: ast.AST, guarded: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, each with whether only a type checker sees it."""
    yield node, guarded
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.body:
            yield from _nodes(child, True)
        for child in node.orelse:
            yield from _nodes(child, guarded)
        return
    for each in ast.iter_child_nodes(node):
        yield from _nodes(each, guarded)


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import one another in a circle (strongly connected components of two and more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(edges.get(module, ())):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            group, stack[at:] = stack[at:], []
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(edges):
        if module not in index:
            visit(module)
    return found
