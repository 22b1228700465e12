/* SPDX-License-Identifier: Apache-2.0 */
/* The property test's world: a rig, a model of it, and a guest that does random things to both. */
#ifndef TESTS_VGIC_WORLD_H
#define TESTS_VGIC_WORLD_H

#include "tests/support/vgic_model.h"
#include "tests/support/vgic_rig.h"

struct world {
    struct rig rig;
    struct model model;
    uint64_t seed, random;
    uint32_t step;
    uint32_t hot[8]; /* SPIs that are used much, so that things happen to them */
    uint64_t acks;
};

/* Abort and say where, unless it is good. */
void world_check(const struct world *w, bool good, const char *what, const char *file, int line);
#define CHECK(w, condition) world_check(w, condition, #condition, __FILE__, __LINE__)

/* 0..n-1; true in so many per cent. */
uint32_t world_pick(struct world *w, uint32_t n);
bool world_chance(struct world *w, uint32_t percent);
uint32_t world_any_spi(struct world *w);

/* A guest on some CPU does something and looks at what comes of it. */
void world_guest_step(struct world *w);

#endif
