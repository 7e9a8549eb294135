/* The limit: a loop of send() over all connections, with no protocol and no HTTP. Its argument is the frame's size. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536

static int viewers[MOST];
static int count;
static char frame[65536];
static char line[65536];

/* All who are connected by now: whoever is told to emit has waited for them. */
static void take(int listening) {
    int one = 1, viewer;
    while (count < MOST && (viewer = accept(listening, NULL, NULL)) >= 0) {
        setsockopt(viewer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        viewers[count++] = viewer;
    }
}

static void emit(long rounds, size_t size, double pause) {
    for (long round = 0; round < rounds; round++) {
        for (int n = 0; n < count; n++)
            if (send(viewers[n], frame, size, MSG_NOSIGNAL) != (ssize_t)size) {
                printf("{\"error\": \"a viewer could not be sent to\"}\n");
                return;
            }
        if (pause > 0) usleep((useconds_t)(pause * 1e6));
    }
}

int main(int argc, char **argv) {
    size_t size = argc > 1 ? (size_t)atol(argv[1]) : 0;
    if (size == 0 || size > sizeof frame) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(frame, 'x', size);
    setvbuf(stdout, NULL, _IOLBF, 0);

    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listening, (struct sockaddr *)&address, length) || listen(listening, 4096)) return 1;
    getsockname(listening, (struct sockaddr *)&address, &length);
    printf("{\"port\": %d}\n", ntohs(address.sin_port));

    struct pollfd watched[2] = {{.fd = 0, .events = POLLIN}, {.fd = listening, .events = POLLIN}};
    while (poll(watched, 2, -1) > 0) {
        take(listening);
        if (watched[0].revents) {
            ssize_t got = read(0, line, sizeof line - 1);
            if (got <= 0) return 0;
            line[got] = 0;
            char *rounds = strstr(line, "\"rounds\":"), *pause = strstr(line, "\"pause\":");
            if (rounds) emit(atol(rounds + 9), size, pause ? atof(pause + 8) : 0);
        }
    }
    return 0;
}
