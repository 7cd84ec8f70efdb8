// A small runtime for threads on nothing but atomics: mutex, condition variable, and a queue of work on both.

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
enum { WORKERS = 4, ROOM = 8, STACK = 16384 };

IMPORT("wasi", "thread-spawn") int thread_spawn(void *);

struct start { char *stack; int worker; };
static _Alignas(16) char stacks[WORKERS][STACK];
static struct start starts[WORKERS];

// A new thread begins without a stack: its pointer is set before any C runs.
__asm__(
    ".globaltype __stack_pointer, i32\n"
    ".globl wasi_thread_start\n"
    ".hidden wasi_thread_start\n"
    ".type wasi_thread_start,@function\n"
    ".functype thread_main (i32, i32) -> ()\n"
    "wasi_thread_start:\n"
    ".functype wasi_thread_start (i32, i32) -> ()\n"
    "local.get 1\n"
    "i32.load 0\n"
    "global.set __stack_pointer\n"
    "local.get 0\n"
    "local.get 1\n"
    "call thread_main\n"
    "end_function\n"
    ".export_name wasi_thread_start, wasi_thread_start\n");

static void wait_while(int *at, int value) { __builtin_wasm_memory_atomic_wait32(at, value, -1); }
static void wake(int *at, unsigned count) { __builtin_wasm_memory_atomic_notify(at, count); }

// 0 free, 1 held, 2 held and waited for.
static void lock(int *m) {
    int found = 0;
    if (__atomic_compare_exchange_n(m, &found, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (__atomic_exchange_n(m, 2, __ATOMIC_SEQ_CST)) wait_while(m, 2);
}
static void unlock(int *m) {
    if (__atomic_exchange_n(m, 0, __ATOMIC_SEQ_CST) == 2) wake(m, 1);
}

// A count of signals: whoever waits sleeps while it is what it was.
static void cond_wait(int *c, int *m) {
    int seen = __atomic_load_n(c, __ATOMIC_SEQ_CST);
    unlock(m);
    wait_while(c, seen);
    lock(m);
}
static void cond_signal(int *c, unsigned count) {
    __atomic_fetch_add(c, 1, __ATOMIC_SEQ_CST);
    wake(c, count);
}

static int mutex, not_empty, not_full, done;
static int queue[ROOM], first, used, closed, finished;
static long long total;
static int jobs[WORKERS];

static void put(int job) {
    lock(&mutex);
    while (used == ROOM) cond_wait(&not_full, &mutex);
    queue[(first + used++) % ROOM] = job;
    unlock(&mutex);
    cond_signal(&not_empty, 1);
}
static int take(void) {
    lock(&mutex);
    while (!used && !closed) cond_wait(&not_empty, &mutex);
    int job = -1;
    if (used) {
        job = queue[first];
        first = (first + 1) % ROOM;
        used--;
    }
    unlock(&mutex);
    cond_signal(&not_full, 1);
    return job;
}

static int steps(unsigned long long n) {
    int count = 0;
    for (; n != 1; count++) n = n & 1 ? 3 * n + 1 : n / 2;
    return count;
}

void thread_main(int tid, struct start *start) {
    for (int job; (job = take()) >= 0;) {
        int found = steps(job);
        lock(&mutex);
        total += found;
        jobs[start->worker]++;
        unlock(&mutex);
    }
    lock(&mutex);
    finished++;
    unlock(&mutex);
    cond_signal(&done, ~0u);
}

EXPORT("run") long long run(int count) {
    for (int i = 0; i < WORKERS; i++) {
        starts[i] = (struct start){stacks[i] + STACK, i};
        if (thread_spawn(&starts[i]) <= 0) __builtin_trap();
    }
    for (int job = 1; job <= count; job++) put(job);
    lock(&mutex);
    closed = 1;
    unlock(&mutex);
    cond_signal(&not_empty, ~0u);
    lock(&mutex);
    while (finished < WORKERS) cond_wait(&done, &mutex);
    unlock(&mutex);
    int did = 0;
    for (int i = 0; i < WORKERS; i++) did += jobs[i];
    return did == count ? total : -1;
}
