// The errors of a node: one sentinel for each code of the C interface.

package p2plib

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"pyfl/gocore/bulk"
	"pyfl/gocore/ledger"
	"pyfl/gocore/membership"
	"pyfl/gocore/messages"
	"pyfl/gocore/transport"
)

// Sentinels; errors of this package wrap one of them.
var (
	ErrClosed       = errors.New("the node is closed")
	ErrConfig       = errors.New("configuration")
	ErrAddressInUse = errors.New("address in use")
	ErrNoPeer       = errors.New("no such peer")
	ErrArgument     = errors.New("argument out of bounds")
	ErrFull         = errors.New("too many outstanding")
	ErrNoTransfer   = errors.New("no such transfer")
	ErrTimeout      = errors.New("timeout")
	ErrNotLeader    = errors.New("not the leader")
)

// SmallError: the next event does not fit; it stays.
type SmallError struct{ Needed int }

func (e *SmallError) Error() string {
	return fmt.Sprintf("the event takes %d bytes: call again with a buffer of that size", e.Needed)
}

// translate wraps an error of the layers below in its sentinel, adding about what it was.
func translate(err error, about string) error {
	if err == nil {
		return nil
	}
	for _, pair := range []struct{ below, sentinel error }{
		{syscall.EADDRINUSE, ErrAddressInUse},
		{messages.ErrFull, ErrFull},
		{messages.ErrNoPeer, ErrNoPeer},
		{messages.ErrClosed, ErrClosed},
		{messages.ErrArgument, ErrArgument},
		{bulk.ErrFull, ErrFull},
		{bulk.ErrNoPeer, ErrNoPeer},
		{bulk.ErrClosed, ErrClosed},
		{bulk.ErrArgument, ErrArgument},
		{bulk.ErrNoTransfer, ErrNoTransfer},
		{membership.ErrClosed, ErrClosed},
		{membership.ErrArgument, ErrArgument},
		{transport.ErrClosed, ErrClosed},
		{ledger.ErrClosed, ErrClosed},
		{ledger.ErrFull, ErrFull},
		{ledger.ErrNotLeader, ErrNotLeader},
		{context.DeadlineExceeded, ErrTimeout},
	} {
		if errors.Is(err, pair.below) {
			return fmt.Errorf("%s: %w: %w", about, pair.sentinel, err)
		}
	}
	return fmt.Errorf("%s: %w", about, err)
}
