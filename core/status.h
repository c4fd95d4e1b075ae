/* Status codes and the error message that goes with them.
 *
 * Every function of the library that can fail returns an lt_status. The library never exits, prints or aborts:
 * it records one message per thread, which says what was found, what was expected and what to do, and returns.
 * A code is also the exit code of the program (DESIGN section 8), so main() only has to return it.
 *
 *     LT_TRY(lt_config_load(path, &config));               pass an error on
 *     LT_CHECK(n > 0, LT_INPUT, "%s: no frames", path);    raise one
 */
#ifndef LT_CORE_STATUS_H
#define LT_CORE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lt_status {
    LT_OK = 0,
    LT_USAGE = 2,       /* wrong command line or configuration */
    LT_INPUT = 3,       /* unreadable or invalid input file */
    LT_FAILED = 4,      /* failed while running: out of memory, full disk, device error */
    LT_UNAVAILABLE = 5, /* not in this build, or not on this machine */
    LT_INTERRUPTED = 6  /* stopped by a signal; what was finished is on disk and can be resumed */
} lt_status;

#if defined(__GNUC__)
#    define LT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#    define LT_PRINTF(fmt, args)
#endif

/* Records the message for this thread (the last one wins, at most 2 KiB) and returns `code`. Control characters that
 * came in with names are escaped (core/text.h), line breaks too unless `fmt` has some. */
lt_status lt_fail(lt_status code, const char *fmt, ...) LT_PRINTF(2, 3);

/* Puts "context: " in front of the recorded message and returns `code`: what a caller knows and the callee does not. */
lt_status lt_fail_in(lt_status code, const char *fmt, ...) LT_PRINTF(2, 3);

/* The message of this thread's last failure; "" when there was none. Valid until the next failure. */
const char *lt_error(void);

#define LT_TRY(call)                                                                                         \
    do {                                                                                                     \
        lt_status lt_try_status = (call);                                                                    \
        if (lt_try_status != LT_OK) return lt_try_status;                                                    \
    } while (0)

#define LT_CHECK(condition, code, ...)                                                                       \
    do {                                                                                                     \
        if (!(condition)) return lt_fail((code), __VA_ARGS__);                                               \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
