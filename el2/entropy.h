/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers for guests: the seeds in their device trees, and the TRNG calls. The CPU's own
 * (FEAT_RNG) and what the boot loader left in the device tree are the key of a ChaCha20 generator
 * (RFC 8439) that erases its key as it goes: who sees its state can't tell what it gave before.
 */
#ifndef EL2_ENTROPY_H
#define EL2_ENTROPY_H

#include "bothy/spinlock.h"
#include "bothy/types.h"

#define ENTROPY_KEY_WORDS 8u

struct entropy {
    struct spinlock lock;
    uint32_t key[ENTROPY_KEY_WORDS];
    bool seeded;
};

void entropy_init(struct entropy *entropy);

/* Mix size bytes in; with 32 bytes or more in one call the generator counts as seeded. */
void entropy_add(struct entropy *entropy, const void *bytes, size_t size);

/* Fill `to` with size random bytes; false, and nothing written, if it was never seeded. */
bool entropy_fill(struct entropy *entropy, void *to, size_t size);

/* The ChaCha20 block function: key, counter and a nonce of zero to 64 bytes. For its test. */
void entropy_block(const uint32_t key[ENTROPY_KEY_WORDS], uint32_t counter,
                   const uint32_t nonce[3], uint32_t ret_block[16]);

#endif
