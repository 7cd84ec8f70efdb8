/* A tree of additions, written down in prefix order and added up while it is read.
 *
 * The tree is a list of 32-bit words. A word is a number or the address of a function that reads on from there; which
 * of the two, the reader knows. Every function is given the address of a cursor, and moves the cursor over the words
 * that it uses:
 *
 *     load            the word at the cursor
 *     load_call       a function, which is then called in place of this one
 *     load_call_add   two functions; the sum of what they give
 *     load_add        two numbers; their sum
 *
 * FROM_HOST tells which functions are not compiled here but imported from module "my-host-func": a sum of 1 for load,
 * 2 for load_call and 4 for load_call_add. Each gives the same result wherever it lives. load_add is always here. */

#ifndef FROM_HOST
#define FROM_HOST 7
#endif

typedef unsigned word;
typedef word **cursor;
typedef int operation(cursor);

#define GUEST __attribute__((noinline))
#define HOST(name) __attribute__((import_module("my-host-func"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

#if FROM_HOST & 1
HOST("load") int load(cursor at);
#else
GUEST static int load(cursor at) { return (int)*(*at)++; }
#endif

#if FROM_HOST & 2
HOST("load_call") int load_call(cursor at);
#else
GUEST static int load_call(cursor at) {
    operation *next = (operation *)load(at);
    __attribute__((musttail)) return next(at);
}
#endif

#if FROM_HOST & 4
HOST("load_call_add") int load_call_add(cursor at);
#else
GUEST static int load_call_add(cursor at) {
    int left = load_call(at);
    return left + load_call(at);
}
#endif

GUEST static int load_add(cursor at) {
    int left = load(at);
    return left + load(at);
}

#define L (word) load
#define LC (word) load_call
#define LCA (word) load_call_add
#define LA (word) load_add

/* ((((1+2) + (3+4)) + ((5+6) + (7+8))) + (((9+10) + (11+12)) + (13 + (14+15)))) + 16, with detours by load_call. */
static word tree[] = {
    LCA, LCA, LCA, LCA, LA, 1, 2, LA, 3, 4,
    LCA, LA, 5, 6, LA, 7, 8,
    LC, LCA, LCA, LC, LC, LC, LC, LA, 9, 10, LA, 11, 12,
    LCA, L, 13, LC, LA, 14, 15,
    LC, LC, LC, L, 16,
};

enum { WORDS = sizeof tree / sizeof *tree };
_Static_assert(WORDS == 42, "the whole tree is here");

/* The sum, or -1 if the cursor was not left behind the last word. */
EXPORT("main") int sum_of_tree(void) {
    word *at = tree;
    int sum = load_call(&at);
    return at == tree + WORDS ? sum : -1;
}
