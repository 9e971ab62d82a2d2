#include "completion.h"

#include <stdint.h>
#include <string.h>

#include "command.h"

/* What a shell may offer is words of the table alone: nothing in it needs quoting but the help texts. */
static void print_choices(const struct command_option *o, FILE *out)
{
    for (const char *const *choice = o->choices; choice != NULL && *choice != NULL; choice++)
        (void)fprintf(out, "%s%s", choice == o->choices ? "" : " ", *choice);
}

typedef void option_fn(const struct command *command, const struct command_option *o, FILE *out);

static void each_option(const struct command *command, option_fn *fn, FILE *out)
{
    for (size_t i = 0; i < COMMAND_OPTION_LISTS; i++) {
        for (const struct command_option *o = command->options[i]; o != NULL && o->name != NULL; o++)
            fn(command, o, out);
    }
    for (const struct command_option *o = command_globals; o->name != NULL; o++)
        fn(command, o, out);
}

/* Calls fn once for each first part of words of `parts` words: `device`, `campaign stage`. */
typedef void group_fn(const char *group, size_t group_len, FILE *out);

static size_t group_len(const struct command *command, size_t parts)
{
    const char *at = command->words;

    for (size_t i = 0; i < parts; i++) {
        const char *space = strchr(at, ' ');
        if (space == NULL)
            return 0;
        at = space + 1;
    }
    return (size_t)(at - command->words) - 1;
}

static void each_group(group_fn *fn, FILE *out)
{
    for (size_t parts = 1; parts <= 2; parts++) {
        for (size_t i = 0; i < command_count; i++) {
            size_t len = group_len(&commands[i], parts);
            bool first = len > 0;
            for (size_t before = 0; first && before < i; before++)
                first = group_len(&commands[before], parts) != len ||
                        memcmp(commands[before].words, commands[i].words, len) != 0;
            if (first)
                fn(commands[i].words, len, out);
        }
    }
}

/* The words that may follow those of group, each once. Returns the next of command i, NULL for none. */
static const char *next_word(size_t i, const char *group, size_t len, size_t *next_len)
{
    const char *words = commands[i].words;
    size_t skip = len > 0 ? len + 1 : 0;

    if (len > 0 && (strncmp(words, group, len) != 0 || words[len] != ' '))
        return NULL;
    *next_len = strcspn(words + skip, " ");
    for (size_t before = 0; before < i; before++) {
        if (strncmp(commands[before].words, words, skip + *next_len) == 0 &&
            strchr(" ", commands[before].words[skip + *next_len]) != NULL)
            return NULL;
    }
    return words + skip;
}

static void bash_group(const char *group, size_t len, FILE *out)
{
    size_t word_len;

    (void)fprintf(out, "    '%s%.*s') next='", len > 0 ? " " : "", (int)len, group);
    for (size_t i = 0; i < command_count; i++) {
        const char *word = next_word(i, group, len, &word_len);
        if (word != NULL)
            (void)fprintf(out, "%.*s ", (int)word_len, word);
    }
    (void)fprintf(out, "--help' ;;\n");
}

static void bash_group_pattern(const char *group, size_t len, FILE *out)
{
    (void)fprintf(out, "' %.*s' | ", (int)len, group);
}

static void bash_value(const struct command *command, const struct command_option *o, FILE *out)
{
    (void)command;
    if (o->kind == OPTION_FLAG)
        return;
    (void)fprintf(out, "        --%s) ", o->name);
    if (o->kind == OPTION_FILE) {
        (void)fprintf(out, "COMPREPLY=($(compgen -f -- \"$cur\"))");
    } else if (o->kind == OPTION_CHOICE) {
        (void)fprintf(out, "COMPREPLY=($(compgen -W '");
        print_choices(o, out);
        (void)fprintf(out, "' -- \"$cur\"))");
    } else {
        (void)fprintf(out, "COMPREPLY=()");
    }
    (void)fprintf(out, "; return ;;\n");
}

static void bash_option(const struct command *command, const struct command_option *o, FILE *out)
{
    (void)command;
    (void)fprintf(out, "--%s ", o->name);
}

static void print_bash_function(FILE *out)
{
    (void)fprintf(out, "_cyanctl() {\n"
                       "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                       "    local words='' next='' files='' i\n"
                       "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                       "        case \"$words ${COMP_WORDS[i]}\" in\n        ");
    each_group(bash_group_pattern, out);
    for (size_t i = 0; i < command_count; i++)
        (void)fprintf(out, "' %s'%s", commands[i].words, i + 1 < command_count ? " | " : ")");
    (void)fprintf(out, " words=\"$words ${COMP_WORDS[i]}\" ;;\n        esac\n    done\n    case $words in\n");
    bash_group("", 0, out);
    each_group(bash_group, out);
    for (size_t i = 0; i < command_count; i++) {
        (void)fprintf(out, "    ' %s')\n        case $prev in\n", commands[i].words);
        each_option(&commands[i], bash_value, out);
        (void)fprintf(out, "        esac\n        next='");
        each_option(&commands[i], bash_option, out);
        (void)fprintf(out, "--help'%s ;;\n",
                      strstr(commands[i].arguments, "FILE") != NULL ? " files=yes" : "");
    }
    (void)fprintf(out, "    esac\n"
                       "    COMPREPLY=($(compgen -W \"$next\" -- \"$cur\"))\n"
                       "    [ -z \"$files\" ] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
                       "}\n");
}

static void fish_text(const char *text, FILE *out)
{
    (void)fputc('\'', out);
    for (; *text != '\0'; text++)
        (void)fprintf(out, "%s%c", *text == '\'' || *text == '\\' ? "\\" : "", *text);
    (void)fputc('\'', out);
}

static void fish_group(const char *group, size_t len, FILE *out)
{
    size_t word_len;

    for (size_t i = 0; i < command_count; i++) {
        const char *word = next_word(i, group, len, &word_len);
        if (word == NULL)
            continue;
        (void)fprintf(out, "complete -c cyanctl -n '__cyanctl_at \"%.*s\"' -a %.*s", (int)len, group,
                      (int)word_len, word);
        if (word[word_len] == '\0') {
            (void)fprintf(out, " -d ");
            fish_text(commands[i].help, out);
        }
        (void)fputc('\n', out);
    }
}

static void fish_option(const struct command *command, const struct command_option *o, FILE *out)
{
    (void)fprintf(out, "complete -c cyanctl -n '__cyanctl_in \"%s\"' -l %s", command->words, o->name);
    if (o->kind == OPTION_FILE)
        (void)fprintf(out, " -r -F");
    else if (o->kind != OPTION_FLAG)
        (void)fprintf(out, " -x");
    if (o->kind == OPTION_CHOICE) {
        (void)fprintf(out, " -a '");
        print_choices(o, out);
        (void)fprintf(out, "'");
    }
    (void)fprintf(out, " -d ");
    fish_text(o->help, out);
    (void)fputc('\n', out);
}

static void print_fish(FILE *out)
{
    (void)fprintf(out, "function __cyanctl_words\n"
                       "    string join ' ' (string match -v -- '-*' (commandline -opc)[2..-1])\n"
                       "end\n"
                       "function __cyanctl_at\n"
                       "    test (__cyanctl_words) = \"$argv\"\n"
                       "end\n"
                       "function __cyanctl_in\n"
                       "    string match -q -- \"$argv *\" (__cyanctl_words)' '\n"
                       "end\n"
                       "complete -c cyanctl -f\n");
    fish_group("", 0, out);
    each_group(fish_group, out);
    for (size_t i = 0; i < command_count; i++) {
        each_option(&commands[i], fish_option, out);
        if (strstr(commands[i].arguments, "FILE") != NULL)
            (void)fprintf(out, "complete -c cyanctl -n '__cyanctl_in \"%s\"' -F\n", commands[i].words);
    }
}

bool completion_print(const char *shell, FILE *out)
{
    if (strcmp(shell, "fish") == 0) {
        print_fish(out);
        return true;
    }
    if (strcmp(shell, "zsh") == 0)
        (void)fprintf(out, "#compdef cyanctl\nautoload -U +X bashcompinit && bashcompinit\n");
    else if (strcmp(shell, "bash") != 0)
        return false;
    print_bash_function(out);
    (void)fprintf(out, "complete -o filenames -F _cyanctl cyanctl\n");
    return true;
}
