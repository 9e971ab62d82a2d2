#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text.h"

#define refuse(why, ...) ((void)snprintf(why, CALL_WHY_SIZE, __VA_ARGS__), CALL_BAD)

static enum call_parse refuse_choice(const struct command_option *option, const char *value,
                                     char why[CALL_WHY_SIZE])
{
    size_t used = (size_t)snprintf(why, CALL_WHY_SIZE, "--%s %.40s: it is one of", option->name, value);

    for (const char *const *choice = option->choices; *choice != NULL && used < CALL_WHY_SIZE; choice++)
        used += (size_t)snprintf(why + used, CALL_WHY_SIZE - used, "%s %s",
                                 choice == option->choices ? "" : ",", *choice);
    return CALL_BAD;
}

static bool is_choice(const struct command_option *option, const char *value)
{
    for (const char *const *choice = option->choices; *choice != NULL; choice++) {
        if (strcmp(*choice, value) == 0)
            return true;
    }
    return false;
}

static bool read_number(const struct command_option *option, const char *text, uint64_t *number)
{
    char *end;
    long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtol(text, &end, 10);
    *number = (uint64_t)value;
    return errno == 0 && *end == '\0' && value >= option->min && value <= option->max;
}

static enum call_parse read_value(struct call_value *v, char why[CALL_WHY_SIZE])
{
    const struct command_option *option = v->option;

    switch (option->kind) {
    case OPTION_FLAG:
    case OPTION_FILE:
        break;
    case OPTION_TEXT:
        if (!text_is_utf8(v->text))
            return refuse(why, "--%s: the value is not UTF-8", option->name);
        break;
    case OPTION_NUMBER:
        if (!read_number(option, v->text, &v->number))
            return refuse(why, "--%s %.40s: it is a number from %ld to %ld", option->name, v->text,
                          option->min, option->max);
        break;
    case OPTION_DURATION:
        if (!text_parse_duration(&v->number, v->text))
            return refuse(why, "--%s %.40s: it is a time like 90s, 15m, 2h or 7d", option->name, v->text);
        break;
    case OPTION_CHOICE:
        if (!is_choice(option, v->text))
            return refuse_choice(option, v->text, why);
        break;
    }
    return CALL_RUN;
}

/* One option, with the next word as its value where it needs one. *used: how many words. */
static enum call_parse take_option(struct call *call, char **words, size_t *used, char why[CALL_WHY_SIZE])
{
    const char *name = words[0] + 2, *equals = strchr(name, '=');
    size_t name_len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    struct call_value value = {.option = command_option_find(call->command, name, name_len)};

    *used = 1;
    if (value.option == NULL && call->command == NULL)
        return refuse(why, "%.60s: options of a command stand behind it; see cyanctl --help", words[0]);
    if (value.option == NULL)
        return refuse(why, "%.60s: no option of this command; see cyanctl %s --help", words[0],
                      call->command->words);
    if (value.option->kind == OPTION_FLAG && equals != NULL)
        return refuse(why, "--%s takes no value", value.option->name);
    if (value.option->kind != OPTION_FLAG) {
        value.text = equals != NULL ? equals + 1 : words[1];
        if (value.text == NULL)
            return refuse(why, "--%s needs a value: --%s %s", value.option->name, value.option->name,
                          value.option->value);
        *used = equals != NULL ? 1 : 2;
    }
    if (!value.option->repeats && call_has(call, value.option->name))
        return refuse(why, "--%s was given twice", value.option->name);
    call->values[call->value_count] = value;
    return read_value(&call->values[call->value_count++], why);
}

/* A word of the command, or behind it an argument. */
static enum call_parse take_word(struct call *call, const char *word, char why[CALL_WHY_SIZE])
{
    char words[CALL_WORDS_SIZE];

    if (call->command != NULL) {
        call->arguments[call->argument_count++] = word;
        return CALL_RUN;
    }
    int len = snprintf(words, sizeof(words), "%s%s%s", call->words, call->words[0] != '\0' ? " " : "", word);
    call->command = len < (int)sizeof(words) ? command_find(words) : NULL;
    if (call->command == NULL && (len >= (int)sizeof(words) || !command_is_group(words)))
        return refuse(why, "no command '%s%s%.40s'; see cyanctl%s%s --help", call->words,
                      call->words[0] != '\0' ? " " : "", word, call->words[0] != '\0' ? " " : "",
                      call->words);
    memcpy(call->words, words, (size_t)len + 1);
    return CALL_RUN;
}

static enum call_parse check(const struct call *call, char why[CALL_WHY_SIZE])
{
    const struct command *command = call->command;
    size_t least, most;

    if (command == NULL && call->words[0] == '\0')
        return refuse(why, "what should it do? see cyanctl --help");
    if (command == NULL)
        return refuse(why, "%s: which command of it? see cyanctl %s --help", call->words, call->words);
    command_arguments(command, &least, &most);
    if (call->argument_count < least || call->argument_count > most)
        return refuse(why, "%s arguments; it is: cyanctl %s %s",
                      call->argument_count < least ? "too few" : "too many", command->words,
                      command->arguments[0] != '\0' ? command->arguments : "(none)");
    for (size_t i = 0; i < COMMAND_OPTION_LISTS; i++) {
        for (const struct command_option *o = command->options[i]; o != NULL && o->name != NULL; o++) {
            if (o->needed && !call_has(call, o->name))
                return refuse(why, "--%s %s is needed; see cyanctl %s --help", o->name, o->value,
                              command->words);
        }
    }
    for (size_t i = 0; i < call->argument_count; i++) {
        if (strstr(command->arguments, "FILE") == NULL && !text_is_utf8(call->arguments[i]))
            return refuse(why, "an argument is not UTF-8");
    }
    return CALL_RUN;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static enum call_parse parse_words(struct call *call, char **words, char why[CALL_WHY_SIZE])
{
    enum call_parse result = CALL_RUN;
    bool options = true, help = false;

    while (*words != NULL && result == CALL_RUN) {
        size_t used = 1;
        if (options && strcmp(*words, "--") == 0)
            options = false;
        else if (options && is_help(*words))
            help = true;
        else if (options && strncmp(*words, "--", 2) == 0)
            result = take_option(call, words, &used, why);
        else if (options && (*words)[0] == '-' && (*words)[1] != '\0')
            result = refuse(why, "%.40s: options begin with two dashes; see cyanctl --help", *words);
        else
            result = take_word(call, *words, why);
        words += used;
    }
    if (result == CALL_RUN)
        result = help ? CALL_HELP : check(call, why);
    return result;
}

enum call_parse call_parse(struct call *call, int argc, char **argv, char why[CALL_WHY_SIZE])
{
    size_t most = argc > 0 ? (size_t)argc : 1;

    memset(call, 0, sizeof(*call));
    call->arguments = mem_array(most, sizeof(*call->arguments));
    call->values = mem_array(most, sizeof(*call->values));
    if (argc > 1 && strcmp(argv[1], "help") == 0) { /* `help WORDS` is `WORDS --help` */
        enum call_parse result = parse_words(call, argv + 2, why);
        return result == CALL_BAD && strstr(why, "no command") != NULL ? CALL_BAD : CALL_HELP;
    }
    return parse_words(call, argc > 0 ? argv + 1 : argv, why);
}

void call_deinit(struct call *call)
{
    free(call->arguments);
    free(call->values);
}

const char *call_each(const struct call *call, const char *name, size_t *at)
{
    while (*at < call->value_count) {
        const struct call_value *v = &call->values[(*at)++];
        if (strcmp(v->option->name, name) == 0)
            return v->text != NULL ? v->text : "";
    }
    return NULL;
}

static const struct call_value *find(const struct call *call, const char *name)
{
    const struct call_value *found = NULL;

    must(command_option_find(call->command, name, strlen(name)) != NULL);
    for (size_t i = 0; i < call->value_count; i++) {
        if (strcmp(call->values[i].option->name, name) == 0)
            found = &call->values[i];
    }
    return found;
}

bool call_has(const struct call *call, const char *name)
{
    return find(call, name) != NULL;
}

const char *call_text(const struct call *call, const char *name)
{
    const struct call_value *v = find(call, name);

    return v != NULL ? v->text : NULL;
}

uint64_t call_number(const struct call *call, const char *name, uint64_t otherwise)
{
    const struct call_value *v = find(call, name);

    return v != NULL ? v->number : otherwise;
}

const char *call_argument(const struct call *call, size_t index)
{
    return index < call->argument_count ? call->arguments[index] : NULL;
}
