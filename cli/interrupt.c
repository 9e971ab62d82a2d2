#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t seen;

static void on_signal(int signal_number)
{
    (void)signal_number;
    seen = 1;
}

void interrupt_init(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    (void)sigaction(SIGPIPE, &action, NULL); /* a reader that has seen enough is an error of writing */
}

bool interrupt_seen(void)
{
    return seen != 0;
}

bool interrupt_sleep(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (!interrupt_seen() && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return !interrupt_seen();
}
