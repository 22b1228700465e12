/* SPDX-License-Identifier: Apache-2.0 */
/* The program's own memory. */
#ifndef VMM_BASE_PROGRAM_H
#define VMM_BASE_PROGRAM_H

/* Give back the mapped pages of the program's code and constants, most of which only the start
 * needed; what is still needed comes back from the page cache by a fault. (A debugger's breakpoints
 * go too.) */
void program_forget(void);

#endif
