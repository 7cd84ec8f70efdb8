"""Flags, enums and records of WASI preview1, under the names that its witx files give them."""

from __future__ import annotations

import enum

from hostsdk import lean, u8, u16, u32, u64


class Rights:
    """What may be done with a descriptor (`rights`)."""

    FD_DATASYNC = 1 << 0
    FD_READ = 1 << 1
    FD_SEEK = 1 << 2
    FD_FDSTAT_SET_FLAGS = 1 << 3
    FD_SYNC = 1 << 4
    FD_TELL = 1 << 5
    FD_WRITE = 1 << 6
    FD_ADVISE = 1 << 7
    FD_ALLOCATE = 1 << 8
    PATH_CREATE_DIRECTORY = 1 << 9
    PATH_CREATE_FILE = 1 << 10
    PATH_LINK_SOURCE = 1 << 11
    PATH_LINK_TARGET = 1 << 12
    PATH_OPEN = 1 << 13
    FD_READDIR = 1 << 14
    PATH_READLINK = 1 << 15
    PATH_RENAME_SOURCE = 1 << 16
    PATH_RENAME_TARGET = 1 << 17
    PATH_FILESTAT_GET = 1 << 18
    PATH_FILESTAT_SET_SIZE = 1 << 19
    PATH_FILESTAT_SET_TIMES = 1 << 20
    FD_FILESTAT_GET = 1 << 21
    FD_FILESTAT_SET_SIZE = 1 << 22
    FD_FILESTAT_SET_TIMES = 1 << 23
    PATH_SYMLINK = 1 << 24
    PATH_REMOVE_DIRECTORY = 1 << 25
    PATH_UNLINK_FILE = 1 << 26
    POLL_FD_READWRITE = 1 << 27
    SOCK_SHUTDOWN = 1 << 28
    SOCK_ACCEPT = 1 << 29

    ALL = (1 << 30) - 1
    #: What a stream can do: read or write, as it is opened, and be asked about.
    STREAM = FD_READ | FD_WRITE | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE
    #: What a regular file can do.
    FILE = (
        STREAM | FD_DATASYNC | FD_SEEK | FD_SYNC | FD_TELL | FD_ADVISE | FD_ALLOCATE | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
    )  # fmt: skip
    #: What a directory can do.
    DIRECTORY = (
        FD_FDSTAT_SET_FLAGS | FD_SYNC | FD_ADVISE | PATH_CREATE_DIRECTORY | PATH_CREATE_FILE | PATH_LINK_SOURCE
        | PATH_LINK_TARGET | PATH_OPEN | FD_READDIR | PATH_READLINK | PATH_RENAME_SOURCE | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET | PATH_FILESTAT_SET_SIZE | PATH_FILESTAT_SET_TIMES | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES | PATH_SYMLINK | PATH_REMOVE_DIRECTORY | PATH_UNLINK_FILE | POLL_FD_READWRITE
    )  # fmt: skip
    #: What a connected socket can do.
    SOCKET = STREAM | SOCK_SHUTDOWN
    #: What a listening socket can do.
    LISTENER = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE | SOCK_ACCEPT


class FileType(enum.IntEnum):
    """What a descriptor or a name in a directory stands for (`filetype`)."""

    UNKNOWN = 0
    BLOCK_DEVICE = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4
    SOCKET_DGRAM = 5
    SOCKET_STREAM = 6
    SYMBOLIC_LINK = 7


class FdFlags:
    """How a descriptor behaves (`fdflags`)."""

    APPEND = 1
    DSYNC = 2
    NONBLOCK = 4
    RSYNC = 8
    SYNC = 16
    ALL = 31


class OFlags:
    """How `path_open` opens (`oflags`)."""

    CREAT = 1
    DIRECTORY = 2
    EXCL = 4
    TRUNC = 8
    ALL = 15


class FstFlags:
    """Which times are set, and to what (`fstflags`)."""

    ATIM = 1
    ATIM_NOW = 2
    MTIM = 4
    MTIM_NOW = 8
    ALL = 15


class Lookup:
    """How a path is resolved (`lookupflags`)."""

    SYMLINK_FOLLOW = 1


class Whence(enum.IntEnum):
    """What `fd_seek` counts from (`whence`)."""

    SET = 0
    CUR = 1
    END = 2


class ClockId(enum.IntEnum):
    """The clocks (`clockid`)."""

    REALTIME = 0
    MONOTONIC = 1
    PROCESS_CPUTIME = 2
    THREAD_CPUTIME = 3


class EventType(enum.IntEnum):
    """What a subscription of `poll_oneoff` is about (`eventtype`)."""

    CLOCK = 0
    FD_READ = 1
    FD_WRITE = 2


#: A subscription's clock timeout is a point in time, not a span (`subclockflags`).
ABSTIME = 1
#: The other side has hung up (`eventrwflags`).
HANGUP = 1


@lean.frozen
class Fdstat(lean.Record):
    """A descriptor's state (`fdstat`)."""

    filetype: u8
    flags: u16
    rights_base: u64
    rights_inheriting: u64


@lean.frozen
class Prestat(lean.Record):
    """What a preopened descriptor is (`prestat`): a directory, with the length of its name."""

    tag: u8
    name_len: u32


@lean.frozen
class Filestat(lean.Record):
    """What is known of a file (`filestat`). Times are in nanoseconds."""

    dev: u64
    ino: u64
    filetype: u8
    nlink: u64
    size: u64
    atim: u64
    mtim: u64
    ctim: u64


@lean.frozen
class OldFilestat(lean.Record):
    """The same as `wasi_unstable` has it: links are counted in 32 bits."""

    dev: u64
    ino: u64
    filetype: u8
    nlink: u32
    size: u64
    atim: u64
    mtim: u64
    ctim: u64
