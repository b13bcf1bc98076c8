// Sockets and threads of the test server.
#define _DEFAULT_SOURCE // strcasestr
#define _GNU_SOURCE
#include "fetch/http_fixture.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

enum { MAX_CONNECTIONS = 512, MAX_ROUTES = 64, HEAD_BYTES = 8192, PIECE_BYTES = 16384 };

typedef struct connection {
    http_server *server;
    pthread_t thread;
    int fd;
} connection;

struct http_server {
    const http_route *routes;
    int n_routes, listener, port;
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t mutex; // of all that follows
    connection connections[MAX_CONNECTIONS];
    int n_connections;
    http_request_seen requests[MAX_CONNECTIONS];
    int n_requests;
    int n_seen[MAX_ROUTES]; // requests of each route
};

static void rest_ms(int ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

// ---- one request -------------------------------------------------------------------------------

static bool send_all(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool read_head(int fd, char head[HEAD_BYTES])
{
    size_t used = 0;
    while (used + 1 < HEAD_BYTES) {
        ssize_t n = recv(fd, head + used, HEAD_BYTES - used - 1, 0);
        if (n <= 0) return false;
        used += (size_t)n;
        head[used] = '\0';
        if (strstr(head, "\r\n\r\n")) return true;
    }
    return false;
}

static void take_field(char *out, size_t size, const char *head, const char *name)
{
    const char *at = strcasestr(head, name);
    out[0] = '\0';
    if (at) snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "\r\n"), at + strlen(name));
}

static void parse(http_request_seen *out, const char *head)
{
    const char *path = strchr(head, ' ');
    *out = (http_request_seen){0};
    if (path) snprintf(out->path, sizeof out->path, "%.*s", (int)strcspn(path + 1, " "), path + 1);
    take_field(out->range, sizeof out->range, head, "\r\nRange: ");
    take_field(out->if_range, sizeof out->if_range, head, "\r\nIf-Range: ");
    take_field(out->authorization, sizeof out->authorization, head, "\r\nAuthorization: ");
}

static const http_route *find_route(const http_server *server, const char *path)
{
    for (int i = 0; i < server->n_routes; i++)
        if (strcmp(server->routes[i].path, path) == 0) return &server->routes[i];
    return NULL;
}

// Notes the request; *index is its number among those of its route.
static const http_route *note(http_server *server, http_request_seen *seen, int *index, int *slot)
{
    const http_route *route = find_route(server, seen->path);
    pthread_mutex_lock(&server->mutex);
    *index = route ? server->n_seen[route - server->routes]++ : 0;
    *slot = server->n_requests < MAX_CONNECTIONS ? server->n_requests++ : MAX_CONNECTIONS - 1;
    server->requests[*slot] = *seen;
    pthread_mutex_unlock(&server->mutex);
    return route;
}

static void note_status(http_server *server, int slot, int status)
{
    pthread_mutex_lock(&server->mutex);
    server->requests[slot].status = status;
    pthread_mutex_unlock(&server->mutex);
}

__attribute__((format(printf, 2, 3))) static void put(char *head, const char *format, ...)
{
    va_list arguments;
    char *end = head + strlen(head);
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is begun one line above
    vsnprintf(end, (size_t)(head + HEAD_BYTES - end), format, arguments);
    va_end(arguments);
}

static void send_body(connection *c, const http_route *route, const char *body, size_t size,
                      bool keep_open)
{
    while (size > 0) {
        size_t piece = size < PIECE_BYTES ? size : PIECE_BYTES;
        char line[32];
        if (route->chunked) {
            snprintf(line, sizeof line, "%zx\r\n", piece);
            if (!send_all(c->fd, line, strlen(line))) return;
        }
        if (!send_all(c->fd, body, piece)) return;
        if (route->chunked && !send_all(c->fd, "\r\n", 2)) return;
        body += piece;
        size -= piece;
        if (route->slow_ms) rest_ms(route->slow_ms);
    }
    while (keep_open && !c->server->stopping) rest_ms(10);
}

static void answer_plainly(connection *c, int slot, int status, const char *headers)
{
    char head[HEAD_BYTES] = "";
    put(head, "HTTP/1.1 %d X\r\nContent-Length: 6\r\nConnection: close\r\n%s\r\nsorry\n", status,
        headers ? headers : "");
    note_status(c->server, slot, status);
    send_all(c->fd, head, strlen(head));
}

// The first byte to send; size where the range lies behind the end.
static size_t range_first(const http_route *route, const http_request_seen *seen)
{
    unsigned long long first = 0;
    if (route->no_range || sscanf(seen->range, "bytes=%llu-", &first) != 1) return 0;
    if (seen->if_range[0] && (!route->etag || strcmp(seen->if_range, route->etag) != 0)) return 0;
    return first < route->size ? (size_t)first : route->size;
}

static void answer(connection *c, const http_route *route, const http_request_seen *seen, int index,
                   int slot)
{
    char head[HEAD_BYTES] = "";
    size_t first = range_first(route, seen), left = route->size - first;
    if (first > 0 && left == 0) {
        put(head, "Content-Range: bytes */%zu\r\n", route->size);
        answer_plainly(c, slot, 416, head);
        return;
    }
    size_t sent = route->cut ? route->cut(index, left) : left;
    int status = route->status ? route->status : first > 0 ? 206 : 200;
    put(head, "HTTP/1.1 %d X\r\nConnection: close\r\n%s", status,
        route->headers ? route->headers : "");
    if (first > 0)
        put(head, "Content-Range: bytes %zu-%zu/%zu\r\n", first, route->size - 1, route->size);
    if (route->chunked)
        put(head, "Transfer-Encoding: chunked\r\n");
    else if (!route->no_length)
        put(head, "Content-Length: %lld\r\n",
            route->promise ? (long long)route->promise : (long long)left);
    if (route->etag) put(head, "ETag: %s\r\n", route->etag);
    put(head, "\r\n");
    note_status(c->server, slot, status);
    if (!send_all(c->fd, head, strlen(head))) return;
    send_body(c, route, (const char *)route->body + first, sent, route->stall && sent < left);
    if (route->chunked && sent == left) send_all(c->fd, "0\r\n\r\n", 5);
}

static void *serve(void *user)
{
    connection *c = user;
    char head[HEAD_BYTES];
    http_request_seen seen;
    int index, slot;
    if (read_head(c->fd, head)) {
        parse(&seen, head);
        const http_route *route = note(c->server, &seen, &index, &slot);
        if (!route) {
            answer_plainly(c, slot, 404, NULL);
        } else if (route->raw) {
            send_all(c->fd, route->raw, strlen(route->raw));
        } else if (index < route->n_failing) {
            answer_plainly(c, slot, route->failing, route->headers);
        } else if (route->redirect) {
            head[0] = '\0';
            put(head, "Location: %s\r\n%s", route->redirect, route->headers ? route->headers : "");
            answer_plainly(c, slot, 302, head);
        } else {
            answer(c, route, &seen, index, slot);
        }
    }
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

// ---- the server --------------------------------------------------------------------------------

static void *listen_on(void *user)
{
    http_server *server = user;
    while (!server->stopping) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0) break;
        connection *c = &server->connections[server->n_connections];
        *c = (connection){.server = server, .fd = fd};
        if (server->n_connections == MAX_CONNECTIONS - 1 ||
            pthread_create(&c->thread, NULL, serve, c) != 0) {
            close(fd);
            continue;
        }
        server->n_connections++;
    }
    return NULL;
}

http_server *http_server_start(const http_route *routes, int n_routes)
{
    http_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(server && n_routes <= MAX_ROUTES);
    server->routes = routes;
    server->n_routes = n_routes;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(server->listener >= 0);
    CHECK(bind(server->listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(server->listener, 64) == 0);
    CHECK(getsockname(server->listener, (struct sockaddr *)&address, &length) == 0);
    server->port = ntohs(address.sin_port);
    CHECK(pthread_mutex_init(&server->mutex, NULL) == 0);
    CHECK(pthread_create(&server->thread, NULL, listen_on, server) == 0);
    return server;
}

int http_server_port(const http_server *server)
{
    return server->port;
}

void http_server_stop(http_server *server)
{
    server->stopping = true;
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    for (int i = 0; i < server->n_connections; i++) {
        shutdown(server->connections[i].fd, SHUT_RDWR);
        pthread_join(server->connections[i].thread, NULL);
        close(server->connections[i].fd);
    }
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

int http_server_count(http_server *server)
{
    pthread_mutex_lock(&server->mutex);
    int n = server->n_requests;
    pthread_mutex_unlock(&server->mutex);
    return n;
}

http_request_seen http_server_request(http_server *server, int index)
{
    pthread_mutex_lock(&server->mutex);
    CHECK(index >= 0 && index < server->n_requests);
    http_request_seen seen = server->requests[index];
    pthread_mutex_unlock(&server->mutex);
    return seen;
}

const char *http_server_url(const http_server *server, const char *path)
{
    static char buffers[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(buffers[turn], sizeof buffers[turn], "http://127.0.0.1:%d%s", server->port, path);
    return buffers[turn];
}
