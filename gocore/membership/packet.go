// Which packets memberlist may see: the ones this version sends, nothing that unpacks or recurses.

package membership

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errPacket = errors.New("not a membership packet")

// memberlist's message types; their numbers are its protocol.
const (
	typePing         = 0
	typeIndirectPing = 1
	typeAck          = 2
	typeSuspect      = 3
	typeAlive        = 4
	typeDead         = 5
	typeCompound     = 7
	typeNack         = 11
	typeCRC          = 12
)

// checkPacket refuses compressed, encrypted and user messages, which nobody here sends: a member could use them to
// make others allocate much from little.
func checkPacket(b []byte, depth int) error {
	if len(b) == 0 || depth > 2 {
		return fmt.Errorf("%w: %d bytes at depth %d", errPacket, len(b), depth)
	}
	switch b[0] {
	case typePing, typeIndirectPing, typeAck, typeSuspect, typeAlive, typeDead, typeNack:
		return nil
	case typeCRC:
		if len(b) < 6 {
			return fmt.Errorf("%w: a checksum without a message", errPacket)
		}
		return checkPacket(b[5:], depth+1)
	case typeCompound:
		if len(b) < 2 || len(b) < 2+2*int(b[1]) {
			return fmt.Errorf("%w: a compound cut short", errPacket)
		}
		sizes, rest := b[2:2+2*int(b[1])], b[2+2*int(b[1]):]
		for ; len(sizes) > 0; sizes = sizes[2:] {
			n := int(binary.BigEndian.Uint16(sizes))
			if n > len(rest) {
				return fmt.Errorf("%w: a compound cut short", errPacket)
			}
			if err := checkPacket(rest[:n], depth+1); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	return fmt.Errorf("%w: type %d is not allowed", errPacket, b[0])
}
