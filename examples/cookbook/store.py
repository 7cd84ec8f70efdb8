"""A key-value store on sqlite3: plain functions, and a state for each instance."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from hostsdk import Bytes, Context, HostModule, Instance, OutBuffer, Str, i32


# [state]
def open_store(content: bytes = b"") -> sqlite3.Connection:
    """An empty store, or one with the content of another."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    if content:
        db.deserialize(content)
    else:
        db.execute("create table kv (k text primary key, v blob not null)")
    return db


kv = HostModule("kv", state=open_store, close=sqlite3.Connection.close)
# [functions]


@kv.function
def put(ctx: Context[sqlite3.Connection], key: Str, value: Bytes) -> None:
    ctx.state.execute("insert or replace into kv values (?, ?)", (key, value))


@kv.function
def get(ctx: Context[sqlite3.Connection], key: Str, out: OutBuffer) -> i32:
    row = ctx.state.execute("select v from kv where k = ?", (key,)).fetchone()
    return out.fill(row[0]) if row else -1


# [saving]


@kv.save
def dump(db: sqlite3.Connection) -> bytes:
    return db.serialize()


@kv.load
def restore(content: bytes) -> sqlite3.Connection:
    return open_store(content)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [kv]) as inst:
        print("visits:", [inst.exports.visit() for _ in range(3)])


if __name__ == "__main__":
    main()
