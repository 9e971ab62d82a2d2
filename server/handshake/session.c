#include "handshake/session.h"

#include "base/must.h"

static const char *const profile_names[] = {
    [SESSION_DEVICE_OS] = "device_os",
    [SESSION_PSK] = "psk",
    [SESSION_X509] = "x509",
    [SESSION_RPK] = "rpk",
};

static const char *const end_names[] = {
    [SESSION_END_PEER_CLOSED] = "peer_closed", [SESSION_END_REPLACED] = "replaced",
    [SESSION_END_EXPIRED] = "expired",         [SESSION_END_REFUSED] = "refused",
    [SESSION_END_REVOKED] = "revoked",         [SESSION_END_NO_HELLO] = "no_hello",
    [SESSION_END_SHUTDOWN] = "shutdown",       [SESSION_END_MOVED] = "moved",
};

const char *session_profile_name(enum session_profile profile)
{
    must((size_t)profile < sizeof profile_names / sizeof *profile_names);
    return profile_names[profile];
}

const char *session_end_name(enum session_end end)
{
    must((size_t)end < sizeof end_names / sizeof *end_names);
    return end_names[end];
}
