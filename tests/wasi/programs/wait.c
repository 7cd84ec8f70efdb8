/* Sleeps, polls, reads standard input to its end, and says what it got. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec nap = {0, 20000000}, before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&nap, 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long slept = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    printf("%s %s slept %s\n", argv[argc - 1], getenv("NAME"), slept >= 20000000 ? "enough" : "too little");
    struct pollfd in = {0, POLLIN, 0};
    char buf[16];
    int total = 0;
    for (;;) {
        int ready = poll(&in, 1, -1);
        int n = (int)read(0, buf, sizeof buf);
        if (ready != 1 || n < 0) return 1;
        if (n == 0) break;
        total += n;
    }
    printf("read %d\n", total);
    fprintf(stderr, "done\n");
    return 7;
}
