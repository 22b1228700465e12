/* SPDX-License-Identifier: Apache-2.0 */
/* Drives. The root device is kept at the first place, so that it is /dev/vda. */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/routes.h"
#include "vmm/devices/device.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_QUEUES 1
#define DEFAULT_QUEUE_SIZE 256

struct drive {
    const char *id, *path, *partuuid, *cache, *engine, *socket, *serial;
    bool root, readonly, direct;
    const json_t *limiter;
};

static const struct body_field drive_fields[] = {
    {"drive_id", BODY_STRING, true, offsetof(struct drive, id), 0, 0},
    {"path_on_host", BODY_STRING, false, offsetof(struct drive, path), 0, 0},
    {"is_root_device", BODY_BOOL, true, offsetof(struct drive, root), 0, 0},
    {"is_read_only", BODY_BOOL, false, offsetof(struct drive, readonly), 0, 0},
    {"partuuid", BODY_STRING, false, offsetof(struct drive, partuuid), 0, 0},
    {"cache_type", BODY_STRING, false, offsetof(struct drive, cache), 0, 0},
    {"io_engine", BODY_STRING, false, offsetof(struct drive, engine), 0, 0},
    {"rate_limiter", BODY_OBJECT, false, offsetof(struct drive, limiter), 0, 0},
    {"socket", BODY_STRING, false, offsetof(struct drive, socket), 0, 0},
    {"direct", BODY_BOOL, false, offsetof(struct drive, direct), 0, 0},
    {"serial", BODY_STRING, false, offsetof(struct drive, serial), 0, 0},
};

static bool check_id(const struct call *call, const char *id, struct error *error)
{
    return strcmp(call->id, id) == 0 ||
           call_refuse(error, "The id from the path does not match the id from the body!");
}

static struct config_disk *find_disk(struct vm_config *config, const char *id)
{
    for (uint32_t i = 0; i < config->nr_disks; i++) {
        if (strcmp(config->disks[i].id, id) == 0) {
            return &config->disks[i];
        }
    }
    return NULL;
}

static bool check_drive(const struct call *call, const struct drive *drive, struct error *error)
{
    const char *other = call->api->root_drive;

    if (drive->socket != NULL) {
        return call_refuse(error, "Drive config error: Bothy has no vhost-user-block drives; "
                                  "leave socket out and give path_on_host.");
    }
    if (drive->path == NULL) {
        return call_refuse(error, "Drive config error: path_on_host is missing.");
    }
    if (access(drive->path, drive->readonly ? R_OK : R_OK | W_OK) != 0) {
        return call_refuse(error, "Drive config error: The backing file %.300s cannot be opened "
                                  "for %s: %s", drive->path,
                           drive->readonly ? "reading" : "reading and writing", strerror(errno));
    }
    if (drive->root && other[0] != '\0' && strcmp(other, drive->id) != 0) {
        return call_refuse(error, "Drive config error: A root block device already exists!");
    }
    if (drive->serial != NULL && strlen(drive->serial) > CONFIG_SERIAL_MAX) {
        return call_refuse(error, "Drive config error: serial is longer than %u bytes.",
                           CONFIG_SERIAL_MAX);
    }
    if (find_disk(call->config, drive->id) == NULL && call->config->nr_disks == CONFIG_DISKS_MAX) {
        return call_refuse(error, "Drive config error: There are %u drives, which is all there "
                                  "can be.", CONFIG_DISKS_MAX);
    }
    return true;
}

/* The words, and the limits, that a struct config_disk takes. */
static bool convert(const struct drive *drive, struct config_disk *disk, struct error *error)
{
    static const char *const cache_words[] = {"Writeback", "Unsafe", NULL};
    static const char *const engine_words[] = {"Sync", "Async", NULL};
    size_t unsafe = 0;
    size_t engine;

    if ((drive->cache != NULL &&
         !body_find_word("cache_type", drive->cache, cache_words, &unsafe, error)) ||
        (drive->engine != NULL &&
         !body_find_word("io_engine", drive->engine, engine_words, &engine, error)) ||
        !body_read_rate(drive->limiter, &disk->rate, error)) {
        return false;
    }
    disk->unsafe = unsafe != 0;
    disk->readonly = drive->readonly;
    disk->direct = drive->direct;
    disk->queues = DEFAULT_QUEUES;
    disk->queue_size = DEFAULT_QUEUE_SIZE;
    strcpy(disk->id, drive->id);
    strcpy(disk->serial, drive->serial != NULL ? drive->serial : "");
    return true;
}

/* Put it in the place of the one with its id, or else last; a root device first. It takes
 * disk->path. */
static void place(struct api *api, const struct config_disk *disk, bool root)
{
    struct vm_config *config = api->config;
    struct config_disk *at = find_disk(config, disk->id);

    if (at == NULL) {
        at = &config->disks[config->nr_disks++];
    } else {
        free(at->path);
    }
    if (root) {
        memmove(&config->disks[1], &config->disks[0],
                (size_t)(at - config->disks) * sizeof(config->disks[0]));
        at = &config->disks[0];
    }
    *at = *disk;
}

bool route_put_drive(struct call *call, struct error *error)
{
    struct api *api = call->api;
    struct drive read = {0};
    struct config_disk disk = {0};
    bool with_uuid;
    char *uuid;
    uint32_t given;

    if (!body_read(call->body, drive_fields, ARRAY_SIZE(drive_fields), &read, &given, error) ||
        !check_id(call, read.id, error) || !check_drive(call, &read, error) ||
        !convert(&read, &disk, error)) {
        return false;
    }
    with_uuid = read.root && read.partuuid != NULL;
    uuid = with_uuid ? strdup(read.partuuid) : NULL;
    disk.path = strdup(read.path);
    if (disk.path == NULL || (with_uuid && uuid == NULL)) {
        free(disk.path);
        free(uuid);
        return call_refuse(error, "There is no memory for the drive.");
    }
    place(api, &disk, read.root);
    if (read.root || strcmp(api->root_drive, read.id) == 0) {
        free(api->root_partuuid);
        api->root_partuuid = uuid;
        strcpy(api->root_drive, read.root ? read.id : "");
    }
    return true;
}

/* The device looks up its path in the configuration: both change or neither. */
static bool replace(struct vmm_device *device, struct config_disk *disk, const char *path,
                    struct error *error)
{
    char *copy = strdup(path);

    if (copy == NULL || !disk_replace(device, path, error)) {
        free(copy);
        return error_set(error, EXIT_CODE_HOST, "no memory for the path");
    }
    free(disk->path);
    disk->path = copy;
    return true;
}

bool route_patch_drive(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"drive_id", BODY_STRING, true, offsetof(struct drive, id), 0, 0},
        {"path_on_host", BODY_STRING, false, offsetof(struct drive, path), 0, 0},
        {"rate_limiter", BODY_OBJECT, false, offsetof(struct drive, limiter), 0, 0},
    };
    struct drive read = {0};
    struct config_disk *disk = find_disk(call->config, call->id);
    struct vmm_device *device = vm_device_find(call->vm, call->id);
    struct error cause = ERROR_NONE;
    struct config_rate rate;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        !check_id(call, read.id, error)) {
        return false;
    }
    if (disk == NULL || device == NULL) {
        return call_refuse(error, "Drive config error: There is no drive %s.", call->id);
    }
    rate = disk->rate;
    if (!body_read_rate(read.limiter, &rate, error)) {
        return false;
    }
    if ((read.path != NULL && !replace(device, disk, read.path, &cause)) ||
        (read.limiter != NULL && !disk_set_rate(device, &rate, &cause))) {
        return call_refuse(error, "Drive config error: %.480s", cause.text);
    }
    disk->rate = rate;
    return true;
}

static json_t *show_drive(const struct api *api, const struct config_disk *disk)
{
    bool root = strcmp(api->root_drive, disk->id) == 0;

    return json_pack("{s:s,s:o*,s:b,s:b,s:s,s:s,s:b,s:o*,s:o*,s:o*}", "drive_id", disk->id,
                     "path_on_host", body_show_string(disk->path), "is_root_device", root,
                     "is_read_only", disk->readonly, "cache_type",
                     disk->unsafe ? "Unsafe" : "Writeback", "io_engine", "Async", "direct",
                     disk->direct, "serial",
                     disk->serial[0] != '\0' ? body_show_string(disk->serial) : NULL, "partuuid",
                     root ? body_show_string(api->root_partuuid) : NULL, "rate_limiter",
                     body_show_rate(&disk->rate));
}

json_t *route_show_drives(const struct api *api)
{
    json_t *drives = json_array();

    for (uint32_t i = 0; i < api->config->nr_disks; i++) {
        if (json_array_append_new(drives, show_drive(api, &api->config->disks[i])) != 0) {
            json_decref(drives);
            return NULL;
        }
    }
    return drives;
}
