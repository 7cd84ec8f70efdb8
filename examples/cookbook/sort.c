/* A guest that has the host sort its numbers.
 * The exported stack pointer lets a call be dropped without harm, the exported table lets the host call `by_value`.
 * Built by: zig cc -target wasm32-freestanding -Os -s -nostdlib -Wl,--no-entry -Wl,--export-table
 *           -Wl,--export=__stack_pointer -Wl,-z,stack-size=4096 -o sort.wasm sort.c */
#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("lib"), import_name("qsort")))
void sort(void *base, unsigned n, unsigned size, int (*cmp)(const void *, const void *));

static int numbers[10] = {31, 4, 15, 92, 6, 53, 58, 9, 79, 3};
static volatile int compared;

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    compared++;
    return (x > y) - (x < y);
}

/* How many comparisons it took. */
EXPORT("sort_numbers") int sort_numbers(void) {
    compared = 0;
    sort(numbers, sizeof numbers / sizeof *numbers, sizeof *numbers, by_value);
    return compared;
}

EXPORT("number") int number(unsigned i) { return numbers[i]; }
