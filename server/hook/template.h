/* template.h: texts with variables in braces, as webhooks write them: `{{PARTICLE_EVENT_NAME}}`.
 *
 * `{{X}}` is the value with & < > " ' as HTML entities, `{{{X}}}` and `{{&X}}` the value as it is: so it is
 * in the language these come from. X is one of the names below, or the path of a member of data (`temp`,
 * `a.b`, `list.0`); one that does not exist is empty. There are no sections, partials and comments. Pure. */
#ifndef CYAN_HOOK_TEMPLATE_H
#define CYAN_HOOK_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

#define TEMPLATE_VARIABLES_MAX 64

struct template_values { /* all borrowed */
    const char *event_name, *event_value, *device_id, *published_at;
    const json_t *data; /* NULL: none */
    size_t *room;       /* bytes that rendering may still make, in all; NULL: as many as there are */
};

/* NULL, or a static sentence on what is not supported; else it has so many variables. */
const char *template_flaw(const char *text);
size_t template_variables(const char *text);
/* From malloc. A template with flaws is taken literally where they are. What there is no room for is left
 * out, and *room is 0 from then on: such a text is not to be used. */
char *template_render(const char *text, const struct template_values *values);
/* The same; what stands for a variable is percent-encoded, so that it cannot end its part of a URL. */
char *template_render_url(const char *text, const struct template_values *values);
/* A copy of a JSON value with every string in it rendered. */
json_t *template_render_json(const json_t *value, const struct template_values *values);
/* Percent-encoding of everything that is not unreserved (RFC 3986 2.3); from malloc. */
char *template_percent(const char *text);

#endif
