// bdpo fetch: checkpoints, backbones and prompt sets by name.
#include <string.h>

#include "cli/commands.h"
#include "cli/fetch_table.h"
#include "cli/interrupt.h"
#include "fetch/fetch.h"

enum { LIST = 1, WHERE, CHECK, MARKDOWN, SHA256, OUT };

typedef struct options {
    bool list, where, check, markdown;
    const char *sha256, *out;
} options;

static bool take(options *o, int option, bdpo_invocation *invocation)
{
    switch (option) {
    case LIST:
        return o->list = true;
    case WHERE:
        return o->where = true;
    case CHECK:
        return o->check = true;
    case MARKDOWN:
        return o->markdown = true;
    case SHA256:
        return (o->sha256 = bdpo_option_text(invocation)) != NULL;
    case OUT:
        return (o->out = bdpo_option_text(invocation)) != NULL;
    default:
        return false;
    }
}

static bdpo_fetch_options fetch_options(const bdpo_invocation *invocation)
{
    return (bdpo_fetch_options){.log = invocation->log, .interrupted = bdpo_interrupt_noted};
}

// ---- an address --------------------------------------------------------------------------------

static bool is_address(const char *name)
{
    return strncmp(name, "https://", 8) == 0 || strncmp(name, "http://", 7) == 0;
}

// What follows the last slash of an address, without a query; false where that is no file name.
static bool name_of_address(char *out, size_t size, const char *url)
{
    size_t length = strcspn(url, "?#");
    size_t begin = length;
    while (begin > 0 && url[begin - 1] != '/') begin--;
    length -= begin;
    if (length == 0 || length >= size || url[begin] == '.' || begin <= strlen("https://"))
        return false;
    memcpy(out, url + begin, length);
    out[length] = '\0';
    return strchr(out, '%') == NULL;
}

static bool is_of(const char *url, const char *endpoint)
{
    size_t length = strlen(endpoint);
    return strncmp(url, endpoint, length) == 0 && url[length] == '/';
}

// A file that is there already is fine when it is the one that was asked for.
static bdpo_status look_at_old(bool *done, const char *path, const char *sha256)
{
    bdpo_sha256_text actual;
    *done = false;
    if (!bdpo_file_exists(path)) return BDPO_OK;
    if (!sha256)
        return bdpo_fail(BDPO_IO, "%s: is there already (with --sha256 it would be compared)",
                         path);
    TRY(bdpo_sha256_file(&actual, path));
    *done = strcmp(actual.hex, sha256) == 0;
    return *done
               ? BDPO_OK
               : bdpo_fail(BDPO_IO, "%s: is there already, with the SHA-256 %s", path, actual.hex);
}

static bdpo_status get_address(const bdpo_invocation *invocation, const char *url, const char *path,
                               const char *sha256)
{
    bool done;
    bdpo_http *http;
    bdpo_fetch_places places;
    bdpo_fetch_options plain = fetch_options(invocation);
    bdpo_fetch_options settled = bdpo_fetch_options_settle(&plain);
    TRY(look_at_old(&done, path, sha256));
    if (done) return BDPO_OK;
    TRY(bdpo_fetch_places_read(&places));
    if (places.offline) return bdpo_fail(BDPO_IO, "%s: HF_HUB_OFFLINE is set", url);
    bdpo_download what = {
        .url = url,
        .path = path,
        .label = path,
        .sha256 = sha256,
        .proof = "user",
        .token = is_of(url, places.hub) ? places.token : "",
        .page = is_of(url, places.hub) ? places.hub : NULL,
        .http_allowed = true, // it was typed
    };
    TRY(bdpo_http_new(&http, settled.interrupted, settled.stall_s));
    bdpo_status status = bdpo_download_file(&what, http, &settled);
    bdpo_http_free(http);
    return status;
}

static int run_address(const bdpo_invocation *invocation, const options *o)
{
    char name[256];
    const char *url = invocation->arguments[0];
    bdpo_sha256_text sha256;
    if (invocation->n_arguments != 1) return bdpo_usage_error(invocation, "one address at a time");
    if (o->sha256 && !bdpo_fetch_sha256_parse(&sha256, o->sha256))
        return bdpo_usage_error(invocation, "--sha256 takes 64 hexadecimal digits");
    if (!o->out && !name_of_address(name, sizeof name, url))
        return bdpo_usage_error(invocation, "the address has no file name: give --out FILE");
    const char *path = o->out ? o->out : name;
    bdpo_status status = get_address(invocation, url, path, o->sha256 ? sha256.hex : NULL);
    if (status == BDPO_OK) printf("%s\n", path);
    return bdpo_exit_code(status);
}

// ---- names -------------------------------------------------------------------------------------

static bdpo_status check(const bdpo_invocation *invocation, const bdpo_fetch_item *item,
                         const bdpo_fetch_places *places)
{
    int n_checked, n_unknown;
    bdpo_fetch_options plain = fetch_options(invocation);
    TRY(bdpo_fetch_item_check(&n_checked, &n_unknown, item, places, &plain));
    bdpo_log_write(invocation->log, BDPO_LOG_INFO,
                   "%s: %d file%s as %s should be, %d with no hash to compare", item->name,
                   n_checked, n_checked == 1 ? "" : "s", n_checked == 1 ? "it" : "they", n_unknown);
    return BDPO_OK;
}

static bdpo_status run_name(const bdpo_invocation *invocation, const options *o,
                            const bdpo_fetch_places *places, const char *name)
{
    const bdpo_fetch_item *item;
    bdpo_fetch_options plain = fetch_options(invocation);
    TRY(bdpo_fetch_item_find(&item, name));
    bool here = bdpo_fetch_item_presence(item, places).where != BDPO_FETCH_MISSING;
    if (!here && !o->where && !o->check) TRY(bdpo_fetch_item_get(item, places, &plain));
    if (o->check) TRY(check(invocation, item, places));
    if (invocation->json) return BDPO_OK; // printed for all at the end
    return bdpo_fetch_print_where(stdout, item, places);
}

static int run_names(const bdpo_invocation *invocation, const options *o,
                     const bdpo_fetch_places *places)
{
    const bdpo_fetch_item *item;
    for (int i = 0; i < invocation->n_arguments; i++) // before anything is fetched
        if (bdpo_fetch_item_find(&item, invocation->arguments[i]) != BDPO_OK)
            return bdpo_usage_error(invocation, "%s", bdpo_message());
    bdpo_status status = BDPO_OK;
    for (int i = 0; i < invocation->n_arguments && status == BDPO_OK; i++)
        status = run_name(invocation, o, places, invocation->arguments[i]);
    if (status == BDPO_OK && invocation->json)
        status =
            bdpo_fetch_print_json(stdout, invocation->arguments, invocation->n_arguments, places);
    return bdpo_exit_code(status);
}

static int run_list(const bdpo_invocation *invocation, const options *o,
                    const bdpo_fetch_places *places)
{
    if (o->markdown) {
        bdpo_fetch_print_markdown(stdout);
        return BDPO_EXIT_DONE;
    }
    if (invocation->json) return bdpo_exit_code(bdpo_fetch_print_json(stdout, NULL, 0, places));
    bdpo_fetch_print_table(stdout, places);
    return BDPO_EXIT_DONE;
}

static int run(bdpo_invocation *invocation)
{
    options o = {0};
    bdpo_fetch_places places;
    for (int option; (option = bdpo_next_option(invocation)) != 0;)
        if (option < 0 || !take(&o, option, invocation)) return BDPO_EXIT_USAGE;
    int n = invocation->n_arguments;
    if (n > 0 && (o.list || o.markdown))
        return bdpo_usage_error(invocation, "--list and --markdown take no names");
    bool address = n > 0 && is_address(invocation->arguments[0]);
    if (!address && (o.sha256 || o.out))
        return bdpo_usage_error(invocation, "--sha256 and --out go with an address");
    if (n == 0 && (o.where || o.check))
        return bdpo_usage_error(invocation, "--where and --check need a name");
    bdpo_interrupt_catch();
    if (address) return run_address(invocation, &o);
    bdpo_status status = bdpo_fetch_places_read(&places);
    if (status != BDPO_OK) return bdpo_exit_code(status);
    return n == 0 ? run_list(invocation, &o, &places) : run_names(invocation, &o, &places);
}

static const struct poptOption table[] = {
    {"list", '\0', POPT_ARG_NONE, NULL, LIST, "what there is, and what of it is here (the default)",
     NULL},
    {"where", '\0', POPT_ARG_NONE, NULL, WHERE, "print where it lies; nothing is fetched", NULL},
    {"check", '\0', POPT_ARG_NONE, NULL, CHECK, "read what is here and compare its SHA-256", NULL},
    {"markdown", '\0', POPT_ARG_NONE, NULL, MARKDOWN, "the list as docs/getting-models.md has it",
     NULL},
    {"sha256", '\0', POPT_ARG_STRING, NULL, SHA256, "of an address: what its content must have",
     "HEX"},
    {"out", '\0', POPT_ARG_STRING, NULL, OUT, "of an address: the file to write", "FILE"},
    POPT_TABLEEND};

static const bdpo_example examples[] = {
    {"bdpo fetch", "the table of names, sizes, licences, and what is here already"},
    {"bdpo fetch pickscore hpsv2.1", "two scorers; prints where they lie"},
    {"HF_TOKEN=hf_... bdpo fetch sd15", "with a token, for what is gated"},
    {"bdpo fetch sd15 --where", "its directory, to be used in other commands"},
    {"bdpo fetch https://example.org/a.safetensors --sha256 HEX --out a.safetensors",
     "any file, with resuming and a check"},
    {NULL, NULL}};

const bdpo_command bdpo_cmd_fetch = {
    .name = "fetch",
    .arguments = "[NAME ...|ADDRESS]",
    .summary = "checkpoints, backbones and prompt sets by name",
    .text =
        "Looks into the cache of Hugging Face's libraries first, then into ours (BDPO_CACHE, or\n"
        "~/.cache/bdpo), and downloads what is missing: resumed where it was broken off, checked\n"
        "by SHA-256, and given its name only when whole. HF_TOKEN is used where a licence has to\n"
        "be accepted first; HF_ENDPOINT names a mirror. docs/getting-models.md has the details.",
    .options = table,
    .examples = examples,
    .n_arguments = -1,
    .run = run,
};
