/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs have in common that speak to a VM which runs. */
#ifndef VMM_CLI_VERB_H
#define VMM_CLI_VERB_H

#include "vmm/api/client.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/rundir.h"
#include <jansson.h>
#include <stdint.h>

/* The VM that the first operand names. The directory is to be closed in any case. */
bool verb_find(const struct cli *cli, struct rundir *ret_dir, struct rundir_vm *ret_vm,
               struct error *error);
/* One request, of which only success counts. */
bool verb_request(const struct rundir_vm *vm, const char *method, const char *path,
                  const char *body, struct error *error);
/* GET a JSON object, for json_decref(); NULL and a sentence. */
json_t *verb_get(const struct rundir_vm *vm, const char *path, struct error *error);
/* "web: paused", or {"name": "web", "state": "paused"}. */
void verb_tell(const struct cli *cli, const char *name, const char *state);
/* Prints and releases. */
void verb_print_json(json_t *json);
/* Text from a VM, without what could move the terminal's cursor. */
const char *verb_clean(const char *text, char *ret_text, size_t size);

#endif
