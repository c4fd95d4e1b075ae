/* Leveled log through one replaceable sink. The library logs; only the program decides where lines go. */
#ifndef LT_CORE_LOG_H
#define LT_CORE_LOG_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_log_level { LT_LOG_ERROR, LT_LOG_WARN, LT_LOG_INFO, LT_LOG_DEBUG } lt_log_level;

/* Receives complete lines without a newline, at any level up to the current one, one caller at a time. */
typedef void (*lt_log_sink)(lt_log_level level, const char *line, void *user);

/* Replaces the sink (NULL: silence, which is the default) and the level. Call it before threads start. */
void lt_log_init(lt_log_sink sink, void *user, lt_log_level level);

/* Whether the program's sink receives lines of that level. */
bool lt_log_shows(lt_log_level level);

/* Adds a second sink, such as a run's log.txt; NULL removes it. */
void lt_log_tee(lt_log_sink sink, void *user);

/* Sends a line to both sinks, unless its level is above the current one. Control characters are escaped
 * (core/text.h), line breaks too unless `fmt` has some. */
void lt_log(lt_log_level level, const char *fmt, ...) LT_PRINTF(2, 3);

#define lt_warn(...)  lt_log(LT_LOG_WARN, __VA_ARGS__)
#define lt_info(...)  lt_log(LT_LOG_INFO, __VA_ARGS__)
#define lt_debug(...) lt_log(LT_LOG_DEBUG, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
