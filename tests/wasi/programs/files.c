/* Walks a tree, renames, links, seeks, truncates; prints what it sees. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void walk(const char *path) {
    char *names[64], full[512];
    int count = 0;
    DIR *dir = opendir(path);
    struct dirent *entry;
    if (!dir) { printf("%s: %s\n", path, strerror(errno)); return; }
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        struct stat st;
        snprintf(full, sizeof full, "%s/%s", path, names[i]);
        lstat(full, &st);
        printf("%s %c %d\n", full, S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f',
               S_ISDIR(st.st_mode) ? 0 : (int)st.st_size);
        if (S_ISDIR(st.st_mode)) walk(full);
        free(names[i]);
    }
}

static void check(const char *what, int result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
}

int main(void) {
    char buf[64];
    check("mkdir", mkdir("/made", 0777));
    check("mkdir again", mkdir("/made", 0777));
    FILE *f = fopen("/made/text", "w+");
    for (int i = 0; i < 100; i++) fprintf(f, "line %d\n", i);
    fseek(f, 10, SEEK_SET);
    if (!fgets(buf, sizeof buf, f)) return 1;
    printf("read %s", buf);
    check("truncate", ftruncate(fileno(f), 50));
    fclose(f);
    check("link", link("/made/text", "/made/hard"));
    check("symlink", symlink("text", "/made/soft"));
    ssize_t n = readlink("/made/soft", buf, sizeof buf);
    printf("readlink %.*s\n", (int)n, buf);
    check("rename", rename("/made/text", "/made/moved"));
    int fd = open("/made/soft", O_RDONLY);
    check("dangling", fd);
    fd = open("/made/hard", O_WRONLY | O_APPEND);
    check("append", (int)write(fd, "the end\n", 8));
    printf("at %d\n", (int)lseek(fd, 0, SEEK_CUR));
    close(fd);
    check("escape", open("/../etc/passwd", O_RDONLY));
    walk("/");
    check("unlink", unlink("/made/hard"));
    check("unlink", unlink("/made/soft"));
    check("rmdir full", rmdir("/made"));
    check("unlink", unlink("/made/moved"));
    check("rmdir", rmdir("/made"));
    walk("/");
    return 0;
}
