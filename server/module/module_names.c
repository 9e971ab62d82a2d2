#include "module/module_names.h"

#include <stddef.h>
#include <string.h>

/* By enum module_function; letters of device-protocol 4.4.3. */
static const struct {
    char letter;
    const char *name;
} functions[] = {
    {'n', "none"},        {'r', "resource"},  {'b', "bootloader"}, {'m', "monolithic"},
    {'s', "system part"}, {'u', "user part"}, {'_', "settings"},   {'c', "network co-processor"},
    {'a', "radio stack"}, {'t', "asset"},
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static const struct {
    uint16_t id;
    const char *name;
} platforms[] = {
    {0, "Core"},    {3, "GCC"},      {6, "Photon"},     {8, "P1"},     {10, "Electron"}, {12, "Argon"},
    {13, "Boron"},  {14, "Xenon"},   {15, "E SoM X"},   {22, "A SoM"}, {23, "B SoM"},    {24, "X SoM"},
    {25, "B5 SoM"}, {26, "Tracker"}, {28, "Tracker M"}, {32, "P2"},    {35, "M SoM"},
};
#define PLATFORM_COUNT (sizeof(platforms) / sizeof(platforms[0]))

const char *module_function_name(uint8_t function)
{
    return function < FUNCTION_COUNT ? functions[function].name : "?";
}

char module_function_letter(uint8_t function)
{
    return function < FUNCTION_COUNT ? functions[function].letter : '?';
}

uint8_t module_function_of_letter(char letter)
{
    for (size_t function = 0; function < FUNCTION_COUNT; function++) {
        if (functions[function].letter == letter && letter != '_') /* in describes: some other one */
            return (uint8_t)function;
    }
    return MODULE_NONE;
}

const char *module_platform_name(uint16_t platform_id)
{
    for (size_t i = 0; i < PLATFORM_COUNT; i++) {
        if (platforms[i].id == platform_id)
            return platforms[i].name;
    }
    return NULL;
}
