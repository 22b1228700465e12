/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of a running VM: "bothy: NAME: text" on stderr for a person; with the priority prefix
 * "<N>" of sd-daemon(3) when the journal reads stderr (JOURNAL_STREAM), so that it keeps levels.
 * Safe from each thread; a message is one write(2).
 */
#ifndef VMM_BASE_LOG_H
#define VMM_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* name: of the VM, kept by the caller, or NULL before there is one. */
void log_init(const char *name, enum log_level most);

void log_write(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
