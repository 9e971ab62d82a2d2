#include "help.h"

#include <string.h>

#define LEFT 32

static void print_option(const struct command_option *o, FILE *out)
{
    char left[64];

    (void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value != NULL ? " " : "",
                   o->value != NULL ? o->value : "");
    (void)fprintf(out, "  %-*s %s", LEFT - 3, left, o->help);
    for (const char *const *choice = o->choices; choice != NULL && *choice != NULL; choice++)
        (void)fprintf(out, "%s%s", choice == o->choices ? ": " : ", ", *choice);
    if (o->repeats)
        (void)fprintf(out, " (again for more)");
    if (o->needed)
        (void)fprintf(out, " (needed)");
    (void)fputc('\n', out);
}

static void print_options(const struct command_option *list, FILE *out)
{
    for (; list != NULL && list->name != NULL; list++)
        print_option(list, out);
}

static void print_command(const struct command *command, FILE *out)
{
    (void)fprintf(out, "%s.\n\nusage: cyanctl %s%s%s%s\n", command->help, command->words,
                  command->arguments[0] != '\0' ? " " : "", command->arguments,
                  command->options[0] != NULL ? " [options]" : "");
    if (command->alias != NULL)
        (void)fprintf(out, "   or: cyanctl %s ...\n", command->alias);
    if (command->options[0] != NULL)
        (void)fprintf(out, "\noptions:\n");
    for (size_t i = 0; i < COMMAND_OPTION_LISTS; i++)
        print_options(command->options[i], out);
    (void)fprintf(out, "\noptions of every command:\n");
    print_options(command_globals, out);
    (void)fprintf(out, "\nexample:\n  cyanctl %s\n", command->example);
}

static void print_group(const char *words, FILE *out)
{
    size_t len = strlen(words);
    const char *example = "";

    if (len == 0)
        (void)fprintf(out, "cyanctl: a fleet of devices and its updates, from the command line.\n\n"
                           "usage: cyanctl COMMAND [arguments] [options]\n");
    else
        (void)fprintf(out, "usage: cyanctl %s COMMAND [arguments] [options]\n", words);
    (void)fprintf(out, "\ncommands:\n");
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &commands[i];
        char left[96];
        if (len > 0 && (strncmp(c->words, words, len) != 0 || c->words[len] != ' '))
            continue;
        example = *example != '\0' ? example : c->example;
        (void)snprintf(left, sizeof(left), "%s%s%s", c->words, c->arguments[0] != '\0' ? " " : "",
                       c->arguments);
        (void)fprintf(out, "  %-*s %s\n", LEFT + 5, left, c->help);
    }
    (void)fprintf(out, "\noptions of every command:\n");
    print_options(command_globals, out);
    (void)fprintf(out, "\nexample:\n  cyanctl %s\n", example);
    if (len == 0)
        (void)fprintf(out,
                      "\nEnvironment: CYAN_URL, CYAN_TOKEN, CYAN_CA_FILE, NO_COLOR.\n"
                      "Exit codes: 0 done, 1 refused, 2 wrong command line, 3 server away, 4 not logged in,\n"
                      "5 not found, 6 changed meanwhile or held, 7 campaign ended badly.\n");
}

void help_print(const struct call *call, FILE *out)
{
    if (call->command != NULL)
        print_command(call->command, out);
    else
        print_group(call->words, out);
}
