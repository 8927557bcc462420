// How long a write takes, and how long until a follower has its record: three voters, loopback.

package ledger

import (
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	for _, disk := range []string{"memory", "fsync"} {
		b.Run(disk, func(b *testing.B) {
			s := newSwarm(b)
			s.beat = defaultHeartbeat
			nodes := s.grow(3, 3, func(c *Config) {
				if disk == "fsync" {
					c.DataDir, c.Fsync = b.TempDir(), true
				}
			})
			lead, follower := nodes[0], nodes[1]
			version := uint64(0)
			b.ResetTimer()
			for b.Loop() {
				lead.must(op("k", version, "v"))
				version++
				follower.seen("the record", func(events []any) bool { r, _ := newest[Record](events); return r.Version == version })
			}
		})
	}
}
