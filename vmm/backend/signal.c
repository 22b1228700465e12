/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal that gets a vCPU's thread out of its guest. Its handler does nothing: what counts is
 * that the system call ends. It is blocked wherever it would only interrupt other work.
 */
#include "vmm/backend/backend.h"
#include "vmm/backend/signal.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <sys/syscall.h>

/* Kept, because the jail has no getpid(2). */
static pid_t process;

static void nothing(int signal)
{
    (void)signal;
}

static bool mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, BACKEND_SIGNAL);
    return pthread_sigmask(how, &set, NULL) == 0;
}

bool backend_prepare_signals(struct error *error)
{
    struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART: the call shall end */

    process = getpid();
    sigemptyset(&action.sa_mask);
    if (sigaction(BACKEND_SIGNAL, &action, NULL) != 0 || !mask(SIG_BLOCK)) {
        return error_set_errno(error, EXIT_CODE_VMM, errno, "can't set up the vCPUs' signal");
    }
    return true;
}

void backend_thread_begin(void)
{
    mask(SIG_UNBLOCK);
}

void backend_signal_thread(int tid)
{
    syscall(SYS_tgkill, process, tid, BACKEND_SIGNAL);
}
