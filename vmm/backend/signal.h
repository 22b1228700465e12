/* SPDX-License-Identifier: Apache-2.0 */
/* For implementations of backends: send the kick signal to a thread of this process. */
#ifndef VMM_BACKEND_SIGNAL_H
#define VMM_BACKEND_SIGNAL_H

#include <signal.h>

/* One that is ignored by default, and the only one that the jail lets through (syscalls.def): who
 * takes a VM over could send any other to all processes of its user, such as the other VMs. */
#define BACKEND_SIGNAL SIGURG

void backend_signal_thread(int tid);

#endif
