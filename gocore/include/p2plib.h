/* p2plib: a flat peer-to-peer overlay behind a C interface.
 *
 * First page: who is here, send, receive.
 *
 *     int64_t node;
 *     char    err[512];
 *     p2p_open(config, config_len, &node, err, sizeof err);        // JSON, below
 *     p2p_receive(node, peer, tag, tag_len, buffer, size, 0, &transfer, err, sizeof err);
 *     p2p_send   (node, peer, tag, tag_len, buffer, size, 0, &transfer, err, sizeof err);
 *     while ((n = p2p_next_event(node, event, sizeof event, 500, &needed)) >= 0) { ... }
 *     p2p_close(node);                                             // wake and join the readers, then
 *     p2p_free(node);
 *
 * Rules that hold for every call:
 *   - Returns P2P_OK (0), or a negative P2P_ERR_ code, and then copies one line of text (always
 *     NUL-terminated, cut to fit) into err when err is not NULL: what happened, what was expected,
 *     what to do.
 *   - Any thread may call. Only p2p_next_event, p2p_open, p2p_leave, p2p_close and p2p_cancel block.
 *   - Nothing calls back: everything that happens is an event.
 *   - Strings and buffers are read during the call and not kept, except the transfer buffers of p2p_send and
 *     p2p_receive, which belong to the library until their event ("sent", "received") was
 *     returned or p2p_cancel returned.
 *   - A peer is named by its id: 32 lower-case hexadecimal characters, the first 16 bytes of the
 *     SHA-256 of its public key (SubjectPublicKeyInfo, DER).
 *   - In a forked child every call returns P2P_ERR_FORKED.
 */
#ifndef P2PLIB_H
#define P2PLIB_H

#include <stddef.h>
#include <stdint.h>

#define P2P_API_VERSION 1

#define P2P_OK 0
#define P2P_ERR_INTERNAL (-1)       /* a defect in the library; the text has the stack */
#define P2P_ERR_HANDLE (-2)         /* no such node: never opened, or freed */
#define P2P_ERR_CLOSED (-3)         /* the node was closed */
#define P2P_ERR_CONFIG (-4)         /* the configuration is not valid; the text names the key */
#define P2P_ERR_ADDRESS_IN_USE (-5) /* the listen address is taken */
#define P2P_ERR_NO_PEER (-6)        /* that peer is unknown, has left, or is confirmed gone */
#define P2P_ERR_ARGUMENT (-7)       /* a size, tag, or pointer out of its bounds */
#define P2P_ERR_FULL (-8)           /* too many of these outstanding; wait for events */
#define P2P_ERR_SMALL (-9)          /* the caller's buffer is too small; *needed has the size */
#define P2P_ERR_FORKED (-10)        /* this process was forked after the library was loaded */
#define P2P_ERR_NO_TRANSFER (-11)   /* that transfer has ended already */
#define P2P_ERR_TIMEOUT (-12)
#define P2P_ERR_NOT_LEADER (-13)    /* only the leader of the ledger can do this */
#define P2P_ERR_RUNNING (-14)       /* a peer runs in that data directory */
#define P2P_ERR_NO_LEDGER (-15)     /* that data directory holds no ledger */

#define P2P_MAX_TAG 128u                /* bytes of a tag */
#define P2P_MAX_MESSAGE (1024u * 1024u) /* bytes of a small message */
#define P2P_MAX_RECORD (1024u * 1024u)  /* bytes of a ledger record's value */

/* Starts a node. config is a JSON object; unknown keys are an error:
 *   listen          "ip:port"; port 0 takes a free one
 *   advertise       "ip:port" told to others; "" means listen
 *   name            for people, at most 64 bytes
 *   labels          {"region": "...", "site": "..."}; at most 200 bytes in all, and name and labels
 *                   together must leave room for 256 bytes of meta (about 220 bytes are left for them)
 *   swarm_key       64 hexadecimal characters (32 bytes)
 *   identity_file   PEM, Ed25519, created with mode 0600 when absent; "" keeps it in memory
 *   data_dir        the ledger is kept in data_dir/ledger; "" keeps it in memory
 *   join            ["host:port", ...]; a name with several addresses is tried at each
 *   found           true: bootstrap a new ledger if data_dir has none
 *   expect          with found: wait for this many peers, the lowest id founds (0 or 1: at once)
 *   join_timeout_ms 60000; then a "join_failed" event, and trying goes on
 *   voters          the wanted committee: 0 chooses 1 (up to 2 eligible peers), 3 (up to 4), else 5
 *   inbox           messages held for p2p_next_event before connections are held back (1024)
 *   bulk_streams    connections per peer for bulk data, 0 chooses by round-trip time
 *   congestion      "cubic", "bbr", ...: tried on each socket, refusal is ignored; "" leaves it
 *   fsync           true: ledger writes reach the disk before they count
 *   heartbeat_ms    2500: Raft's heartbeat and election timeout; the lease is half of it
 *   probe_ms        500: membership probe interval; its timeout is half of it
 *   transfer_ms     10000: a transfer under way without progress for this long fails
 *   gossip          true; false leaves memberlist quiet (tests)
 */
int p2p_open(const char *config, size_t config_len, int64_t *node, char *err, size_t err_size);

/* This node's id (33 bytes with the NUL) and the address that the others are told, "ip:port". */
int p2p_self(int64_t node, char *id, size_t id_size, char *address, size_t address_size);

/* Blocks until there is an event or timeout_ms passed (at most 60000; call with 500 or less so that signals
 * are seen). Returns the event's size (> 0), 0 on timeout, P2P_ERR_SMALL with *needed set (the
 * event stays), P2P_ERR_CLOSED once the node is closed and its events are drained. One MessagePack map each, by "kind":
 *   peer_up        peer name address labels{} meta(bin) eligible via("", or who passes its connections on)
 *   peer_update    the same fields
 *   peer_down      peer reason("left"|"refused"|"gossip") confirmed(bool)
 *                  "left": it said goodbye; "refused": its connection broke and a new dial failed at once;
 *                  "gossip": membership gave it up, a hint only, confirmed is false
 *   link_down      peer        a connection broke but the peer answered a new dial, or that dial timed out
 *   link_route     peer via    connections to the peer go by way of via from now on: they cannot connect; "" straight again
 *   joined         address     the first successful join
 *   join_failed    failures[{address, error, refused(bool)}]
 *   message        peer tag(bin) payload(bin)
 *   sent           transfer peer tag(bin) ok(bool) error(str) bytes
 *   received       transfer peer tag(bin) ok(bool) error(str) bytes
 *                  error: "" | "cancelled" | "timeout" | "peer_lost" | "size" | "no_peer"
 *   record         key version index value(bin): the newest value; older ones may be skipped
 *   write_done     request ok error("" | "conflict" | "not_leader" | "denied" | "timeout" | "lost")
 *   barrier_done   request ok error
 *   leader         leader(str, "" unknown) me(bool) term
 *   committee      voters[peer] ledger(str) epoch
 *   ledger_lost    age_ms      no contact with a leader for two election timeouts
 *   ledger_found               ... and back
 *   wake           payload(bin)
 *   fault          where error a defence fired: hostile bytes, a refused handshake, a recovered panic
 */
int64_t p2p_next_event(int64_t node, void *buffer, size_t size, int64_t timeout_ms, size_t *needed);

/* Puts a "wake" event into this node's own queue: how another thread ends a wait. */
int p2p_wake(int64_t node, const void *payload, size_t size, char *err, size_t err_size);

/* The live members without this node, one MessagePack array of maps with the fields of peer_up. */
int64_t p2p_peers(int64_t node, void *buffer, size_t size, size_t *needed);

/* Replaces what the others see of this node: at most 256 bytes of meta; eligible: may become a voter. */
int p2p_announce(int64_t node, const void *meta, size_t size, int eligible, char *err, size_t err_size);

/* A small message, eager, in order per peer, at most once. P2P_ERR_FULL when 1024 wait for that peer. */
int p2p_message(int64_t node, const char *peer, const void *tag, size_t tag_len, const void *payload,
                size_t size, char *err, size_t err_size);

/* Posts a transfer. Bytes move when both sides have posted the same tag and size for each other:
 * nothing is allocated from a claimed length. "sent" is ok once the receiver has every byte. If the other side cancels,
 * also in mid-stream, this side's post stays and serves the other's next one of that tag; a link that breaks while
 * nothing had moved loses no post, and one that breaks in mid-stream ends the transfer on both sides ("peer_lost").
 * timeout_ms: without progress for this long it fails ("timeout");
 * 0 waits until cancelled or the peer is lost. At most 4096 posted in each direction per peer. A tag must not be posted
 * twice at the same time for one peer and direction. The end is always an event, also after cancel. */
int p2p_send(int64_t node, const char *peer, const void *tag, size_t tag_len, const void *buffer,
             size_t size, int64_t timeout_ms, int64_t *transfer, char *err, size_t err_size);
int p2p_receive(int64_t node, const char *peer, const void *tag, size_t tag_len, void *buffer,
                size_t size, int64_t timeout_ms, int64_t *transfer, char *err, size_t err_size);

/* Ends a transfer. When it returns, no byte of the buffer is read or written any more; if the transfer had not ended
 * its event says "cancelled". P2P_ERR_NO_TRANSFER if it had. */
int p2p_cancel(int64_t node, int64_t transfer, char *err, size_t err_size);

/* Ledger. ops: MessagePack array of maps {key(str), version(u64 expected, 0 = absent), value(bin)};
 * all or none. Ends in a write_done event. Anyone may write keys that start with "control"; others are for the
 * leader, "denied" elsewhere. A write repeated inside the library carries a nonce and counts once. */
int p2p_write(int64_t node, const void *ops, size_t size, int64_t *request, char *err, size_t err_size);
/* Leader only: everything committed before has been applied here; ends in barrier_done. */
int p2p_barrier(int64_t node, int64_t *request, char *err, size_t err_size);
/* A record as this node knows it: MessagePack {key version index value}; 0 when absent. */
int64_t p2p_read(int64_t node, const char *key, void *buffer, size_t size, size_t *needed);
/* Leader only: hand leadership to another voter. */
int p2p_yield(int64_t node, char *err, size_t err_size);

/* Counters and gauges, one MessagePack map of str to number: bytes_sent, bytes_received,
 * bytes_relayed (for others), links_relayed (peers reached around), links_carried (for others), posted, goroutines, faults ... */
int64_t p2p_stats(int64_t node, void *buffer, size_t size, size_t *needed);

/* Says goodbye to everyone (a leader hands over, a voter is replaced first if it can be). Then call p2p_close.
 * P2P_ERR_TIMEOUT if not every peer took the goodbye in time. */
int p2p_leave(int64_t node, int64_t timeout_ms, char *err, size_t err_size);
/* Stops everything and wakes every reader; returns when all of the node's goroutines have ended. Idempotent. */
int p2p_close(int64_t node);
/* Forgets the handle. Call it when every thread has returned from p2p_next_event. */
int p2p_free(int64_t node);

/* The ledger of a data directory in which no peer runs: a MessagePack map {self ledger epoch recovery voters[peer] votes(bool)
 * index records[{key version index value}] aside(str)}. Reading changes no record.
 * P2P_ERR_RUNNING, P2P_ERR_NO_LEDGER; others say what is damaged. */
int64_t p2p_ledger_inspect(const char *data_dir, void *buffer, size_t size, size_t *needed, char *err, size_t err_size);
/* For an operator whose committee's majority is gone for good: makes a ledger of the next epoch with this peer as its only
 * voter, from what the directory holds. The old ledger is set aside (aside says where), not deleted; the answer has no records. */
int64_t p2p_ledger_recover(const char *data_dir, void *buffer, size_t size, size_t *needed, char *err, size_t err_size);
/* Asks running peers where they stand, all at once. survey: JSON {swarm_key, addresses[], timeout_ms}. Gives a MessagePack array
 * of {address error peer ledger epoch recovery voters[peer] index leader}; leader is "" without contact with one. */
int64_t p2p_ledger_ask(const char *survey, size_t survey_len, void *buffer, size_t size, size_t *needed, char *err, size_t err_size);

/* Whole-library numbers for leak tests: open handles, goroutines. */
int p2p_debug(int64_t *handles, int64_t *goroutines);

#endif
