#include "core/config.h"
#include <ctype.h>
#include <limits.h>
#include <string.h>

enum { LONGEST = 127 };

static int least(int a, int b) { return a < b ? a : b; }

/* Insertions, deletions, changes and swaps of neighbours ("optimal string alignment"), upper and lower case
 * alike. Names longer than LONGEST are far from everything. */
static int edit_distance(const char *a, const char *b) {
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > LONGEST || columns > LONGEST) return INT_MAX;
    int table[3][LONGEST + 1]; /* the row being filled and the two above it */
    for (size_t j = 0; j <= columns; j++) table[0][j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        int *now = table[i % 3], *above = table[(i + 2) % 3], *above2 = table[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= columns; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = least(least(above[j], now[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                now[j] = least(now[j], above2[j - 2] + 1);
        }
    }
    return table[rows % 3][columns];
}

const char *lt_nearest(const char *name, const char *const *names, int count) {
    /* Near means: a third of the name may be wrong, and one letter of the shortest names. */
    int length = (int)strlen(name), best = 1 + (length < 3 ? 1 : length / 3);
    const char *nearest = NULL;
    for (int i = 0; i < count; i++) {
        int distance = edit_distance(name, names[i]);
        if (distance < best && distance < length) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}
