/* SPDX-License-Identifier: Apache-2.0 */
/* The whole runtime, for payloads. */
#ifndef RUNTIME_GUEST_H
#define RUNTIME_GUEST_H

/* IWYU pragma: begin_exports */
#include "arm.h"
#include "base.h"
#include "console.h"
#include "exception.h"
#include "gic.h"
#include "machine.h"
#include "mmu.h"
#include "probe.h"
#include "psci.h"
#include "sync.h"
#include "tap.h"
#include "timer.h"
/* IWYU pragma: end_exports */

#endif
