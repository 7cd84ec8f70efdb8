"""Groups of instances that can reach one another: linked by functions, tables, memories or mutable globals.

A guest compiled from C keeps a stack in its memory, so while one activation of a group is suspended no other may
start. The group is what carries that mark; linking two instances joins their groups.
"""

from __future__ import annotations

from typing import Final, Protocol

from .. import lean

#: What a gate holds: nobody is inside; somebody is, or nobody may come in that way any more; somebody who came in by
#: the gate, and for whom there is no execution yet.
FREE: Final = 0
SHUT: Final = 1
CALLED: Final = 2


class Word(Protocol):
    """Eight bytes that machine code reads, too."""

    value: int


@lean.define(eq=False)
class Group:
    """A union-find node. Only `root()` carries the marks."""

    parent: Group | None = None
    #: The execution that is inside (running or suspended), innermost last.
    active: list[object] = lean.field(factory=list)
    #: Where calls straight into machine code claim the group; None where there are none.
    gate: Word | None = None

    def root(self) -> Group:
        """The representative of the joined groups."""
        node = self
        while node.parent is not None:
            node = node.parent
        if node is not self:
            self.parent = node
        return node

    def join(self, other: Group) -> None:
        """Make one group of two. Marks of both are kept."""
        mine, theirs = self.root(), other.root()
        if mine is not theirs:
            theirs.active.extend(mine.active)
            mine.active.clear()
            mine.parent = theirs
            for gate in (mine.gate, theirs.gate):
                if gate is not None:
                    gate.value = SHUT  # until somebody looks which one counts
            theirs.gate = None
