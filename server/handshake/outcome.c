#include "handshake/outcome.h"

#include "base/must.h"

static const char *const names[] = {
#define X(id, name, text) [HANDSHAKE_##id] = name,
    HANDSHAKE_OUTCOME_MAP(X)
#undef X
};
static const char *const texts[] = {
#define X(id, name, text) [HANDSHAKE_##id] = text,
    HANDSHAKE_OUTCOME_MAP(X)
#undef X
};

const char *handshake_outcome_name(enum handshake_outcome outcome)
{
    must(outcome < HANDSHAKE_OUTCOME_COUNT);
    return names[outcome];
}

const char *handshake_outcome_text(enum handshake_outcome outcome)
{
    must(outcome < HANDSHAKE_OUTCOME_COUNT);
    return texts[outcome];
}
