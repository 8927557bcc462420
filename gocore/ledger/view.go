// The newest value of every record as this node knows it, from whichever source was first: its own log or a watch.
//
// Both sources are gapless and in index order, so one watermark decides: a record at or below it is old news.

package ledger

import (
	"container/list"
	"slices"
	"sync"
)

type view struct {
	mu      sync.Mutex
	index   uint64 // every write at or below it was seen
	records map[string]*list.Element
	order   *list.List // of Record, by index
	changed broadcast
	emit    func(any)
	keep    func(records []Record, upto uint64) // before they are told; nil keeps none
}

func newView(emit func(any)) *view {
	return &view{records: map[string]*list.Element{}, order: list.New(), emit: emit}
}

// advance takes the records up to an index, in index order, and emits those that are new. Records of one write must
// come in one call.
func (v *view) advance(records []Record, upto uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if upto <= v.index {
		return
	}
	records = slices.Clone(records)
	records = slices.DeleteFunc(records, func(r Record) bool { return r.Index <= v.index })
	if v.keep != nil && len(records) > 0 {
		v.keep(records, upto)
	}
	for _, r := range records {
		if old, ok := v.records[r.Key]; ok {
			v.order.Remove(old)
		}
		v.records[r.Key] = v.order.PushBack(r)
		v.emit(r)
	}
	v.index = upto
	v.changed.wake()
}

// restart forgets the watermark, not the records: a new ledger epoch counts its indexes anew.
func (v *view) restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.index = 0
}

func (v *view) watermark() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.index
}

func (v *view) get(key string) (Record, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.records[key]; ok {
		return e.Value.(Record), true
	}
	return Record{}, false
}

// after returns the next records above an index, about a mebibyte at most and writes never split, the index they
// reach, and a channel that closes at the next change.
func (v *view) after(index uint64) (records []Record, upto uint64, changed <-chan struct{}) {
	changed = v.changed.wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if index >= v.index {
		return nil, index, changed
	}
	e := v.order.Back()
	for e != nil && e.Value.(Record).Index > index {
		e = e.Prev()
	}
	if e == nil {
		e = v.order.Front()
	} else {
		e = e.Next()
	}
	for size := 0; e != nil; e = e.Next() {
		r := e.Value.(Record)
		if size >= 1<<20 && r.Index != records[len(records)-1].Index {
			return records, records[len(records)-1].Index, changed
		}
		records = append(records, r)
		size += len(r.Key) + len(r.Value) + 32
	}
	return records, v.index, changed
}
