/* Serves one connection on descriptor 3: every line back in capitals, until the end. */
#include <ctype.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    int fd = accept(3, 0, 0);
    char buf[64];
    ssize_t n;
    if (fd < 0) { perror("accept"); return 1; }
    while ((n = recv(fd, buf, sizeof buf, 0)) > 0) {
        for (int i = 0; i < n; i++) buf[i] = (char)toupper((unsigned char)buf[i]);
        if (send(fd, buf, n, 0) != n) { perror("send"); return 1; }
    }
    shutdown(fd, SHUT_RDWR);
    close(fd);
    puts("served");
    return 0;
}
