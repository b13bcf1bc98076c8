// Text made of the table of commands.
#include "cli/command_help.h"

#include <string.h>

#include "base/nearest.h"

static const char tagline[] = "aligns diffusion models with the consensus of several image scorers";

static const struct {
    const char *option, *text;
} common[] = {
    {"--json", "results for machines, as JSON"},
    {"-q, --quiet", "no talk but warnings and errors"},
    {"-h, --help", "this text"},
};

static bool is_end(const struct poptOption *o)
{
    return !o->longName && !o->shortName && !o->arg;
}

// "-t, --dtype f32|f16"
static void print_option_name(char *out, size_t size, const struct poptOption *o)
{
    char short_name[] = {'-', o->shortName, ',', ' ', '\0'};
    snprintf(out, size, "%s--%s%s%s", o->shortName ? short_name : "", o->longName,
             o->argDescrip ? " " : "", o->argDescrip ? o->argDescrip : "");
}

static void print_option(FILE *out, const char *name, const char *text, int width)
{
    fprintf(out, "  %-*s  %s\n", width, name, text);
}

// A table that is included, e.g. of the options that several commands share; NULL for an option.
static const struct poptOption *included(const struct poptOption *o)
{
    return (o->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE ? o->arg : NULL;
}

static int width_of(const struct poptOption *table, int width)
{
    char name[128];
    for (const struct poptOption *o = table; !is_end(o); o++) {
        if (included(o)) {
            width = width_of(included(o), width);
            continue;
        }
        print_option_name(name, sizeof name, o);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    return width;
}

static void print_table(FILE *out, const struct poptOption *table, int width)
{
    char name[128];
    for (const struct poptOption *o = table; !is_end(o); o++) {
        if (included(o)) continue;
        print_option_name(name, sizeof name, o);
        print_option(out, name, o->descrip, width);
    }
}

static void print_options(FILE *out, const bdpo_command *command)
{
    int width = 0;
    for (size_t i = 0; i < BDPO_COUNTOF(common); i++)
        if ((int)strlen(common[i].option) > width) width = (int)strlen(common[i].option);
    width = width_of(command->options, width);
    print_table(out, command->options, width);
    for (size_t i = 0; i < BDPO_COUNTOF(common); i++)
        print_option(out, common[i].option, common[i].text, width);
    for (const struct poptOption *o = command->options; !is_end(o); o++) {
        if (!included(o)) continue;
        fprintf(out, "\n%s:\n", o->descrip);
        print_table(out, included(o), width);
    }
}

static void print_body(FILE *out, const bdpo_command *command)
{
    fprintf(out, "usage: bdpo %s [options] %s\n\n%s\n\noptions:\n", command->name,
            command->arguments, command->text);
    print_options(out, command);
    fprintf(out, "\nexamples:\n");
    for (const bdpo_example *e = command->examples; e->line; e++)
        fprintf(out, "  %s\n      %s\n", e->line, e->shows);
}

void bdpo_help_command(FILE *out, const bdpo_command *command)
{
    fprintf(out, "bdpo %s: %s\n\n", command->name, command->summary);
    print_body(out, command);
}

static void print_list(FILE *out, const bdpo_command *const *commands)
{
    int width = 0;
    for (int i = 0; commands[i]; i++)
        if ((int)strlen(commands[i]->name) > width) width = (int)strlen(commands[i]->name);
    for (int i = 0; commands[i]; i++)
        fprintf(out, "  %-*s  %s\n", width, commands[i]->name, commands[i]->summary);
}

void bdpo_help_list(FILE *out, const bdpo_command *const *commands)
{
    fprintf(out, "bdpo %s\n\nusage: bdpo COMMAND [options] [arguments]\n\ncommands:\n", tagline);
    print_list(out, commands);
    fprintf(out, "\n'bdpo COMMAND --help' tells a command's options, with examples;\n"
                 "'bdpo --help --all' all of them; 'bdpo --version' the version.\n");
}

void bdpo_help_document(FILE *out, const bdpo_command *const *commands)
{
    fprintf(out,
            "# Commands\n\n"
            "<!-- Made by `bdpo --help --all`; a test keeps it so. -->\n\n"
            "`bdpo` %s.\n\n"
            "Results go to the standard output, talk to the standard error. Exit codes: 0 done,\n"
            "1 failed (one line, `bdpo: what happened`), 2 wrong usage, 130 interrupted.\n\n```\n",
            tagline);
    print_list(out, commands);
    fprintf(out, "```\n");
    for (int i = 0; commands[i]; i++) {
        fprintf(out, "\n## bdpo %s\n\nIn one line: %s.\n\n```\n", commands[i]->name,
                commands[i]->summary);
        print_body(out, commands[i]);
        fprintf(out, "```\n");
    }
}

// ---- the nearest name --------------------------------------------------------------------------

const bdpo_command *bdpo_nearest_command(const bdpo_command *const *commands, const char *name)
{
    const bdpo_command *nearest = NULL;
    int least = BDPO_WORD_NEAR + 1;
    for (int i = 0; commands[i]; i++) {
        int d = bdpo_word_distance(commands[i]->name, name);
        if (d >= least) continue;
        least = d;
        nearest = commands[i];
    }
    return nearest;
}
