#include "command.h"

#include <stdint.h>
#include <string.h>

static const struct command_option *in_list(const struct command_option *list, const char *name,
                                            size_t name_len)
{
    for (; list != NULL && list->name != NULL; list++) {
        if (strlen(list->name) == name_len && memcmp(list->name, name, name_len) == 0)
            return list;
    }
    return NULL;
}

const struct command_option *command_option_find(const struct command *command, const char *name,
                                                 size_t name_len)
{
    const struct command_option *found = in_list(command_globals, name, name_len);

    for (size_t i = 0; command != NULL && found == NULL && i < COMMAND_OPTION_LISTS; i++)
        found = in_list(command->options[i], name, name_len);
    return found;
}

void command_arguments(const struct command *command, size_t *least, size_t *most)
{
    const char *at = command->arguments;

    *least = *most = 0;
    while (*at != '\0') {
        size_t len = strcspn(at, " ");
        if (*at != '[')
            (*least)++;
        *most = memmem(at, len, "...", 3) != NULL ? SIZE_MAX : *most + 1;
        at += len;
        at += strspn(at, " ");
    }
}

const struct command *command_find(const char *words)
{
    for (size_t i = 0; i < command_count; i++) {
        if (strcmp(commands[i].words, words) == 0 ||
            (commands[i].alias != NULL && strcmp(commands[i].alias, words) == 0))
            return &commands[i];
    }
    return NULL;
}

bool command_is_group(const char *words)
{
    size_t len = strlen(words);

    for (size_t i = 0; i < command_count; i++) {
        if (strncmp(commands[i].words, words, len) == 0 && commands[i].words[len] == ' ')
            return true;
    }
    return false;
}
