/* migration.h: the files of migrations/ as cmake/embed.cmake built them into the program, in order of name.
 */
#ifndef CYAN_FLEET_MIGRATION_H
#define CYAN_FLEET_MIGRATION_H

#include <stddef.h>

struct migration {
    const char *name;   /* `0001_registry` */
    const char *sha256; /* hex, of the file */
    const char *text;
};
extern const struct migration migrations[];
extern const size_t migration_count;

#endif
