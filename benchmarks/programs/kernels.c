/* Programs whose time is all computing. Each export takes how much to do and gives a checksum. */

typedef unsigned int u32;
typedef unsigned char u8;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(#name)))

static u8 heap[1 << 20];

static u32 fib_(u32 n) { return n < 2 ? n : fib_(n - 1) + fib_(n - 2); }
EXPORT(fib) u32 fib(u32 n) { return fib_(n); }

EXPORT(sieve) u32 sieve(u32 n) {
    u32 found = 0;
    for (u32 i = 0; i < n; i++) heap[i] = 1;
    for (u32 i = 2; i < n; i++) {
        if (!heap[i]) continue;
        found++;
        for (u32 k = 2 * i; k < n; k += i) heap[k] = 0;
    }
    return found;
}

EXPORT(collatz) u32 collatz(u32 n) {
    u32 best = 0;
    for (u32 i = 1; i < n; i++) {
        u32 steps = 0;
        for (u64 x = i; x != 1; steps++) x = x & 1 ? 3 * x + 1 : x / 2;
        if (steps > best) best = steps;
    }
    return best;
}

EXPORT(matmul) u32 matmul(u32 n) {
    double *a = (double *)heap, *b = a + n * n, *c = b + n * n;
    for (u32 i = 0; i < n * n; i++) { a[i] = i % 7; b[i] = i % 5; }
    for (u32 i = 0; i < n; i++)
        for (u32 j = 0; j < n; j++) {
            double sum = 0;
            for (u32 k = 0; k < n; k++) sum += a[i * n + k] * b[k * n + j];
            c[i * n + j] = sum;
        }
    double all = 0;
    for (u32 i = 0; i < n * n; i++) all += c[i] * (i % 3);
    return (u32)all;
}

EXPORT(crc) u32 crc(u32 n) {
    u32 sum = ~0u;
    for (u32 i = 0; i < n; i++) {
        sum ^= (u8)(i * 31 + 7);
        for (u32 bit = 0; bit < 8; bit++) sum = sum & 1 ? sum >> 1 ^ 0xEDB88320u : sum >> 1;
    }
    return ~sum;
}

static void sort_(u32 *v, int low, int high) {
    if (low >= high) return;
    u32 pivot = v[(low + high) / 2];
    int i = low, k = high;
    while (i <= k) {
        while (v[i] < pivot) i++;
        while (v[k] > pivot) k--;
        if (i <= k) { u32 t = v[i]; v[i++] = v[k]; v[k--] = t; }
    }
    sort_(v, low, k);
    sort_(v, i, high);
}

EXPORT(quicksort) u32 quicksort(u32 n) {
    u32 *v = (u32 *)heap, seed = 1, sum = 0;
    for (u32 i = 0; i < n; i++) { seed = seed * 1103515245u + 12345u; v[i] = seed >> 8; }
    sort_(v, 0, (int)n - 1);
    for (u32 i = 0; i < n; i++) sum = sum * 31 + v[i];
    return sum;
}

EXPORT(mandelbrot) u32 mandelbrot(u32 n) {
    u32 inside = 0;
    for (u32 y = 0; y < n; y++)
        for (u32 x = 0; x < n; x++) {
            double cr = 3.0 * x / n - 2.25, ci = 3.0 * y / n - 1.5, r = 0, i = 0;
            u32 turn = 0;
            for (; turn < 50 && r * r + i * i < 4; turn++) { double t = r * r - i * i + cr; i = 2 * r * i + ci; r = t; }
            inside += turn == 50;
        }
    return inside;
}

typedef u32 (*op_)(u32, u32);
static u32 add_(u32 a, u32 b) { return a + b; }
static u32 xor_(u32 a, u32 b) { return a ^ b; }
static u32 mul_(u32 a, u32 b) { return a * (b | 1); }
static const op_ volatile ops[3] = {add_, xor_, mul_};
EXPORT(indirect) u32 indirect(u32 n) {
    u32 sum = 1;
    for (u32 i = 0; i < n; i++) sum = ops[i % 3](sum, i);
    return sum;
}

static u32 state[8], words[64];
#define ROT(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
EXPORT(digest) u32 digest(u32 n) {
    for (u32 i = 0; i < 8; i++) state[i] = 0x6A09E667u * (i + 1);
    for (u32 r = 0; r < n; r++) {
        u32 *w = words;
        for (u32 i = 0; i < 16; i++) w[i] = (r + i) * 0x01000193u;
        for (u32 i = 16; i < 64; i++)
            w[i] = w[i - 16] + (ROT(w[i - 15], 7) ^ ROT(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7]
                 + (ROT(w[i - 2], 17) ^ ROT(w[i - 2], 19) ^ w[i - 2] >> 10);
        u32 a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
        for (u32 i = 0; i < 64; i++) {
            u32 s = h + (ROT(e, 6) ^ ROT(e, 11) ^ ROT(e, 25)) + ((e & f) ^ (~e & g)) + i * 0x9E3779B9u + w[i];
            u32 t = (ROT(a, 2) ^ ROT(a, 13) ^ ROT(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g; g = f; f = e; e = d + s; d = c; c = b; b = a; a = s + t;
        }
        state[0] += a; state[1] += b; state[2] += c; state[3] += d;
        state[4] += e; state[5] += f; state[6] += g; state[7] += h;
    }
    return state[0] ^ state[7];
}

EXPORT(machine) u32 machine(u32 n) {
    static const u8 program[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 3, 5, 7, 2, 4, 10};
    u8 *code = heap;
    u32 *cells = (u32 *)(heap + 64), a = n, b = 1, c = 7, pc = 0;
    for (u32 i = 0; i < sizeof program; i++) code[i] = program[i];
    for (u32 i = 0; i < 64; i++) cells[i] = i * 77;
    for (;;) switch (code[pc++]) {
        case 0: b += a; break;
        case 1: b ^= c; break;
        case 2: c += 3; break;
        case 3: b *= 5; break;
        case 4: b -= c >> 1; break;
        case 5: cells[b & 63] = c; break;
        case 6: c ^= cells[a & 63]; break;
        case 7: b += c & 255; break;
        case 8: c = c * 3 + 1; break;
        case 9: b = ~b; break;
        case 10: if (!--a) return b ^ c; pc = 0; break;
        default: return 0;
    }
}

EXPORT(list) u32 list(u32 n) {
    u32 *next = (u32 *)heap, at = 0, sum = 0;
    for (u32 i = 0; i < 65536; i++) next[i] = (i * 40503u + 1) & 65535;
    for (u32 i = 0; i < n; i++) { at = next[at]; sum += at; }
    return sum;
}

EXPORT(histogram) u32 histogram(u32 n) {
    u32 *count = (u32 *)heap, seed = 1, sum = 0;
    for (u32 i = 0; i < 65536; i++) count[i] = 0;
    for (u32 i = 0; i < n; i++) { seed = seed * 1664525u + 1013904223u; count[seed >> 16]++; }
    for (u32 i = 0; i < 65536; i++) sum = sum * 33 + count[i];
    return sum;
}

EXPORT(copy) u32 copy(u32 n) {
    u64 *to = (u64 *)(heap + (1 << 19)), *from = (u64 *)heap;
    u32 sum = 0;
    for (u32 i = 0; i < 1 << 16; i++) from[i] = i;
    for (u32 r = 0; r < n; r++) for (u32 i = 0; i < (1 << 16) - 1; i++) to[i] = from[i] + from[i + 1];
    for (u32 i = 0; i < 1 << 16; i += 13) sum = sum * 31 + (u32)to[i];
    return sum;
}
