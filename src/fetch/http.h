// One GET over libcurl: redirects followed with care for the token, interrupts and stalls noticed,
// the body handed on as it comes.
//
// Hugging Face answers a request for a large file with a redirect to another host; the redirect
// itself names the content's SHA-256 and size (X-Linked-ETag, X-Linked-Size). So what the hops say
// is gathered.
#ifndef BDPO_FETCH_HTTP_H
#define BDPO_FETCH_HTTP_H

#include "base/status.h"
#include "formats/sha256.h"

typedef struct bdpo_http_reply {
    long status;             // of the last response; 0: none came
    bool cut;                // the transfer itself failed
    bool broken;             // in a way that another try may not
    bool unresolved;         // there is no such host, or no network
    bool moved;              // the last host is not the first
    bool framed;             // the end of the body can be told from a broken connection
    int64_t length;          // of the body as promised; -1: not promised
    int64_t first, total;    // of Content-Range; -1: none
    int64_t linked_size;     // -1: not said
    int64_t retry_after_s;   // 0: not said
    bdpo_sha256_text sha256; // X-Linked-ETag; "" where not said
    char etag[128];          // a strong one, with its quotes; ""
    char commit[72], content_type[64], error_code[48];
    char next[1024]; // the page that follows this one; ""
} bdpo_http_reply;

typedef struct bdpo_http_request {
    const char *url;
    const char *token; // "" for none; goes to the first host only, and only over https or to this
                       // machine
    bool http_allowed; // without TLS; a redirect never leads from https to http
    int64_t first;     // 0, or the byte from which on the body is wanted
    const char *if_range; // "" or the ETag that the content must still have for that
    // Both get `user`. begin: once, before the body of a 200 or 206. data: each piece. What fails
    // ends the request with that status.
    bdpo_status (*begin)(void *user, const bdpo_http_reply *reply);
    bdpo_status (*data)(void *user, const void *bytes, size_t size);
    void *user;
} bdpo_http_request;

typedef struct bdpo_http bdpo_http; // keeps connections open from one request to the next

// interrupted may be NULL. A transfer is broken after stall_s seconds without a byte.
BDPO_MUST_CHECK bdpo_status bdpo_http_new(bdpo_http **out, bool (*interrupted)(void),
                                          double stall_s);
void bdpo_http_free(bdpo_http *http); // NULL is fine

// OK: a response came, whole, whatever its status; bodies of others than 200 and 206 are dropped.
BDPO_MUST_CHECK bdpo_status bdpo_http_get(bdpo_http_reply *reply, bdpo_http *http,
                                          const bdpo_http_request *request);

// "https://host:port" for messages; cut where longer.
typedef struct bdpo_http_host_text {
    char text[128];
} bdpo_http_host_text;
bdpo_http_host_text bdpo_http_host(const char *url);

// True where the host is this machine: 127.x.y.z, ::1, localhost.
bool bdpo_http_is_local(const char *url);

#endif
