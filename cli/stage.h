/* stage.h: the stages of a campaign as they are typed:
 * NAME:SIZE[,soak=2h][,fail=5%][,min=5][,coverage=90%][,lost=1][,small-canary], SIZE `5%` or a number of
 * devices. Pure functions. */
#ifndef CYAN_CLI_STAGE_H
#define CYAN_CLI_STAGE_H

#include <jansson.h>
#include <stddef.h>

#include "base/must.h"

#define STAGE_WHY_SIZE 240
/* As the REST interface has it; NULL: why. The caller owns it. */
must_check json_t *stage_parse(const char *text, char why[STAGE_WHY_SIZE]);
/* `22:00-06:00[@Europe/Berlin][,mon,tue,...]`, when devices may be updated; NULL: why. */
must_check json_t *stage_parse_window(const char *text, char why[STAGE_WHY_SIZE]);

#endif
