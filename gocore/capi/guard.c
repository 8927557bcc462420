/* The public functions: thin C, so that a forked child gets an error instead of entering a Go runtime
 * that did not survive the fork and would hang. */
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "../include/p2plib.h"
#include "_cgo_export.h"

static pid_t loaded_by;

__attribute__((constructor)) static void remember(void) { loaded_by = getpid(); }

static int forked(char *err, size_t err_size)
{
    if (getpid() == loaded_by)
        return 0;
    if (err != NULL && err_size > 0)
        snprintf(err, err_size,
                 "this process was forked after p2plib was loaded, and Go does not survive a fork: "
                 "load the library in the child, or start it with spawn or forkserver");
    return 1;
}

#define GUARD(err, size)          \
    if (forked((err), (size)))    \
    return P2P_ERR_FORKED

int p2p_open(const char *config, size_t config_len, int64_t *node, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_open((char *)config, config_len, node, err, err_size);
}

int p2p_self(int64_t node, char *id, size_t id_size, char *address, size_t address_size)
{
    GUARD(NULL, 0);
    return p2pgo_self(node, id, id_size, address, address_size);
}

int64_t p2p_next_event(int64_t node, void *buffer, size_t size, int64_t timeout_ms, size_t *needed)
{
    GUARD(NULL, 0);
    return p2pgo_next_event(node, buffer, size, timeout_ms, needed);
}

int p2p_wake(int64_t node, const void *payload, size_t size, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_wake(node, (void *)payload, size, err, err_size);
}

int64_t p2p_peers(int64_t node, void *buffer, size_t size, size_t *needed)
{
    GUARD(NULL, 0);
    return p2pgo_peers(node, buffer, size, needed);
}

int p2p_announce(int64_t node, const void *meta, size_t size, int eligible, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_announce(node, (void *)meta, size, eligible, err, err_size);
}

int p2p_message(int64_t node, const char *peer, const void *tag, size_t tag_len, const void *payload,
                size_t size, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_message(node, (char *)peer, (void *)tag, tag_len, (void *)payload, size, err, err_size);
}

int p2p_send(int64_t node, const char *peer, const void *tag, size_t tag_len, const void *buffer,
             size_t size, int64_t timeout_ms, int64_t *transfer, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_post(node, 0, (char *)peer, (void *)tag, tag_len, (void *)buffer, size, timeout_ms, transfer, err,
                      err_size);
}

int p2p_receive(int64_t node, const char *peer, const void *tag, size_t tag_len, void *buffer,
                size_t size, int64_t timeout_ms, int64_t *transfer, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_post(node, 1, (char *)peer, (void *)tag, tag_len, buffer, size, timeout_ms, transfer, err, err_size);
}

int p2p_cancel(int64_t node, int64_t transfer, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_cancel(node, transfer, err, err_size);
}

int p2p_write(int64_t node, const void *ops, size_t size, int64_t *request, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_write(node, (void *)ops, size, request, err, err_size);
}

int p2p_barrier(int64_t node, int64_t *request, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_barrier(node, request, err, err_size);
}

int64_t p2p_read(int64_t node, const char *key, void *buffer, size_t size, size_t *needed)
{
    GUARD(NULL, 0);
    return p2pgo_read(node, (char *)key, buffer, size, needed);
}

int p2p_yield(int64_t node, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_yield(node, err, err_size);
}

int64_t p2p_stats(int64_t node, void *buffer, size_t size, size_t *needed)
{
    GUARD(NULL, 0);
    return p2pgo_stats(node, buffer, size, needed);
}

int p2p_leave(int64_t node, int64_t timeout_ms, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_leave(node, timeout_ms, err, err_size);
}

int p2p_close(int64_t node)
{
    GUARD(NULL, 0);
    return p2pgo_close(node);
}

int p2p_free(int64_t node)
{
    GUARD(NULL, 0);
    return p2pgo_free(node);
}

int64_t p2p_ledger_inspect(const char *data_dir, void *buffer, size_t size, size_t *needed, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_ledger(0, (char *)data_dir, buffer, size, needed, err, err_size);
}

int64_t p2p_ledger_recover(const char *data_dir, void *buffer, size_t size, size_t *needed, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_ledger(1, (char *)data_dir, buffer, size, needed, err, err_size);
}

int64_t p2p_ledger_ask(const char *survey, size_t survey_len, void *buffer, size_t size, size_t *needed, char *err, size_t err_size)
{
    GUARD(err, err_size);
    return p2pgo_ledger_ask((char *)survey, survey_len, buffer, size, needed, err, err_size);
}

int p2p_debug(int64_t *handles, int64_t *goroutines)
{
    GUARD(NULL, 0);
    return p2pgo_debug(handles, goroutines);
}
