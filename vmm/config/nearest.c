/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edit distance with transpositions (optimal string alignment), bounded by a third of the word's
 * length: a longer way isn't a typing error. A word that is cut short counts as near as well.
 */
#include "vmm/config/nearest.h"
#include <stdbool.h>
#include <string.h>

#define WORD_MAX 40u

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_length; j++) {
        above[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        unsigned *oldest = before;

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = a[i - 1] == b[j - 1];

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < row[j]) {
                row[j] = before[j - 2] + 1;
            }
        }
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

void nearest_init(struct nearest *nearest, const char *word, size_t length)
{
    *nearest = (struct nearest){word, length, NULL, (unsigned)length / 3 + 2};
    if (length < 3) {
        nearest->distance = 2;
    }
}

void nearest_offer(struct nearest *nearest, const char *known)
{
    size_t length = strlen(known);
    unsigned found;

    if (nearest->length == 0 || nearest->length > WORD_MAX || length > WORD_MAX) {
        return;
    }
    found = distance(nearest->word, nearest->length, known, length);
    if (nearest->length >= 3 && length > nearest->length &&
        memcmp(nearest->word, known, nearest->length) == 0) {
        found = 1; /* cut short */
    }
    if (found < nearest->distance && found < length) {
        nearest->best = known;
        nearest->distance = found;
    }
}
