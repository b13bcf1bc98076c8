// Redirects are followed here, not by libcurl: each hop decides anew whether the token may go along
// and whether the protocol is allowed, and its headers are read.
#include "fetch/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/memory.h"
#include "fetch/record.h"

enum { MAX_HOPS = 10, MAX_DROPPED = 64 * 1024, URL_BYTES = 8192 };

static const long CONNECT_S = 30;

struct bdpo_http {
    CURL *curl;
    bool (*interrupted)(void);
    double stall_s;
};

// One request under way. `url` is where the current hop goes.
typedef struct transfer {
    bdpo_http *http;
    const bdpo_http_request *request;
    bdpo_http_reply *reply;
    char url[URL_BYTES];
    bool begun, dropped, stalled, interrupted;
    bdpo_status failure; // of begin or data
    size_t n_dropped;
    curl_off_t seen; // bytes at the last change, and when
    double seen_s;
    char reason[CURL_ERROR_SIZE];
} transfer;

// ---- addresses ---------------------------------------------------------------------------------

typedef struct parts {
    char scheme[16], host[256], port[16];
} parts;

static bool take_part(char *out, size_t size, CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    bool taken = curl_url_get(url, part, &text, flags) == CURLUE_OK && text &&
                 (size_t)snprintf(out, size, "%s", text) < size;
    curl_free(text);
    return taken;
}

static bool split(parts *out, const char *url)
{
    CURLU *parsed = curl_url();
    bool fine = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                take_part(out->scheme, sizeof out->scheme, parsed, CURLUPART_SCHEME, 0) &&
                take_part(out->host, sizeof out->host, parsed, CURLUPART_HOST, 0) &&
                take_part(out->port, sizeof out->port, parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    curl_url_cleanup(parsed);
    return fine;
}

static bool same_origin(const char *a, const char *b)
{
    parts x, y;
    return split(&x, a) && split(&y, b) && strcasecmp(x.scheme, y.scheme) == 0 &&
           strcasecmp(x.host, y.host) == 0 && strcmp(x.port, y.port) == 0;
}

bdpo_http_host_text bdpo_http_host(const char *url)
{
    bdpo_http_host_text out = {{0}};
    const char *host = strstr(url, "://");
    int length = host ? (int)(host + 3 - url) + (int)strcspn(host + 3, "/?#") : (int)strlen(url);
    snprintf(out.text, sizeof out.text, "%.*s", length, url);
    return out;
}

bool bdpo_http_is_local(const char *url)
{
    parts p;
    struct in_addr number;
    if (!split(&p, url)) return false;
    if (strcasecmp(p.host, "localhost") == 0 || strcmp(p.host, "[::1]") == 0) return true;
    return inet_pton(AF_INET, p.host, &number) == 1 && ntohl(number.s_addr) >> 24 == 127;
}

static bdpo_status check_address(const char *url, bool http_allowed)
{
    parts p;
    if (!split(&p, url)) return bdpo_fail(BDPO_BAD_ARGUMENT, "%.200s: this is no address", url);
    if (strcasecmp(p.scheme, "https") == 0) return BDPO_OK;
    if (strcasecmp(p.scheme, "http") == 0 && http_allowed) return BDPO_OK;
    return bdpo_fail(BDPO_BAD_ARGUMENT, "%.200s: only https is taken here, not %s", url, p.scheme);
}

// ---- headers -----------------------------------------------------------------------------------

static void begin_response(bdpo_http_reply *reply)
{
    reply->framed = false;
    reply->length = reply->first = reply->total = -1;
    reply->retry_after_s = 0;
    reply->etag[0] = reply->content_type[0] = reply->error_code[0] = reply->next[0] = '\0';
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    for (char *c = out; *c; c++) // they may end up in a message
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
}

static int64_t parse_size(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return end == text || errno != 0 || value < 0 ? -1 : value;
}

// "bytes 10-99/100"; "bytes */100" tells the total only.
static void take_content_range(bdpo_http_reply *reply, const char *value)
{
    if (strncasecmp(value, "bytes ", 6) != 0) return;
    const char *slash = strchr(value, '/');
    reply->first = parse_size(value + 6);
    reply->total = slash ? parse_size(slash + 1) : -1;
}

static void take_linked_etag(bdpo_http_reply *reply, char *value)
{
    bdpo_sha256_text sha256;
    size_t length = strlen(value);
    if (length > 1 && value[0] == '"' && value[length - 1] == '"') {
        value[length - 1] = '\0';
        value++;
    }
    if (bdpo_fetch_sha256_parse(&sha256, value)) reply->sha256 = sha256;
}

// <https://...?cursor=x>; rel="next"
static void take_link(bdpo_http_reply *reply, const char *value)
{
    const char *end = strchr(value, '>');
    if (value[0] != '<' || !end || !strstr(end, "rel=\"next\"")) return;
    if ((size_t)(end - value) > sizeof reply->next) return;
    snprintf(reply->next, sizeof reply->next, "%.*s", (int)(end - value - 1), value + 1);
}

static void take_header(bdpo_http_reply *reply, const char *name, char *value)
{
    if (strcasecmp(name, "content-length") == 0)
        reply->length = parse_size(value);
    else if (strcasecmp(name, "transfer-encoding") == 0)
        reply->framed = strcasecmp(value, "chunked") == 0;
    else if (strcasecmp(name, "content-range") == 0)
        take_content_range(reply, value);
    else if (strcasecmp(name, "etag") == 0 && value[0] == '"')
        copy(reply->etag, sizeof reply->etag, value);
    else if (strcasecmp(name, "x-linked-etag") == 0)
        take_linked_etag(reply, value);
    else if (strcasecmp(name, "x-linked-size") == 0)
        reply->linked_size = parse_size(value);
    else if (strcasecmp(name, "x-repo-commit") == 0)
        copy(reply->commit, sizeof reply->commit, value);
    else if (strcasecmp(name, "x-error-code") == 0)
        copy(reply->error_code, sizeof reply->error_code, value);
    else if (strcasecmp(name, "content-type") == 0)
        copy(reply->content_type, sizeof reply->content_type, value);
    else if (strcasecmp(name, "link") == 0)
        take_link(reply, value);
}

static size_t on_header(char *bytes, size_t one, size_t size, void *user)
{
    transfer *t = user;
    char line[2048];
    (void)one;
    if (size >= sizeof line) return size; // none that we read is so long
    memcpy(line, bytes, size);
    line[size] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "HTTP/", 5) == 0) { // also after "100 Continue"
        begin_response(t->reply);
        t->reply->status = 0;
        if (line[5] >= '2') t->reply->framed = true;
        return size;
    }
    char *colon = strchr(line, ':');
    if (!colon) return size;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t length = strlen(value);
    while (length > 0 && strchr(" \t", value[length - 1])) value[--length] = '\0';
    take_header(t->reply, line, value);
    return size;
}

// ---- the body ----------------------------------------------------------------------------------

static bool is_wanted(long status)
{
    return status == 200 || status == 206;
}

static bdpo_status begin_body(transfer *t)
{
    if (t->begun) return BDPO_OK;
    t->begun = true;
    if (t->reply->length >= 0) t->reply->framed = true;
    return t->request->begin ? t->request->begin(t->request->user, t->reply) : BDPO_OK;
}

static size_t on_data(char *bytes, size_t one, size_t size, void *user)
{
    transfer *t = user;
    (void)one;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    if (!is_wanted(t->reply->status)) {
        t->n_dropped += size;
        t->dropped = t->n_dropped > MAX_DROPPED; // a page that explains is shorter
        return t->dropped ? 0 : size;
    }
    t->failure = begin_body(t);
    if (t->failure == BDPO_OK) t->failure = t->request->data(t->request->user, bytes, size);
    return t->failure == BDPO_OK ? size : 0;
}

// Called by libcurl at least once a second.
static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    transfer *t = user;
    double time = bdpo_clock_seconds();
    (void)total, (void)up_total;
    if (now + up != t->seen) {
        t->seen = now + up;
        t->seen_s = time;
    }
    t->interrupted = t->http->interrupted && t->http->interrupted();
    t->stalled = time - t->seen_s >= t->http->stall_s;
    return t->interrupted || t->stalled;
}

// ---- one hop -----------------------------------------------------------------------------------

// libcurl's program reads these too; the library does not.
static void set_certificates(CURL *curl)
{
    const char *bundle = getenv("CURL_CA_BUNDLE");
    if (!bundle || !*bundle) bundle = getenv("SSL_CERT_FILE");
    if (bundle && *bundle) curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
}

static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

// Signals stay allowed: only so does libcurl guard against SIGPIPE while it sends.
static void set_options(CURL *curl, transfer *t)
{
    curl_easy_reset(curl); // keeps the connections
    set_protocols(curl);
    set_certificates(curl);
    curl_easy_setopt(curl, CURLOPT_URL, t->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bdpo");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->reason);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[1024];
    if (snprintf(line, sizeof line, "%s: %s", name, value) >= (int)sizeof line) return true;
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown) return false;
    *list = grown;
    return true;
}

static bool may_have_token(const transfer *t)
{
    return t->request->token && t->request->token[0] && same_origin(t->url, t->request->url) &&
           (strncasecmp(t->url, "https:", 6) == 0 || bdpo_http_is_local(t->url));
}

static bool make_headers(struct curl_slist **list, const transfer *t)
{
    char value[600];
    bool fine = true;
    if (may_have_token(t)) {
        snprintf(value, sizeof value, "Bearer %s", t->request->token);
        fine = add_header(list, "Authorization", value);
    }
    if (t->request->first > 0) {
        snprintf(value, sizeof value, "bytes=%lld-", (long long)t->request->first);
        fine = fine && add_header(list, "Range", value);
        if (t->request->if_range[0])
            fine = fine && add_header(list, "If-Range", t->request->if_range);
    }
    return fine;
}

// Faults that lie in the address or the set-up do not go away by trying again.
static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return false;
    default:
        return true;
    }
}

static bdpo_status explain(transfer *t, CURLcode code)
{
    bdpo_http_host_text host = bdpo_http_host(t->url);
    if (t->failure != BDPO_OK) return t->failure;
    if (t->interrupted) return bdpo_fail(BDPO_INTERRUPTED, "interrupted");
    t->reply->cut = true;
    t->reply->broken = may_pass(code);
    t->reply->unresolved = code == CURLE_COULDNT_RESOLVE_HOST;
    if (t->stalled)
        return bdpo_fail(BDPO_IO, "%s: no byte came for %.0f s", host.text, t->http->stall_s);
    return bdpo_fail(BDPO_IO, "%s: %s", host.text,
                     t->reason[0] ? t->reason : curl_easy_strerror(code));
}

static bdpo_status one_hop(transfer *t)
{
    CURL *curl = t->http->curl;
    struct curl_slist *headers = NULL;
    t->begun = t->dropped = t->stalled = t->interrupted = false;
    t->n_dropped = 0;
    t->seen = 0;
    t->seen_s = bdpo_clock_seconds();
    t->reason[0] = '\0';
    begin_response(t->reply);
    set_options(curl, t);
    if (!make_headers(&headers, t)) {
        curl_slist_free_all(headers);
        return bdpo_fail(BDPO_NO_MEMORY, "no memory for a request");
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    if (t->reply->length >= 0) t->reply->framed = true;
    if (code != CURLE_OK && !t->dropped) return explain(t, code);
    curl_off_t wait = 0;
    if (curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
        t->reply->retry_after_s = wait;
    return is_wanted(t->reply->status) ? begin_body(t) : BDPO_OK; // an empty body too
}

// ---- redirects ---------------------------------------------------------------------------------

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bdpo_status follow(transfer *t)
{
    char *next = NULL;
    curl_easy_getinfo(t->http->curl, CURLINFO_REDIRECT_URL, &next); // absolute
    if (!next)
        return bdpo_fail(BDPO_IO, "%.200s: the server redirects (%ld) without saying where", t->url,
                         t->reply->status);
    if (strlen(next) >= sizeof t->url)
        return bdpo_fail(BDPO_IO, "%.200s: redirects to an address of %zu bytes", t->url,
                         strlen(next));
    bool was_safe = strncasecmp(t->url, "https:", 6) == 0;
    TRY(check_address(next, t->request->http_allowed && !was_safe));
    memcpy(t->url, next, strlen(next) + 1);
    t->reply->moved = !same_origin(t->url, t->request->url);
    return BDPO_OK;
}

bdpo_status bdpo_http_get(bdpo_http_reply *reply, bdpo_http *http, const bdpo_http_request *request)
{
    transfer t = {.http = http, .request = request, .reply = reply};
    *reply = (bdpo_http_reply){.linked_size = -1};
    if (strlen(request->url) >= sizeof t.url)
        return bdpo_fail(BDPO_BAD_ARGUMENT, "%.200s...: the address is too long", request->url);
    memcpy(t.url, request->url, strlen(request->url) + 1);
    TRY(check_address(t.url, request->http_allowed));
    for (int hop = 0; hop <= MAX_HOPS; hop++) {
        TRY(one_hop(&t));
        if (!is_redirect(reply->status)) return BDPO_OK;
        TRY(follow(&t));
    }
    return bdpo_fail(BDPO_IO, "%.200s: more than %d redirects, the last to %.200s", request->url,
                     MAX_HOPS, bdpo_http_host(t.url).text);
}

bdpo_status bdpo_http_new(bdpo_http **out, bool (*interrupted)(void), double stall_s)
{
    bdpo_http *http = bdpo_alloc(1, sizeof *http);
    if (http) http->curl = curl_easy_init();
    if (!http || !http->curl) {
        bdpo_free(http);
        return bdpo_fail(BDPO_NO_MEMORY, "libcurl does not start");
    }
    http->interrupted = interrupted;
    http->stall_s = stall_s;
    *out = http;
    return BDPO_OK;
}

void bdpo_http_free(bdpo_http *http)
{
    if (!http) return;
    curl_easy_cleanup(http->curl);
    bdpo_free(http);
}
