/* slug.h: an identifier that people can read: lower-case letters, digits and `-` of a name, then random
 * digits. */
#ifndef CYAN_FLEET_SLUG_H
#define CYAN_FLEET_SLUG_H

#define SLUG_SIZE 43
/* instead: when no letter of the name is left. */
void slug_with_random(char out[SLUG_SIZE], const char *name, const char *instead);

#endif
