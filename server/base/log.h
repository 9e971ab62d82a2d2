/* log.h: one line an event on stderr: `2026-01-01T00:00:00.000Z info event key=value ...`.
 *
 * Levels: error = someone must act; warn = it will hurt; info = one line per connect and per disconnect with
 * the reason; debug = the rest. Secrets, keys and payloads never appear at any level. Text that came from a
 * peer goes through log_quote. The level is the only process-wide state of this program. Any thread. */
#ifndef CYAN_BASE_LOG_H
#define CYAN_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* name: "error", "warn", "info" or "debug"; false when it is none of these. */
bool log_level_parse(enum log_level *level, const char *name);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)

/* Writes text into out as one quoted word: control bytes, quotes and non-ASCII become \xNN, cut to fit,
 * always NUL-terminated. Returns out. */
const char *log_quote(char *out, size_t out_size, const void *text, size_t text_len);

#endif
