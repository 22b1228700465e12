/* SPDX-License-Identifier: Apache-2.0 */
/* See entropy.h. Each block gives the next key (its first half) and at most 32 bytes of output. */
#include "el2/entropy.h"

#include "bothy/bits.h"
#include "bothy/string.h"

#define KEY_BYTES (ENTROPY_KEY_WORDS * 4)
#define ROUNDS 20u

static uint32_t rotate(uint32_t value, unsigned int by)
{
    return value << by | value >> (32 - by);
}

static void quarter_round(uint32_t *s, unsigned int a, unsigned int b, unsigned int c,
                          unsigned int d)
{
    s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

void entropy_block(const uint32_t key[ENTROPY_KEY_WORDS], uint32_t counter,
                   const uint32_t nonce[3], uint32_t ret_block[16])
{
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint32_t s[16];

    memcpy(&start[4], key, KEY_BYTES);
    start[12] = counter;
    memcpy(&start[13], nonce, 12);
    memcpy(s, start, sizeof(s));
    for (unsigned int round = 0; round < ROUNDS; round += 2) {
        for (unsigned int i = 0; i < 4; i++)
            quarter_round(s, i, 4 + i, 8 + i, 12 + i);
        for (unsigned int i = 0; i < 4; i++)
            quarter_round(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (unsigned int i = 0; i < 16; i++)
        ret_block[i] = s[i] + start[i];
}

/* The next key, and 32 bytes that have nothing to do with it. */
static void step(struct entropy *entropy, uint32_t ret_output[ENTROPY_KEY_WORDS])
{
    static const uint32_t nonce[3];
    uint32_t block[16];

    entropy_block(entropy->key, 0, nonce, block);
    memcpy(entropy->key, block, KEY_BYTES);
    memcpy(ret_output, block + ENTROPY_KEY_WORDS, KEY_BYTES);
}

void entropy_init(struct entropy *entropy)
{
    *entropy = (struct entropy){.seeded = false};
    spin_init(&entropy->lock);
}

void entropy_add(struct entropy *entropy, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    uint32_t dropped[ENTROPY_KEY_WORDS];

    spin_lock(&entropy->lock);
    entropy->seeded = entropy->seeded || size >= KEY_BYTES;
    while (size) {
        size_t part = MIN(size, (size_t)KEY_BYTES);

        for (size_t i = 0; i < part; i++)
            ((unsigned char *)entropy->key)[i] ^= from[i];
        step(entropy, dropped);
        from += part;
        size -= part;
    }
    spin_unlock(&entropy->lock);
}

bool entropy_fill(struct entropy *entropy, void *to, size_t size)
{
    unsigned char *at = to;
    uint32_t output[ENTROPY_KEY_WORDS];

    spin_lock(&entropy->lock);
    bool seeded = entropy->seeded;

    while (seeded && size) {
        size_t part = MIN(size, sizeof(output));

        step(entropy, output);
        memcpy(at, output, part);
        at += part;
        size -= part;
    }
    spin_unlock(&entropy->lock);
    return seeded;
}
