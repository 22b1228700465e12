/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the console multiplexer share with each other and with nobody else. */
#ifndef EL2_CONSOLE_MUX_INTERNAL_H
#define EL2_CONSOLE_MUX_INTERNAL_H

#include "el2/console_mux.h"

/* Bytes that can be added to the source's queue. */
uint32_t mux_queue_room(const struct mux_source *source);

/* Add bytes for which there is room. */
void mux_queue_put(struct mux_source *source, const char *text, uint32_t size);

/* Say when the guest's unfinished line has to be shown. */
void mux_show_at(struct mux *mux, unsigned int guest, uint64_t when);

#endif
