/* Counts the words of files, or of standard input, and keeps the sum in /counts.txt where it may. */
#include <ctype.h>
#include <stdio.h>

static long count(FILE *in) {
    long words = 0;
    int c, inside = 0;
    while ((c = getc(in)) != EOF) {
        if (!isspace(c) && !inside) words++;
        inside = !isspace(c);
    }
    return words;
}

int main(int argc, char **argv) {
    long sum = argc > 1 ? 0 : count(stdin);
    for (int i = 1; i < argc; i++) {
        FILE *in = fopen(argv[i], "r");
        if (!in) { perror(argv[i]); return 1; }
        sum += count(in);
        fclose(in);
    }
    printf("%ld words\n", sum);
    FILE *out = fopen("/counts.txt", "a");
    if (out) { fprintf(out, "%ld\n", sum); fclose(out); }
    return 0;
}
