/* module_names.h: the kinds of modules a device has, and what people call them and the platforms
 * (device-protocol 5.5, 7.2). */
#ifndef CYAN_MODULE_MODULE_NAMES_H
#define CYAN_MODULE_MODULE_NAMES_H

#include <stdint.h>

/* As in module headers, describes and the protobuf. */
enum module_function {
    MODULE_NONE = 0,
    MODULE_RESOURCE = 1,
    MODULE_BOOTLOADER = 2,
    MODULE_MONOLITHIC = 3,
    MODULE_SYSTEM = 4,
    MODULE_USER = 5,
    MODULE_SETTINGS = 6,
    MODULE_NCP = 7,
    MODULE_RADIO = 8,
    MODULE_ASSET = 9,
};
/* `system part`, `bootloader`, ...; "?" for numbers nobody uses. */
const char *module_function_name(uint8_t function);
/* The letter of describes: n r b m s u _ c a, and t for an asset; '?' for numbers nobody uses. */
char module_function_letter(uint8_t function);
/* MODULE_NONE for a letter that stands for no function. */
uint8_t module_function_of_letter(char letter);
/* `Argon`, ...; NULL for a platform that is not known. */
const char *module_platform_name(uint16_t platform_id);

/* A module that has to be there already, in at least this version. */
struct module_dependency {
    uint8_t function, index;
    uint16_t version;
};

#endif
