#include "core/cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const struct {
    const char *name;
    double bytes;
} units[] = {
    {"B", 1},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
    {"kB", 1e3}, {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},
};

lt_status lt_parse_bytes(const char *text, int64_t *out) {
    char *end;
    double value = strtod(text, &end);
    if (end != text)
        while (*end == ' ') end++;
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcasecmp(end, units[i].name) != 0) continue;
        double bytes = value * units[i].bytes;
        if (!(bytes >= 0 && bytes < 0x1p63)) break; /* also refuses nan */
        *out = (int64_t)llround(bytes);
        return LT_OK;
    }
    if (end != text && *end == '\0' && value == 0) return *out = 0, LT_OK; /* in any unit */
    if (end != text && *end == '\0' && value > 0 && isfinite(value))
        return lt_fail(LT_USAGE, "\"%s\" has no unit; write %.15gGiB, or %.15gB for bytes", text, value,
                       value);
    return lt_fail(LT_USAGE, "\"%s\" is not a size in bytes; write 60MiB, 16GiB or 1.5GB", text);
}

lt_status lt_parse_memory_limit(const char *text, int64_t *out) {
    *out = 0;
    if (!text) return LT_OK;
    lt_status status = lt_parse_bytes(text, out);
    if (status != LT_OK) return lt_fail_in(status, "--memory-limit");
    LT_CHECK(*out > 0, LT_USAGE,
             "--memory-limit %s: nothing fits into that; leave the option out for no limit", text);
    return LT_OK;
}

char *lt_format_bytes(int64_t bytes, char text[32]) {
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    while (fabs(value) >= 1023.95 && unit < 6) value /= 1024, unit++;
    if (unit == 0) snprintf(text, 32, "%lld B", (long long)bytes);
    else snprintf(text, 32, "%.1f %s", value, names[unit]);
    return text;
}
