/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the Virtual I/O Device (VIRTIO) specification 1.2 that more than one file needs. What
 * one device alone needs is in that device's header.
 */
#ifndef MACHINE_VIRTIO_VIRTIO_H
#define MACHINE_VIRTIO_VIRTIO_H

#include "bothy/bits.h"

/* Device types, section 5. */
#define VIRTIO_ID_NET 1u
#define VIRTIO_ID_BLOCK 2u
#define VIRTIO_ID_CONSOLE 3u
#define VIRTIO_ID_RNG 4u
#define VIRTIO_ID_BALLOON 5u
#define VIRTIO_ID_VSOCK 19u

/* Device status, section 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER 2u
#define VIRTIO_STATUS_DRIVER_OK 4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED 128u

/* Feature bits of every device, section 6. */
#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX BIT(29)
#define VIRTIO_F_VERSION_1 BIT(32)
#define VIRTIO_F_ACCESS_PLATFORM BIT(33)
#define VIRTIO_F_RING_PACKED BIT(34)
#define VIRTIO_F_IN_ORDER BIT(35)

#endif
