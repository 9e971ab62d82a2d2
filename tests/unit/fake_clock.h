/* fake_clock.h: the time as a test sets it. Included by one .c file of a test program. */
#ifndef CYAN_TESTS_FAKE_CLOCK_H
#define CYAN_TESTS_FAKE_CLOCK_H

#include "base/clock.h"

static uint64_t fake_clock_ms = 1000000;

uint64_t clock_ms(void)
{
    return fake_clock_ms;
}

#endif
