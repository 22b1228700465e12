/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a payload's first instruction ran: the counters as its first two reads found them, right at
 * the entry (start.S). Under `-icount` and a 1 GHz counter that is the number of instructions since
 * the machine's reset: by CNTPCT, and by CNTVCT where no offset is in effect.
 */

#include "runtime/guest.h"

const char payload_name[] = "first";

void payload_main(void)
{
    print("first cntvct %lu cntpct %lu frequency %lu\n", machine.first_cntvct, machine.first_cntpct,
          timer_frequency());
}
