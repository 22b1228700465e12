/* SPDX-License-Identifier: Apache-2.0 */
/* For implementations of backends: send the kick signal to a thread of this process. */
#ifndef VMM_BACKEND_SIGNAL_H
#define VMM_BACKEND_SIGNAL_H

#include <signal.h>

#define BACKEND_SIGNAL SIGRTMIN

void backend_signal_thread(int tid);

#endif
