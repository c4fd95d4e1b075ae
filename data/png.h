/* Small pictures for reports: PNG without compression, so that no library is needed, and base64 to put them into a
 * page.
 */
#ifndef LT_DATA_PNG_H
#define LT_DATA_PNG_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* rgb[height][width][3] as the bytes of a PNG file (ISO/IEC 15948, stored deflate blocks); the caller frees *out.
 * Sides are 1 to 16384, else LT_USAGE. */
lt_status lt_png_encode(const uint8_t *rgb, int width, int height, uint8_t **out, size_t *size);

/* The same into a file, which appears complete or not at all. */
lt_status lt_png_write(const char *path, const uint8_t *rgb, int width, int height);

/* RFC 4648 base64 with padding, as text; the caller frees it. NULL with lt_error() set when out of memory. */
char *lt_base64(const void *data, size_t size);

#ifdef __cplusplus
}
#endif
#endif
