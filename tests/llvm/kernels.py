"""C programs whose every check point is tried: calls, callbacks, tables, loops in loops, floats, a switch in a loop."""

SOURCE = r"""
typedef unsigned int u32; typedef unsigned char u8; typedef unsigned long long u64;
#define EX(n) __attribute__((export_name(#n), noinline))
#define NI __attribute__((noinline))
static u32 seed; static u32 rnd(void) { seed = seed * 1664525u + 1013904223u; return seed >> 8; }

EX(fib) u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

NI static u32 deep_(u32 n, u32 a, u64 b) {
    if (!n) return a ^ (u32)b;
    u32 r = deep_(n - 1, a * 31 + n, b + ((u64)a << 7));
    return r * 3 + n + a;
}
EX(deep) u32 deep(u32 n) { return deep_(n, 7, 9); }

#define R(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
static u32 H[8]; static u8 text[256];
NI static void block(const u8 *p) {
    u32 w[64];
    for (int i = 0; i < 16; i++) w[i] = (u32)p[4*i] << 24 | (u32)p[4*i+1] << 16 | (u32)p[4*i+2] << 8 | p[4*i+3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i-16] + (R(w[i-15], 7) ^ R(w[i-15], 18) ^ w[i-15] >> 3) + w[i-7]
             + (R(w[i-2], 17) ^ R(w[i-2], 19) ^ w[i-2] >> 10);
    u32 a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7];
    for (int i = 0; i < 64; i++) {
        u32 s = h + (R(e, 6) ^ R(e, 11) ^ R(e, 25)) + ((e & f) ^ (~e & g)) + i * 0x9E3779B9u + w[i];
        u32 t = (R(a, 2) ^ R(a, 13) ^ R(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g; g = f; f = e; e = d + s; d = c; c = b; b = a; a = s + t;
    }
    H[0] += a; H[1] += b; H[2] += c; H[3] += d; H[4] += e; H[5] += f; H[6] += g; H[7] += h;
}
EX(hash) u32 hash(u32 n) {
    for (u32 i = 0; i < 8; i++) H[i] = i * 0x6a09e667u;
    for (u32 i = 0; i < sizeof text; i++) text[i] = (u8)(i * 7 + n);
    for (u32 i = 0; i < n; i++) block(text + 64 * (i & 3));
    return H[0] ^ H[7];
}

static double A[64], B[64], C[64];
EX(matmul) double matmul(u32 n) {
    for (u32 i = 0; i < n * n; i++) { A[i] = i * 0.5 + 1; B[i] = (double)(i % 7) - 3; }
    for (u32 i = 0; i < n; i++)
        for (u32 j = 0; j < n; j++) {
            double s = 0;
            for (u32 k = 0; k < n; k++) s += A[i * n + k] * B[k * n + j];
            C[i * n + j] = s;
        }
    double t = 0;
    for (u32 i = 0; i < n * n; i++) t += C[i] * (1 + i % 3);
    return t;
}

static u32 v[64]; typedef int (*less)(u32, u32);
NI static int lt(u32 a, u32 b) { return a < b; }
NI static int gt(u32 a, u32 b) { return a > b; }
NI static void sort_(int lo, int hi, less f) {
    while (lo < hi) {
        u32 p = v[(lo + hi) / 2]; int i = lo, j = hi;
        while (i <= j) {
            while (f(v[i], p)) i++;
            while (f(p, v[j])) j--;
            if (i <= j) { u32 t = v[i]; v[i] = v[j]; v[j] = t; i++; j--; }
        }
        sort_(lo, j, f); lo = i;
    }
}
static const less volatile orders[2] = {lt, gt};
EX(sort) u32 sort(u32 n) {
    seed = n; u32 sum = 0;
    for (u32 i = 0; i < n; i++) v[i] = rnd();
    for (int k = 0; k < 2; k++) { sort_(0, (int)n - 1, orders[k]); for (u32 i = 0; i < n; i++) sum = sum * 31 + v[i]; }
    return sum;
}

static u8 code[16]; static u32 cells[16];
EX(machine) u32 machine(u32 n) {
    static const u8 program[] = {0, 1, 2, 3, 4, 5, 6, 7, 2, 4, 8};
    for (u32 i = 0; i < sizeof program; i++) code[i] = program[i];
    for (u32 i = 0; i < 16; i++) cells[i] = i * 77;
    u32 a = n, b = 1, c = 7, pc = 0;
    for (;;) switch (code[pc++]) {
        case 0: b += a; break;
        case 1: b ^= c; break;
        case 2: c += 3; break;
        case 3: b *= 5; break;
        case 4: b -= c >> 1; break;
        case 5: cells[b & 15] = c; break;
        case 6: c ^= cells[a & 15]; break;
        case 7: b = ~b; break;
        case 8: if (!--a) return b ^ c; pc = 0; break;
        default: return 0;
    }
}

EX(julia) u32 julia(u32 n) {
    u32 inside = 0;
    for (u32 y = 0; y < n; y++)
        for (u32 x = 0; x < n; x++) {
            float r = 3.0f * x / n - 1.5f, i = 3.0f * y / n - 1.5f; u32 turn = 0;
            for (; turn < 12 && r * r + i * i < 4; turn++) {
                float t = r * r - i * i - 0.7f; i = 2 * r * i + 0.3f; r = t;
            }
            inside = inside * 3 + turn;
        }
    return inside;
}
"""

#: Export and amount, small enough that each check point can be tried.
CALLS = (
    ("fib", 7),
    ("deep", 25),
    ("hash", 1),
    ("matmul", 4),
    ("sort", 12),
    ("machine", 4),
    ("julia", 3),
)
