/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: memory that the guest gives back. */
#include "bothy/bits.h"
#include "vmm/api/body.h"
#include "vmm/api/routes.h"
#include "vmm/devices/device.h"
#include <jansson.h>
#include <string.h>

#define PAGE_SIZE_GUEST 4096u

struct balloon {
    uint64_t amount_mib, interval_s;
    bool deflate, reporting, hinting;
};

/* The running device; NULL and a sentence. */
static struct vmm_device *find_balloon(struct call *call, struct error *error)
{
    struct vmm_device *device = vm_devices(call->vm);

    while (device != NULL && strcmp(device->kind, "balloon") != 0) {
        device = device->next;
    }
    if (device == NULL) {
        call_refuse(error, "Balloon config error: No balloon device found.");
    }
    return device;
}

static bool check_amount(const struct vm_config *config, uint64_t mib, struct error *error)
{
    uint64_t memory_mib = config->memory.size / MIB(1);

    return mib <= memory_mib ||
           call_refuse(error, "Balloon config error: amount_mib is %llu, but the guest has only "
                              "%llu MiB.",
                       (unsigned long long)mib, (unsigned long long)memory_mib);
}

json_t *route_show_balloon(const struct api *api)
{
    const struct config_balloon *balloon = &api->config->balloon;

    if (!balloon->present) {
        return NULL;
    }
    return json_pack("{s:I,s:b,s:I,s:b,s:b}", "amount_mib", (json_int_t)balloon->target_mib,
                     "deflate_on_oom", balloon->deflate_on_oom, "stats_polling_interval_s",
                     (json_int_t)balloon->stats_interval_s, "free_page_hinting", 0,
                     "free_page_reporting", balloon->free_page_reporting);
}

bool route_get_balloon(struct call *call, struct error *error)
{
    call->answer = route_show_balloon(call->api);
    return call->answer != NULL ||
           call_refuse(error, "Balloon config error: No balloon device found.");
}

bool route_put_balloon(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"amount_mib", BODY_NUMBER, true, offsetof(struct balloon, amount_mib), 0, UINT32_MAX},
        {"deflate_on_oom", BODY_BOOL, true, offsetof(struct balloon, deflate), 0, 0},
        {"stats_polling_interval_s", BODY_NUMBER, false, offsetof(struct balloon, interval_s), 0,
         UINT16_MAX},
        {"free_page_hinting", BODY_BOOL, false, offsetof(struct balloon, hinting), 0, 0},
        {"free_page_reporting", BODY_BOOL, false, offsetof(struct balloon, reporting), 0, 0},
    };
    struct balloon read = {0};
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &read, &given, error) ||
        !check_amount(call->config, read.amount_mib, error)) {
        return false;
    }
    if (read.hinting) {
        return call_refuse(error, "Balloon config error: Bothy has no free_page_hinting; there is "
                                  "free_page_reporting.");
    }
    call->config->balloon = (struct config_balloon){
        .present = true,
        .target_mib = read.amount_mib,
        .deflate_on_oom = read.deflate,
        .free_page_reporting = read.reporting,
        .stats_interval_s = (uint32_t)read.interval_s,
    };
    return true;
}

bool route_patch_balloon(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"amount_mib", BODY_NUMBER, true, 0, 0, UINT32_MAX},
    };
    struct error cause = ERROR_NONE;
    struct vmm_device *device;
    uint64_t mib = 0;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &mib, &given, error) ||
        (device = find_balloon(call, error)) == NULL || !check_amount(call->config, mib, error)) {
        return false;
    }
    if (!balloon_set_target(device, mib, &cause)) {
        return call_refuse(error, "Balloon update error: %.480s", cause.text);
    }
    call->config->balloon.target_mib = mib;
    return true;
}

static bool put_stat(json_t *answer, const char *name, uint64_t value)
{
    return value == UINT64_MAX ||
           json_object_set_new(answer, name, json_integer((json_int_t)value)) == 0;
}

static json_t *show_stats(const struct balloon_stats *stats)
{
    json_t *answer = json_object();

    if (put_stat(answer, "target_pages", stats->target / PAGE_SIZE_GUEST) &&
        put_stat(answer, "actual_pages", stats->actual / PAGE_SIZE_GUEST) &&
        put_stat(answer, "target_mib", stats->target / MIB(1)) &&
        put_stat(answer, "actual_mib", stats->actual / MIB(1)) &&
        put_stat(answer, "swap_in", stats->swap_in) &&
        put_stat(answer, "swap_out", stats->swap_out) &&
        put_stat(answer, "major_faults", stats->major_faults) &&
        put_stat(answer, "minor_faults", stats->minor_faults) &&
        put_stat(answer, "free_memory", stats->free) &&
        put_stat(answer, "total_memory", stats->total) &&
        put_stat(answer, "available_memory", stats->available) &&
        put_stat(answer, "disk_caches", stats->disk_caches) &&
        put_stat(answer, "hugetlb_allocations", stats->hugetlb_allocations) &&
        put_stat(answer, "hugetlb_failures", stats->hugetlb_failures)) {
        return answer;
    }
    json_decref(answer);
    return NULL;
}

bool route_get_balloon_stats(struct call *call, struct error *error)
{
    struct vmm_device *device = find_balloon(call, error);
    struct balloon_stats stats;

    if (device == NULL) {
        return false;
    }
    if (call->config->balloon.stats_interval_s == 0 || !balloon_get_stats(device, &stats)) {
        return call_refuse(error, "Balloon config error: Statistics for the balloon device are "
                                  "not enabled.");
    }
    call->answer = show_stats(&stats);
    return call->answer != NULL || call_refuse(error, "There is no memory for the answer.");
}

bool route_patch_balloon_stats(struct call *call, struct error *error)
{
    static const struct body_field fields[] = {
        {"stats_polling_interval_s", BODY_NUMBER, true, 0, 0, UINT16_MAX},
    };
    struct config_balloon *balloon = &call->config->balloon;
    struct error cause = ERROR_NONE;
    struct vmm_device *device;
    uint64_t seconds = 0;
    uint32_t given;

    if (!body_read(call->body, fields, ARRAY_SIZE(fields), &seconds, &given, error) ||
        (device = find_balloon(call, error)) == NULL) {
        return false;
    }
    if ((seconds == 0) != (balloon->stats_interval_s == 0)) {
        return call_refuse(error, "Balloon update error: Statistics cannot be turned on or off "
                                  "after boot.");
    }
    if (!balloon_set_interval(device, (uint32_t)seconds, &cause)) {
        return call_refuse(error, "Balloon update error: %.480s", cause.text);
    }
    balloon->stats_interval_s = (uint32_t)seconds;
    return true;
}
