/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the known word that is nearest to one that isn't known. */
#ifndef VMM_CONFIG_NEAREST_H
#define VMM_CONFIG_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;   /* as it was written */
    size_t length;      /* of it */
    const char *best;   /* the nearest so far, or NULL */
    unsigned distance;  /* of `best`, or one more than what would still be near */
};

/* length: of `word`, which need not end there. */
void nearest_init(struct nearest *nearest, const char *word, size_t length);
/* Offers a known word, which must live as long as `best` is used. */
void nearest_offer(struct nearest *nearest, const char *known);

#endif
