// Byte-pair encoding learned from a short list of words, the frequent ones first: the merges come
// out the same on every machine.
#include "models/demo_vocabulary.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/json_write.h"
#include "text/clip_vocab.h"

// Words of English prompts. Every one begins with a letter and has at most LONGEST letters.
static const char words[] =
    "a of the in with and on photo painting an at by to red blue green white black yellow portrait "
    "art style digital light from for sitting standing cat dog horse woman man girl boy house tree "
    "water mountain sky night day city street forest river lake sea beach flower garden cute "
    "beautiful highly detailed realistic cinematic lighting background illustration drawing sketch "
    "watercolor oil pencil render anime cartoon fantasy landscape wearing hat dress suit glasses "
    "holding book riding bicycle car train boat plane astronaut robot dragon castle moon sun star "
    "space planet snow rain fog storm fire smoke cloud sunset sunrise morning evening winter "
    "summer "
    "spring autumn golden silver colorful dark bright vintage modern futuristic old young small "
    "large big tiny giant two three four people group crowd bird fish fox wolf bear lion tiger "
    "elephant rabbit owl butterfly face eyes hair hand smile looking running flying playing "
    "walking sleeping eating drinking reading over under behind near between inside through "
    "table chair window door room kitchen bridge tower road field desert island ocean wave stone "
    "wood glass metal gold paper circle square triangle shape pattern abstract geometric simple "
    "minimal quality resolution sharp focus depth camera lens film movie scene concept artist "
    "masterpiece studio trending intricate elegant smooth ultra very soft warm cold dramatic "
    "mysterious magical ancient mechanical steampunk cyberpunk gothic baroque renaissance "
    "impressionist surreal photograph photography close view wide angle aerial underwater "
    "cup coffee tea cake pizza bread apple orange banana fruit food plate bowl bottle "
    "king queen knight warrior wizard princess soldier doctor child baby mother father "
    "blurry low bad ugly deformed extra text watermark signature cropped worst "
    "is it its that this be are was has his her their one some many like made as or no";

enum { MAX_WORDS = 400, LONGEST = 16, TOKEN_BYTES = 2 * LONGEST + 8 };
enum { N_TOKENS = 2 * BDPO_DEMO_BYTES + BDPO_DEMO_MERGES };

typedef struct word {
    int symbols[LONGEST];
    int length;
    uint32_t weight; // in place of a count in some text
} word;

typedef struct learner {
    char token[N_TOKENS][TOKEN_BYTES]; // spellings, as in the files
    int n_tokens;
    int left[BDPO_DEMO_MERGES], right[BDPO_DEMO_MERGES];
    word words[MAX_WORDS];
    int n_words;
    uint32_t counts[N_TOKENS][N_TOKENS]; // of pairs of neighbours; zero between uses
} learner;

static void spell_byte(char out[TOKEN_BYTES], int byte, const char *end)
{
    unsigned rune = bdpo_clip_byte_rune((unsigned char)byte);
    if (rune < 0x80)
        snprintf(out, TOKEN_BYTES, "%c%s", (int)rune, end);
    else // below 0x800: two bytes of UTF-8
        snprintf(out, TOKEN_BYTES, "%c%c%s", (int)(0xc0 | rune >> 6), (int)(0x80 | (rune & 0x3f)),
                 end);
}

// Ids go by the characters, not the bytes: '!' is 0.
static void spell_bytes(learner *l)
{
    int id = 0;
    for (uint32_t rune = 0; id < BDPO_DEMO_BYTES; rune++) {
        int byte = bdpo_clip_rune_byte(rune);
        if (byte < 0) continue;
        spell_byte(l->token[id], byte, "");
        spell_byte(l->token[BDPO_DEMO_BYTES + id], byte, "</w>");
        id++;
    }
    l->n_tokens = 2 * BDPO_DEMO_BYTES;
}

static void split_words(learner *l)
{
    enum { FLATTEN = 8 }; // the first word counts as much as eight of the last of such a list
    for (const char *at = words; *at; l->n_words++) {
        word *w = &l->words[l->n_words];
        BDPO_ASSERT(l->n_words < MAX_WORDS);
        for (; *at && *at != ' '; at++) {
            BDPO_ASSERT(w->length < LONGEST);
            w->symbols[w->length++] = *at - '!';
        }
        w->symbols[w->length - 1] += BDPO_DEMO_BYTES;
        w->weight = (uint32_t)(100000 / (l->n_words + FLATTEN));
        while (*at == ' ') at++;
    }
}

static void join(char out[TOKEN_BYTES], const learner *l, int left, int right)
{
    char both[2 * TOKEN_BYTES];
    int length = snprintf(both, sizeof both, "%s%s", l->token[left], l->token[right]);
    BDPO_ASSERT(length < TOKEN_BYTES);
    memcpy(out, both, (size_t)length + 1);
}

static bool is_token(const learner *l, int left, int right)
{
    char both[TOKEN_BYTES];
    join(both, l, left, right);
    for (int i = 0; i < l->n_tokens; i++)
        if (strcmp(l->token[i], both) == 0) return true;
    return false;
}

// The pair that counts most and makes a new token; the first such in the order of words.
static void find_pair(learner *l, int *left, int *right)
{
    uint32_t most = 0;
    for (int i = 0; i < l->n_words; i++)
        for (int k = 0; k + 1 < l->words[i].length; k++) {
            const int *s = l->words[i].symbols + k;
            l->counts[s[0]][s[1]] += l->words[i].weight;
        }
    for (int i = 0; i < l->n_words; i++)
        for (int k = 0; k + 1 < l->words[i].length; k++) {
            const int *s = l->words[i].symbols + k;
            uint32_t count = l->counts[s[0]][s[1]];
            l->counts[s[0]][s[1]] = 0;
            if (count <= most || is_token(l, s[0], s[1])) continue;
            most = count;
            *left = s[0];
            *right = s[1];
        }
    BDPO_ASSERT(most > 0); // the words hold enough pairs
}

static void merge_in(word *w, int left, int right, int merged)
{
    int length = 0;
    for (int i = 0; i < w->length; i++, length++) {
        bool both = i + 1 < w->length && w->symbols[i] == left && w->symbols[i + 1] == right;
        w->symbols[length] = both ? merged : w->symbols[i];
        i += both;
    }
    w->length = length;
}

static void learn(learner *l)
{
    spell_bytes(l);
    split_words(l);
    for (int m = 0; m < BDPO_DEMO_MERGES; m++) {
        find_pair(l, &l->left[m], &l->right[m]);
        join(l->token[l->n_tokens], l, l->left[m], l->right[m]);
        for (int i = 0; i < l->n_words; i++)
            merge_in(&l->words[i], l->left[m], l->right[m], l->n_tokens);
        l->n_tokens++;
    }
}

// ---- files -------------------------------------------------------------------------------------

// Writes a text and clears it.
static bdpo_status write_text(const char *directory, const char *name, bdpo_json_text *text)
{
    char path[BDPO_PATH_BYTES];
    bdpo_status status = bdpo_file_join(path, directory, name);
    if (status == BDPO_OK && text->failed)
        status = bdpo_fail(BDPO_NO_MEMORY, "%s: no memory to write it", path);
    if (status == BDPO_OK) status = bdpo_file_write(path, text->text, text->size);
    bdpo_json_text_clear(text);
    return status;
}

static bdpo_status write_vocabulary(const learner *l, const char *directory)
{
    bdpo_json_text text = {0};
    bdpo_json_put(&text, "{");
    for (int i = 0; i < l->n_tokens; i++) {
        bdpo_json_put_string(&text, l->token[i]);
        bdpo_json_put(&text, ": %d, ", i);
    }
    bdpo_json_put(&text, "\"<|startoftext|>\": %d, \"<|endoftext|>\": %d}\n", BDPO_DEMO_BEGIN,
                  BDPO_DEMO_END);
    return write_text(directory, "vocab.json", &text);
}

static bdpo_status write_merges(const learner *l, const char *directory)
{
    bdpo_json_text text = {0};
    bdpo_json_put(&text, "#version: 0.2\n");
    for (int m = 0; m < BDPO_DEMO_MERGES; m++)
        bdpo_json_put(&text, "%s %s\n", l->token[l->left[m]], l->token[l->right[m]]);
    return write_text(directory, "merges.txt", &text);
}

static void put_token(bdpo_json_text *text, const char *name, const char *content)
{
    bdpo_json_put(text, "  \"%s\": {\"content\": \"%s\", ", name, content);
    bdpo_json_put(text, "\"lstrip\": false, \"normalized\": true, \"rstrip\": false, ");
    bdpo_json_put(text, "\"single_word\": false},\n");
}

static bdpo_status write_settings(const char *directory, const char *pad)
{
    static const char begin[] = "<|startoftext|>", end[] = "<|endoftext|>";
    bdpo_json_text text = {0};
    bdpo_json_put(&text, "{\n");
    put_token(&text, "bos_token", begin);
    put_token(&text, "eos_token", end);
    put_token(&text, "unk_token", end);
    bdpo_json_put(&text, "  \"pad_token\": \"%s\"\n}\n", pad ? pad : end);
    TRY(write_text(directory, "special_tokens_map.json", &text));
    bdpo_json_put(&text, "{\n  \"add_prefix_space\": false,\n  \"bos_token\": \"%s\",\n", begin);
    bdpo_json_put(&text, "  \"do_lower_case\": true,\n  \"eos_token\": \"%s\",\n", end);
    bdpo_json_put(&text, "  \"errors\": \"replace\",\n  \"model_max_length\": 77,\n");
    bdpo_json_put(&text, "  \"pad_token\": \"%s\",\n", pad ? pad : end);
    bdpo_json_put(&text, "  \"tokenizer_class\": \"CLIPTokenizer\",\n");
    bdpo_json_put(&text, "  \"unk_token\": \"%s\"\n}\n", end);
    return write_text(directory, "tokenizer_config.json", &text);
}

bdpo_status bdpo_demo_vocabulary_write(const char *directory, const char *pad)
{
    learner *l = bdpo_alloc(1, sizeof *l);
    if (!l) return bdpo_fail(BDPO_NO_MEMORY, "no memory to make a vocabulary");
    learn(l);
    bdpo_status status = write_vocabulary(l, directory);
    if (status == BDPO_OK) status = write_merges(l, directory);
    bdpo_free(l);
    return status == BDPO_OK ? write_settings(directory, pad) : status;
}
