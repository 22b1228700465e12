/* SPDX-License-Identifier: Apache-2.0 */
/* A signalfd on the loop; see signals.h. */
#include "vmm/cli/signals.h"
#include "bothy/bits.h"
#include "vmm/base/log.h"
#include "vmm/vm/vm.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void received(struct signals *signals, int number)
{
    char reason[64];

    if (signals->count++ == 0 && vm_power_button(signals->vm)) {
        log_info("%s: pressed the power button; the next one ends the VM at once",
                 strsignal(number));
        return;
    }
    snprintf(reason, sizeof(reason), "ended by signal %d (%s)", number, strsignal(number));
    vm_end(signals->vm, (enum exit_code)(EXIT_CODE_SIGNAL + number), reason);
}

static void ready(struct loop_source *source, uint32_t events)
{
    struct signals *signals = CONTAINER_OF(source, struct signals, source);
    struct signalfd_siginfo info;

    (void)events;
    while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        received(signals, (int)info.ssi_signo);
    }
}

bool signals_open(struct signals *signals, struct loop *loop, struct vm *vm, struct error *error)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *signals = (struct signals){
        {signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN, ready}, vm, loop, 0};
    if (signals->source.fd < 0 || !loop_add(loop, &signals->source)) {
        return error_set_errno(error, EXIT_CODE_HOST, errno, "can't wait for signals");
    }
    return true;
}

void signals_close(struct signals *signals)
{
    if (signals->source.fd >= 0) {
        loop_remove(signals->loop, &signals->source);
        close(signals->source.fd);
    }
    signals->source.fd = -1;
}
