"""Vectors as a compiler uses them: C that is vectorised gives what the same C gives without vectors."""

from __future__ import annotations

import pytest

from runtime import (
    Engine,
    EngineConfig,
    Every,
    Feature,
    Module,
    Returned,
    Store,
    UnsupportedError,
    WasmFunc,
    control,
    instantiate,
)
from tests.support.build import cc
from tests.support.guests import resume_all

SOURCE = r"""
#include <stdint.h>
#define N 203
static uint8_t a[N], b[N]; static int16_t s[N]; static int32_t w[N]; static float f[N], g[N]; static double d[N];
static uint64_t mix(const void *p, unsigned size, uint64_t h) {
  const uint8_t *q = p;
  for (unsigned i = 0; i < size; i++) h = (h ^ q[i]) * 1099511628211u;
  return h;
}
__attribute__((export_name("run"))) uint64_t run(uint32_t seed) {
  uint32_t x = seed;
  for (int i = 0; i < N; i++) {
    x = x * 1664525u + 1013904223u;
    a[i] = x >> 24; b[i] = x >> 16; s[i] = x >> 12; w[i] = x; f[i] = (int32_t)x / 65536.0f; g[i] = f[i] - b[i];
  }
  uint32_t sad = 0; int32_t dot = 0, top = -2147483647; float most = 0; double sum = 0;
  for (int i = 0; i < N; i++) sad += a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
  for (int i = 0; i < N; i++) dot += s[i] * s[N - 1 - i];
  for (int i = 0; i < N; i++) top = w[i] > top ? w[i] : top;
  for (int i = 0; i < N; i++) a[i] = a[i] + b[i] > 255 ? 255 : a[i] + b[i];
  for (int i = 0; i < N; i++) w[i] = (w[i] << 3 ^ w[i] >> 5) * 9 + s[i];
  for (int i = 0; i < N; i++) g[i] = f[i] * g[i] + __builtin_sqrtf(__builtin_fabsf(f[i]));
  for (int i = 0; i < N; i++) d[i] = g[i] / 3 + w[i];
  for (int i = 0; i < N; i++) s[i] = (int)(f[i] * 0.25f) + b[i];
  for (int i = 0; i < N; i++) { most = g[i] > most ? g[i] : most; sum += d[i]; }
  uint64_t h = mix(a, sizeof a, 14695981039346656037u);
  h = mix(w, sizeof w, h); h = mix(g, sizeof g, h); h = mix(d, sizeof d, h); h = mix(s, sizeof s, h);
  h = mix(&sad, 4, h); h = mix(&dot, 4, h); h = mix(&top, 4, h); h = mix(&most, 4, h);
  return mix(&sum, 8, h);
}
"""
#: Without a library, which would have to be built for vectors first.
FLAGS = ("-O3", "-nostdlib", "-Wl,--no-entry", "-ffp-contract=off")
WITHOUT = EngineConfig().features & ~Feature.SIMD


def _run(data: bytes, seed: int, every: int | None) -> object:
    store = Store(Engine(), injector=None if every is None else Every(every))
    function = instantiate(store, Module.load(data), {}).exports["run"]
    assert isinstance(function, WasmFunc)
    outcome = resume_all(control.prepare(store.context(), function, (seed,)))
    assert isinstance(outcome, Returned)
    return outcome.values


@pytest.mark.slow
def test_vectorised_code_computes_the_same() -> None:
    """Loops over bytes to doubles, also when suspended at every 5th check point."""
    vectors, scalars = cc(SOURCE, *FLAGS, "-msimd128"), cc(SOURCE, *FLAGS)
    Module.load(scalars, WITHOUT)
    with pytest.raises(UnsupportedError, match="simd"):
        Module.load(vectors, WITHOUT)
    for seed in (1, 77, 0xDEAD_BEEF):
        want = _run(scalars, seed, None)
        assert _run(vectors, seed, None) == want
        assert _run(vectors, seed, 5) == want
