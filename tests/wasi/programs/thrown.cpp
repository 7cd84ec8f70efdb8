/* C++ exceptions through destructors, caught, and thrown again, on a small runtime of its own: the C++ library that comes
   with the compiler has none for WebAssembly. Objects that are thrown are ints, and every handler takes all. */

extern "C" {

int printf(const char *, ...);
void *malloc(unsigned long);

__asm__(".globl __cpp_exception\n.tagtype __cpp_exception i32\n__cpp_exception:\n");

static int *current;

void *__cxa_allocate_exception(unsigned long size) { return malloc(size); }
[[noreturn]] void __cxa_throw(void *object, void *, void *) { __builtin_wasm_throw(0, object); }
[[noreturn]] void __cxa_rethrow() { __builtin_wasm_throw(0, current); }
void *__cxa_begin_catch(void *object) { return current = static_cast<int *>(object); }
void __cxa_end_catch() {}
int __gxx_wasm_personality_v0(int, ...) { return 0; }

}

namespace std { [[noreturn]] void terminate() noexcept { __builtin_trap(); } }

struct Guard {
    const char *name;
    explicit Guard(const char *name) : name(name) {}
    ~Guard() { printf("~%s ", name); }
};

__attribute__((noinline)) int inner(int k)
{
    Guard guard("inner");
    if (k % 3 == 1)
        throw k;
    return k;
}

__attribute__((noinline)) int outer(int k)
{
    Guard guard("outer");
    try {
        Guard tried("tried");
        return inner(k);
    } catch (...) {
        printf("caught %d ", *current);
        if (k % 2)
            throw;
        return -k;
    }
}

int main()
{
    for (int k = 0; k < 8; k++) {
        try {
            int result = outer(k);
            printf("returned %d\n", result);
        } catch (...) {
            printf("thrown again %d\n", *current);
        }
    }
}
