// A small web server on a port of this machine, in threads of the test: it serves routes and
// misbehaves as they say. One request for each connection.
#ifndef BDPO_HTTP_FIXTURE_H
#define BDPO_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_route {
    const char *path; // with its query
    const void *body;
    size_t size;
    int status;           // 0: 200
    const char *headers;  // more of them: "X-A: b\r\n"; in a redirect too
    const char *redirect; // 302 to there
    const char *etag;     // with its quotes
    const char *raw;      // this alone is sent, instead of an answer
    bool no_range;        // sends all of it, whatever is asked for
    bool no_length;       // ends by closing
    bool chunked;
    bool stall;      // where `cut` ends the body, keeps the connection open and silent
    int64_t promise; // as Content-Length, instead of the truth
    int n_failing;   // so many requests get `failing` first
    int failing;     // a status
    int slow_ms;     // of rest after each piece
    // How many bytes of the `left` ones the request number `index` (from 0) of this route gets
    // before the connection closes; NULL: all.
    size_t (*cut)(int index, size_t left);
} http_route;

typedef struct http_request_seen {
    char path[512], range[64], if_range[128], authorization[256];
    int status;
} http_request_seen;

typedef struct http_server http_server;

// Routes are borrowed until http_server_stop, and may be changed between requests.
http_server *http_server_start(const http_route *routes, int n_routes);
int http_server_port(const http_server *server);
void http_server_stop(http_server *server);

// What was asked so far; stays valid.
int http_server_count(http_server *server);
http_request_seen http_server_request(http_server *server, int index);

// "http://127.0.0.1:PORT" and a path, in one of four buffers that take turns.
const char *http_server_url(const http_server *server, const char *path);

#endif
