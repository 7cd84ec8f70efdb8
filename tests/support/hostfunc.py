"""The guests of examples/hostfunc, in all variants and with each host module, as scenarios."""

from __future__ import annotations

import functools

import hostmod
import hostmod_function

from hostsdk import Instance, Module
from hostsdk.testing import Scenario, World

from .cache import ROOT

FOLDER = ROOT / "examples" / "hostfunc"
EXPECTED = 136
#: `load_call_add` as a generator, and as a function that is entered again.
HOSTS = {"generator": hostmod.host, "function": hostmod_function.host}
VARIANTS = range(8)
#: Every variant with the generator, and with the function where it takes part: from 4 on `load_call_add` is imported.
CORPUS = [*((n, "generator") for n in VARIANTS), *((n, "function") for n in VARIANTS if n & 4)]


@functools.cache
def guest(variant: int) -> Module:
    """A variant, as it lies in the example's folder."""
    return Module.from_file(FOLDER / f"guest{variant}.wasm")


def make(variant: int, style: str, world: World) -> Instance:
    """An instance of a variant in `world`."""
    return Instance(guest(variant), [HOSTS[style]], engine=world.engine)


def scenario(variant: int, style: str) -> Scenario:
    """The call of its `main`."""
    return Scenario(functools.partial(make, variant, style), "main", name=f"guest{variant}, {style}")
