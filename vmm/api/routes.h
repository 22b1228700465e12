/* SPDX-License-Identifier: Apache-2.0 */
/* Which request does what, and when it may. */
#ifndef VMM_API_ROUTES_H
#define VMM_API_ROUTES_H

#include "vmm/api/state.h"

/* context: the struct api. */
void routes_serve(void *context, const struct http_request *request, struct reply *reply);

/* ---- The handlers: true, or false and a sentence ---- */

/* route_vm.c: the VM as a whole */
bool route_get_instance(struct call *call, struct error *error);
bool route_get_version(struct call *call, struct error *error);
bool route_get_config(struct call *call, struct error *error);
bool route_put_action(struct call *call, struct error *error);
bool route_patch_vm(struct call *call, struct error *error);

/* route_machine.c */
bool route_put_boot_source(struct call *call, struct error *error);
bool route_get_machine(struct call *call, struct error *error);
bool route_put_machine(struct call *call, struct error *error); /* and PATCH */
bool route_put_entropy(struct call *call, struct error *error);
struct json_t *route_show_boot_source(const struct api *api);
struct json_t *route_show_machine(const struct api *api);
/* The root device in the kernel's command line, as Firecracker adds it when the VM starts. */
bool route_add_root(struct api *api, struct error *error);

/* route_drive.c */
bool route_put_drive(struct call *call, struct error *error);
bool route_patch_drive(struct call *call, struct error *error);
struct json_t *route_show_drives(const struct api *api);

/* route_net.c: interfaces, vsock */
bool route_put_net(struct call *call, struct error *error);
bool route_patch_net(struct call *call, struct error *error);
bool route_put_vsock(struct call *call, struct error *error);
struct json_t *route_show_nets(const struct api *api);
struct json_t *route_show_vsock(const struct api *api);

/* route_balloon.c */
bool route_get_balloon(struct call *call, struct error *error);
bool route_put_balloon(struct call *call, struct error *error);
bool route_patch_balloon(struct call *call, struct error *error);
bool route_get_balloon_stats(struct call *call, struct error *error);
bool route_patch_balloon_stats(struct call *call, struct error *error);
struct json_t *route_show_balloon(const struct api *api);

/* route_output.c: logs, the serial port, metrics, statistics */
bool route_put_logger(struct call *call, struct error *error);
bool route_put_serial(struct call *call, struct error *error);
bool route_put_metrics(struct call *call, struct error *error);
bool route_get_metrics(struct call *call, struct error *error);
bool route_get_stat(struct call *call, struct error *error);
bool route_flush_metrics(struct api *api, struct error *error);
struct json_t *route_show_logger(const struct api *api);
struct json_t *route_show_metrics(const struct api *api);

#endif
