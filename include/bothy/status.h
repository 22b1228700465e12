/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a function reports when the host or the configuration made it fail. Guest misbehaviour is
 * never a status, and a bug of ours is panic(). A function that returns a status is declared
 * MUST_CHECK, gives its outputs last, and leaves them untouched unless it returns STATUS_OK.
 */
#ifndef BOTHY_STATUS_H
#define BOTHY_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
    STATUS_OK = 0,
    STATUS_INVALID,     /* an argument or a configuration value makes no sense */
    STATUS_NO_MEMORY,   /* a pool is empty */
    STATUS_NO_SPACE,    /* a fixed table or the caller's buffer is too small */
    STATUS_NOT_FOUND,   /* there is no such thing */
    STATUS_EXISTS,      /* there is one already */
    STATUS_OVERLAP,     /* a range collides with another */
    STATUS_RANGE,       /* an address or a number lies outside what is possible here */
    STATUS_UNSUPPORTED, /* the hardware or this build can't do it */
    STATUS_DENIED,      /* the caller may not do it */
    STATUS_BUSY,        /* not now: in use, or in the wrong state */
    STATUS_INTERRUPTED, /* stopped before it was done; try again */
    STATUS_TIMEOUT,     /* the other side did not answer */
    STATUS_CORRUPT,     /* input data contradicts its own format */
    STATUS_IO,          /* a device or the operating system reported a failure */
};

/* The status in words, for a message. */
static inline const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return "ok";
    case STATUS_INVALID:
        return "invalid";
    case STATUS_NO_MEMORY:
        return "no memory";
    case STATUS_NO_SPACE:
        return "no space";
    case STATUS_NOT_FOUND:
        return "not found";
    case STATUS_EXISTS:
        return "exists already";
    case STATUS_OVERLAP:
        return "overlap";
    case STATUS_RANGE:
        return "out of range";
    case STATUS_UNSUPPORTED:
        return "unsupported";
    case STATUS_DENIED:
        return "denied";
    case STATUS_BUSY:
        return "busy";
    case STATUS_INTERRUPTED:
        return "interrupted";
    case STATUS_TIMEOUT:
        return "timeout";
    case STATUS_CORRUPT:
        return "corrupt data";
    case STATUS_IO:
        return "input/output error";
    }
    return "unknown status";
}

#endif
