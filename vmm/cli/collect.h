/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration from --config and the options of `bothy run`. */
#ifndef VMM_CLI_COLLECT_H
#define VMM_CLI_COLLECT_H

#include "vmm/cli/cli.h"

/* Into an initialized configuration: first the file, then the options in their order; checked. */
bool cli_collect(const struct cli *cli, struct vm_config *config, struct error *error);

#endif
