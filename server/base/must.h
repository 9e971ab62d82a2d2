/* must.h: an assertion that stays on in production, for our own mistakes only; hostile input never reaches
 * it. */
#ifndef CYAN_BASE_MUST_H
#define CYAN_BASE_MUST_H

/* The condition must have no side effects. Logs file, line and condition, then aborts. */
#define must(cond) ((cond) ? (void)0 : must_failed(__FILE__, __LINE__, #cond))

void must_failed(const char *file, int line, const char *cond) __attribute__((noreturn, cold));

#define must_check __attribute__((warn_unused_result))

#endif
